"""Mappings merge deeply, everything else replaces, and `_merge_` containers say otherwise."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otrainer.config.findings import Findings
from otrainer.config.merge import Merger
from otrainer.config.nodes import mapping_of, measure, to_data
from otrainer.config.plain import tree_of
from otrainer.errors import ConfigError

from .config_project import HEAD, Project

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b"])
TREES = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
LEAVES = st.dictionaries(st.sampled_from("xyz"), SCALARS | st.lists(SCALARS, max_size=2), max_size=3)
# A key is always a mapping or never one: else laying is not associative, since a scalar forgets what lay below it.
SORTED_TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda leaves, deep: {**deep, **leaves}, LEAVES, st.dictionaries(st.sampled_from("MNO"), inner, max_size=3)
    ),
    max_leaves=6,
)


def merged(*layers: dict[str, object]) -> object:
    """The layers as one, the first at the bottom; no containers."""
    tree = tree_of(layers[0])
    for layer in layers[1:]:
        tree = Merger(Findings(100)).lay_mapping(tree, tree_of(layer), ())
    return to_data(tree)


def as_bytes(data: object) -> str:
    """Data with its order."""
    return json.dumps(data)


def reference(base: object, over: object) -> object:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {
        **{key: reference(value, over[key]) if key in over else value for key, value in base.items()},
        **{key: value for key, value in over.items() if key not in base},
    }


@given(TREES, TREES)
def test_merging_is_what_its_definition_says_order_included(base, over):
    assert as_bytes(merged(base, over)) == as_bytes(reference(base, over))


@given(TREES, TREES)
def test_merging_changes_neither_side(base, over):
    low, high = tree_of(base), tree_of(over)
    Merger(Findings(100)).lay(low, high, ())
    assert as_bytes(to_data(low)) == as_bytes(base)
    assert as_bytes(to_data(high)) == as_bytes(over)


@given(TREES)
def test_merging_a_tree_over_itself_or_nothing_gives_the_tree(tree):
    assert as_bytes(merged(tree, tree)) == as_bytes(merged({}, tree)) == as_bytes(merged(tree, {})) == as_bytes(tree)


@given(SORTED_TREES, SORTED_TREES, SORTED_TREES)
def test_merging_is_associative_where_kinds_agree(one, two, three):
    assert as_bytes(merged(one, merged(two, three))) == as_bytes(merged(merged(one, two), three))


@given(TREES, TREES)
def test_sizes_stay_right_while_they_are_kept_by_difference(base, over):
    tree = Merger(Findings(100)).lay_mapping(tree_of(base), tree_of(over), ())
    assert tree.size == measure(tree.items.values())[1]
    assert tree.depth >= measure(tree.items.values())[2]
    assert tree.length == mapping_of(tree.items).length


@given(TREES)
def test_untouched_subtrees_are_shared(tree):
    low = tree_of({"kept": tree, "a": 1})
    assert Merger(Findings(100)).lay_mapping(low, tree_of({"a": 2}), ()).items["kept"] is low.items["kept"]


@given(st.lists(SCALARS, max_size=4), st.lists(SCALARS, max_size=4))
def test_append_and_prepend_concatenate(base, over):
    def with_mode(mode: str) -> object:
        tree = Merger(Findings(100)).lay_mapping(
            tree_of({"l": base}), tree_of({"l": {"_merge_": mode, "_value_": over}}), ()
        )
        return to_data(tree)

    assert with_mode("append") == {"l": base + over}
    assert with_mode("prepend") == {"l": over + base}
    assert with_mode("replace") == {"l": over}


@pytest.mark.parametrize(
    ("below", "above", "result"),
    [
        ("a: {x: 1, y: {z: 1}}", "a: {y: {w: 2}}", {"a": {"x": 1, "y": {"z": 1, "w": 2}}}),
        ("a: 1", "a: {x: 1}", {"a": {"x": 1}}),
        ("a: {x: 1}", "a: 1", {"a": 1}),
        ("a: {x: 1}", "a: null", {"a": None}),
        ("a: null", "a: {x: 1}", {"a": {"x": 1}}),
        ("a: [1, 2]", "a: [3]", {"a": [3]}),
        ("a: [1]", "a: {x: 1}", {"a": {"x": 1}}),
        ("a: {x: 1}", "a: {_merge_: replace, _value_: {y: 2}}", {"a": {"y": 2}}),
        ("a: {x: 1}", "a: {_merge_: replace, _value_: 5}", {"a": 5}),
        ("a: {x: 1}", "a: {_merge_: replace, _value_: null}", {"a": None}),
        ("a: 1", "b: {_merge_: replace, _value_: {y: 2}}", {"a": 1, "b": {"y": 2}}),
        ("a: [1]", "a: {_merge_: append, _value_: [2]}", {"a": [1, 2]}),
        ("a: [1]", "a: {_merge_: prepend, _value_: [2, 3]}", {"a": [2, 3, 1]}),
        ("a: null", "a: {_merge_: append, _value_: [2]}", {"a": [2]}),
        ("b: 1", "a: {_merge_: prepend, _value_: [2]}", {"b": 1, "a": [2]}),
        ("a: [1]", "a: {_merge_: append, _value_: [[2]]}", {"a": [1, [2]]}),
        (
            "a: [{n: x, v: 1}, {n: y, v: {p: 1}}]",
            "a: {_merge_: keyed, key: n, _value_: [{n: z}, {n: y, v: {q: 2}}]}",
            {"a": [{"n": "x", "v": 1}, {"n": "y", "v": {"p": 1, "q": 2}}, {"n": "z"}]},
        ),
        (
            "a: [{n: x, l: [1]}]",
            "a: {_merge_: keyed, key: n, _value_: [{n: x, l: {_merge_: append, _value_: [2]}}]}",
            {"a": [{"n": "x", "l": [1, 2]}]},
        ),
        (
            "a: [{n: 1}, {n: true}, {n: '1'}, {n: 1.0}]",
            "a: {_merge_: keyed, key: n, _value_: [{n: true, b: 1}, {n: '1', s: 1}]}",
            {"a": [{"n": 1}, {"n": True, "b": 1}, {"n": "1", "s": 1}, {"n": 1.0}]},
        ),
        ("b: 1", "a: {_merge_: keyed, key: n, _value_: [{n: x}]}", {"b": 1, "a": [{"n": "x"}]}),
        ("a: null", "a: {_merge_: keyed, key: n, _value_: [{n: x}]}", {"a": [{"n": "x"}]}),
        # containers inside a container's value, where nothing lies below them
        ("a: 1", "a: {_merge_: replace, _value_: {l: {_merge_: append, _value_: [1]}}}", {"a": {"l": [1]}}),
        ("a: [0]", "a: {_merge_: append, _value_: [{_merge_: replace, _value_: 1}]}", {"a": [0, 1]}),
        ("a: [0]", "a: [{_merge_: append, _value_: [1]}]", {"a": [[1]]}),
        ("a: 0", "a: {b: {_merge_: append, _value_: [1]}}", {"a": {"b": [1]}}),
    ],
)  # fmt: skip
def test_one_file_over_another(project: Project, below, above, result):
    data = project.data(f"defaults: [base.yaml]\n{above}\n", base=f"{below}\n")
    assert as_bytes(data) == as_bytes(result)


def test_containers_work_without_any_defaults(project: Project):
    assert project.data("a: {l: {_merge_: append, _value_: [1]}}\n") == {"a": {"l": [1]}}


def test_a_keyed_value_may_be_any_plain_value_and_its_field_any_name(project: Project):
    data = project.data(
        "defaults: [base.yaml]\na: {_merge_: keyed, key: _type_, _value_: [{_type_: cb.x, k: 2}]}\n",
        base="a: [{_type_: cb.y}, {_type_: cb.x, j: 1}]\n",
    )
    assert data == {"a": [{"_type_": "cb.y"}, {"_type_": "cb.x", "j": 1, "k": 2}]}


CONTAINER_MISTAKES = {
    "{_merge_: apend, _value_: [1]}": ("unknown merge mode", ("a", "_merge_"), ["append", "prepend"]),
    "{_merge_: 3, _value_: [1]}": ("unknown merge mode", ("a", "_merge_"), []),
    "{_merge_: append}": ("missing `_value_`", ("a", "_merge_"), []),
    "{_value_: [1]}": ("missing `_merge_`", ("a", "_value_"), []),
    "{_merge_: append, key: n, _value_: [1]}": ("`key` outside `keyed`", ("a", "key"), []),
    "{_merge_: append, _valu_: [1]}": ("unknown key in a container", ("a", "_valu_"), ["_value_"]),
    "{_merge_: append, _value_: [1], x: 1}": ("unknown key in a container", ("a", "x"), []),
    "{_merge_: append, _value_: 1}": ("value is no list", ("a", "_value_"), []),
    "{_merge_: prepend, _value_: null}": ("value is no list", ("a", "_value_"), []),
    "{_merge_: keyed, _value_: [{n: 1}]}": ("missing `key`", ("a", "_merge_"), []),
    "{_merge_: keyed, key: [n], _value_: [{n: 1}]}": ("key is no name", ("a", "key"), []),
    "{_merge_: keyed, key: n, _value_: [{m: 1}]}": ("element without its key", ("a", 0), []),
    "{_merge_: keyed, key: name, _value_: [{nam: 1}]}": ("element without its key", ("a", 0), ["nam"]),
    "{_merge_: keyed, key: n, _value_: [1]}": ("element without its key", ("a", 0), []),
    "{_merge_: keyed, key: n, _value_: [{n: [1]}]}": ("element without its key", ("a", 0), []),
    "{_merge_: keyed, key: n, _value_: [{n: 1}, {n: 1}]}": ("element given twice", ("a", 1, "n"), []),
}


@pytest.mark.parametrize("container", CONTAINER_MISTAKES)
def test_a_faulty_container_is_an_error_wherever_it_stands(project: Project, container):
    title, path, suggestions = CONTAINER_MISTAKES[container]
    for where in ("a: @", "b: [@]", "t: {_template_: x, a: @}\ntemplates: {x: {a: []}}"):
        text = where.replace("@", container)
        error = project.error(f"{HEAD}{text}\n")
        assert [finding.title for finding in error.findings] == [title]
        assert error.config_path[1 - len(path) :] == path[1:]
        assert error.suggestions == suggestions
        assert error.location.line == 3
        assert error.findings[0].hint


@pytest.mark.parametrize("base", ["{x: 1}", "1", "text", "true"])
@pytest.mark.parametrize("mode", ["append", "prepend", "keyed, key: n"])
def test_a_base_that_is_no_list_is_an_error_at_the_container(project: Project, base, mode):
    error = project.error(
        f"{HEAD}defaults: [base.yaml]\na: {{_merge_: {mode}, _value_: [{{n: 1}}]}}\n", base=f"a: {base}\n"
    )
    assert [finding.title for finding in error.findings] == ["base is no list"]
    assert (str(error.location), error.config_path) == ("exp.yaml:4:14", ("a",))
    assert [str(place) for _, place in error.findings[0].related] == ["base.yaml:1:4"]


def test_an_element_below_without_its_field_is_told_where_it_stands(project: Project):
    error = project.error(
        f"{HEAD}defaults: [base.yaml]\na: {{_merge_: keyed, key: n, _value_: [{{n: 1}}]}}\n",
        base="a: [{n: 1}, {m: 2}]\n",
    )
    assert str(error.location) == "base.yaml:1:13"


def test_all_faulty_containers_are_reported_together(project: Project):
    error = project.error(f"{HEAD}a: {{_merge_: x, _value_: 1}}\nb: {{_value_: 1}}\nc: ${{nowhere}}\nsettings: 3\n")
    assert [finding.title for finding in error.findings] == [
        "unknown merge mode",
        "missing `_merge_`",
        "unknown path",
        "wrong type",
    ]


def test_a_container_cannot_stand_at_the_top_of_a_file(project: Project):
    error = project.error(f"defaults: [base.yaml]\n{HEAD}", base="_merge_: replace\n_value_: {a: 1}\n")
    assert [(finding.title, str(finding.location)) for finding in error.findings] == [
        ("container at the top", "base.yaml:1:1")
    ]


def test_containers_nested_to_the_limit_neither_crash_nor_take_forever():
    value: object = [{"n": 1}]
    for _ in range(60):
        value = [{"n": 1, "l": {"_merge_": "keyed", "key": "n", "_value_": value}}]
    data = {"schema_version": 1, "a": {"_merge_": "keyed", "key": "n", "_value_": value}}
    before = copy.deepcopy(data)
    Merger(Findings(100)).lay_mapping(None, tree_of(data), ())
    assert data == before


def test_deeper_containers_are_refused():
    value: object = 1
    for _ in range(250):
        value = {"_merge_": "replace", "_value_": value}
    with pytest.raises(ConfigError, match="nested more than 200 deep"):
        tree_of({"a": value})
    value = 1
    for _ in range(199):
        value = {"_merge_": "replace", "_value_": value}
    assert to_data(Merger(Findings(100)).lay_mapping(None, tree_of({"a": value}), ())) == {"a": 1}
