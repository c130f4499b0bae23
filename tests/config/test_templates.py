"""`_template_: NAME` lays a node over a tree of `templates`."""

from __future__ import annotations

import json

import pytest

from .config_project import HEAD, Project

BLOCK = "templates: {block: {kind: conv, size: {h: 3, w: 3}, tags: [a]}}\n"


def test_the_node_wins_and_templates_are_gone_from_the_result(project: Project):
    data = project.data(BLOCK + "x: {size: {w: 5}, _template_: block, extra: 1}\n")
    assert json.dumps(data) == json.dumps({"x": {"kind": "conv", "size": {"h": 3, "w": 5}, "tags": ["a"], "extra": 1}})


def test_templates_work_inside_lists_and_at_any_depth(project: Project):
    data = project.data(BLOCK + "x: [[{y: {_template_: block, tags: []}}]]\n")
    assert data["x"][0][0]["y"] == {"kind": "conv", "size": {"h": 3, "w": 3}, "tags": []}


def test_a_template_may_be_any_tree(project: Project):
    data = project.data("templates: {l: [1, 2], s: t}\na: {_template_: l}\nb: {_template_: s}\nc: [{_template_: l}]\n")
    assert data == {"a": [1, 2], "b": "t", "c": [[1, 2]]}


def test_each_use_is_a_copy_of_its_own(project: Project):
    data = project.data(BLOCK + "x: {_template_: block}\ny: {_template_: block}\n")
    data["x"]["tags"].append("b")
    assert data["y"]["tags"] == ["a"]


def test_templates_use_other_templates_in_any_order(project: Project):
    data = project.data(
        "templates:\n"
        "  top: {_template_: middle, c: 3, deep: {_template_: leaf, n: 1}}\n"
        "  middle: {_template_: leaf, b: 2}\n"
        "  leaf: {a: 1}\n"
        "x: {_template_: top}\n"
    )
    assert data == {"x": {"a": 1, "b": 2, "c": 3, "deep": {"a": 1, "n": 1}}}


@pytest.mark.parametrize(
    ("template", "node", "result"),
    [
        ("{l: [1]}", "{_template_: t, l: {_merge_: append, _value_: [2]}}", {"l": [1, 2]}),
        ("{l: [1]}", "{_template_: t, l: {_merge_: prepend, _value_: [2]}}", {"l": [2, 1]}),
        ("{m: {x: 1}}", "{_template_: t, m: {_merge_: replace, _value_: {y: 2}}}", {"m": {"y": 2}}),
        ("{m: {l: [1]}}", "{_template_: t, m: {l: {_merge_: append, _value_: [2]}}}", {"m": {"l": [1, 2]}}),
        ("{}", "{_template_: t, l: {_merge_: append, _value_: [2]}}", {"l": [2]}),
        ("{l: [1]}", "{_template_: t, l: [2]}", {"l": [2]}),
        (
            "{l: [{n: x, v: 1}]}",
            "{_template_: t, l: {_merge_: keyed, key: n, _value_: [{n: x, w: 2}]}}",
            {"l": [{"n": "x", "v": 1, "w": 2}]},
        ),
        # a container in the value of a waiting container
        (
            "{l: [{n: x, k: [1]}]}",
            "{_template_: t, l: {_merge_: keyed, key: n, _value_: [{n: x, k: {_merge_: append, _value_: [2]}}]}}",
            {"l": [{"n": "x", "k": [1, 2]}]},
        ),
        # a template in the value of a waiting container
        (
            "{l: [{a: 1}]}",
            "{_template_: t, l: {_merge_: append, _value_: [{_template_: u, b: 2}]}}",
            {"l": [{"a": 1}, {"u": 1, "b": 2}]},
        ),
        # a node with a template of its own inside one: the inner template is the nearer base
        ("{c: {l: [1]}}", "{_template_: t, c: {_template_: u, l: {_merge_: append, _value_: [2]}}}",
         {"c": {"l": [1, 2], "u": 1}}),
        ("{c: {l: [1]}}", "{_template_: t, c: {_template_: v, l: {_merge_: append, _value_: [2]}}}",
         {"c": {"l": [9, 2]}}),
    ],
)  # fmt: skip
def test_containers_in_a_node_find_their_base_in_its_template(project: Project, template, node, result):
    data = project.data(f"templates: {{u: {{u: 1}}, v: {{l: [9]}}, t: {template}}}\nx: {node}\n")
    assert json.dumps(data) == json.dumps({"x": result})


def test_a_container_waits_for_its_template_through_files(project: Project):
    """Layers of several files on one node are laid over the template in their order."""
    data = project.data(
        "defaults: [two.yaml]\nx: {l: {_merge_: prepend, _value_: [0]}, m: {b: 2}}\n",
        one="templates: {t: {l: [1], m: {z: 1}}}\n"
        "x: {_template_: t, l: {_merge_: append, _value_: [2]}, m: {_merge_: replace, _value_: {a: 1}}}\n",
        two="defaults: [one.yaml]\nx: {l: {_merge_: append, _value_: [3]}}\n",
    )
    assert data == {"x": {"l": [0, 1, 2, 3], "m": {"a": 1, "b": 2}}}


BASE = "templates: {t: {l: [0], m: {z: 0}}}\nx: {_template_: t, l: {_merge_: append, _value_: [1]}}\n"
LEFT = "defaults: [base.yaml]\nx: {l: {_merge_: append, _value_: [2]}}\n"


def test_a_waiting_container_of_an_included_file_acts_on_what_an_earlier_file_says(project: Project):
    """What both files have of a third one acts once."""
    both = "defaults: [left.yaml, right.yaml]\n"
    right = "defaults: [base.yaml]\nx: {l: {_merge_: append, _value_: [3]}}\n"
    assert project.data(both, base=BASE, left=LEFT, right=right)["x"]["l"] == [0, 1, 2, 3]
    assert project.data(both, base=BASE, left=LEFT, right="defaults: [base.yaml]\n")["x"]["l"] == [0, 1, 2]
    right = "x: {_template_: t, l: {_merge_: append, _value_: [3]}}\n"
    assert project.data(both, base=BASE, left="x: {l: [9]}\n", right=right + BASE.splitlines()[0] + "\n") == {
        "x": {"l": [9, 3], "m": {"z": 0}}
    }
    right = "x: {_template_: t, m: {_merge_: replace, _value_: {b: 1}}}\n"
    assert project.data(both, base=BASE, left=f"{LEFT}y: 1\n".replace("x: {", "x: {m: {a: 1}, "), right=right)["x"] == {
        "l": [0, 1, 2],
        "m": {"b": 1},
    }


def test_a_diamond_applies_a_waiting_container_once(project: Project):
    assert project.data("defaults: [left.yaml, base.yaml, base.yaml]\n", base=BASE, left=LEFT)["x"]["l"] == [0, 1, 2]
    files = {f"f{n}": f"defaults: [f{n + 1}.yaml, g{n + 1}.yaml]\n" for n in range(60)}
    files |= {f"g{n}": f"defaults: [f{n + 1}.yaml, g{n + 1}.yaml]\ng{n}: 1\n" for n in range(60)}
    # Each of the two files at its foot acts once, by however many ways it is reached.
    assert project.data("defaults: [f0.yaml]\n", f60=BASE, g60=BASE, **files)["x"]["l"] == [0, 1, 1]


def test_a_later_file_may_replace_a_waiting_container(project: Project):
    one = "templates: {t: {l: [1]}}\nx: {_template_: t, l: {_merge_: append, _value_: [2]}}\n"
    assert project.data("defaults: [one.yaml]\nx: {l: [7]}\n", one=one) == {"x": {"l": [7]}}
    assert project.data("defaults: [one.yaml]\nx: 7\n", one=one) == {"x": 7}


def test_a_base_below_in_the_files_comes_before_the_template(project: Project):
    data = project.data(
        "defaults: [one.yaml]\nx: {_template_: t, l: {_merge_: append, _value_: [3]}}\n",
        one="templates: {t: {l: [1]}}\nx: {l: [2]}\n",
    )
    assert data == {"x": {"l": [2, 3]}}


def test_a_later_file_may_change_a_template_and_its_name(project: Project):
    base = "templates: {t: {a: 1, b: 1}, u: {c: 1}}\nx: {_template_: t}\ny: {_template_: t, d: 1}\n"
    data = project.data("defaults: [base.yaml]\ntemplates: {t: {b: 2}}\ny: {_template_: u}\n", base=base)
    assert data == {"x": {"a": 1, "b": 2}, "y": {"c": 1, "d": 1}}


def test_expressions_come_after_templates(project: Project):
    data = project.data(
        "templates: {t: {dir: 'runs/${name}', same: '${x.own}'}}\nname: n\nx: {_template_: t, own: 5}\ny: ${x.dir}\n"
    )
    assert data == {"name": "n", "x": {"dir": "runs/n", "same": 5, "own": 5}, "y": "runs/n"}


def test_expressions_in_an_unused_template_are_never_evaluated(project: Project):
    assert project.data("templates: {t: {a: '${nowhere}'}}\nb: 1\n") == {"b": 1}


def test_templates_cannot_be_referred_to_by_path(project: Project):
    assert project.error(HEAD + "templates: {t: {a: 1}}\nb: ${templates.t.a}\n").findings[0].title == "unknown path"


def test_the_whole_config_may_lie_over_a_template(project: Project):
    assert project.data("_template_: t\ntemplates: {t: {a: 1, b: 1}}\nb: 2\n") == {"a": 1, "b": 2}
    error = project.error("_template_: t\ntemplates: {t: [1]}\n")
    assert (error.findings[0].title, str(error.location)) == ("not a mapping", "exp.yaml:1:13")


def test_null_templates_are_none(project: Project):
    assert project.data("templates:\na: 1\n") == {"a": 1}


def test_unknown_names_are_reported_together_also_in_unused_templates(project: Project):
    error = project.error(
        HEAD
        + "templates: {block: {a: 1}, other: {l: [{_template_: blok}]}}\n"
        + "x: {_template_: Block}\ny: [{_template_: 3}]\n"
    )
    assert [(str(finding.location), finding.config_path, finding.suggestions) for finding in error.findings] == [
        ("exp.yaml:3:53", ("templates", "other", "l", 0, "_template_"), ("block",)),
        ("exp.yaml:4:17", ("x", "_template_"), ("block",)),
        ("exp.yaml:5:18", ("y", 0, "_template_"), ()),
    ]


def test_cycles_are_reported_each_with_its_chain_also_unused_ones(project: Project):
    error = project.error(
        HEAD
        + "templates:\n"
        + "  a: {x: {_template_: b}}\n"
        + "  b: {_template_: c}\n"
        + "  c: [{_template_: a}]\n"
        + "  self: {_template_: self}\n"
    )
    assert [(str(finding.location), finding.message) for finding in error.findings] == [
        ("exp.yaml:6:20", "The template `a` contains itself: a -> b -> c -> a."),
        ("exp.yaml:7:22", "The template `self` contains itself: self -> self."),
    ]


def test_other_mistakes_are_told_with_those_of_templates_but_for_paths_they_may_have_given(project: Project):
    error = project.error(
        "x: {_template_: nowhere}\ny: ${x.a}\nz: ${env:MISSING}\nw: ${x\nsettings: {strct: true}\nl: {_value_: 1}\n"
    )
    assert sorted(finding.title for finding in error.findings) == [
        "invalid expression",
        "missing `_merge_`",
        "missing model",
        "missing schema_version",
        "missing variable",
        "unknown setting",
        "unknown template",
    ]
    assert error.partial is None


@pytest.mark.parametrize("templates", ["[a]", "text", "3"])
def test_templates_that_are_no_mapping_are_an_error(project: Project, templates):
    error = project.error(f"{HEAD}templates: {templates}\nx: {{_template_: a}}\n")
    assert error.findings[0].title == "templates are no mapping"
    assert str(error.location) == "exp.yaml:3:12"
    error = project.error(f"{HEAD}templates: {templates}\n")
    assert error.findings[0].title == "templates are no mapping"


def test_templates_that_multiply_are_refused_before_they_are_expanded(project: Project):
    rows = [f"  t{n}: {{a: {{_template_: t{n - 1}}}, b: {{_template_: t{n - 1}}}}}" for n in range(1, 40)]
    error = project.error(HEAD + "templates:\n  t0: {x: 1}\n" + "\n".join(rows) + "\n")
    assert "more than 200,000 nodes" in str(error)


def test_chains_of_templates_may_be_long_but_not_nest_too_deep(project: Project):
    flat = "\n".join(f"  t{n}: {{_template_: t{n - 1}, k{n}: 1}}" for n in range(1, 1_500))
    data = project.data(f"templates:\n  t0: {{x: 1}}\n{flat}\na: {{_template_: t1499}}\n")
    assert len(data["a"]) == 1_500
    deep = "\n".join(f"  t{n}: {{a: {{_template_: t{n - 1}}}}}" for n in range(1, 1_500))
    assert "nested more than 200 deep" in str(project.error(f"{HEAD}templates:\n  t0: {{x: 1}}\n{deep}\n"))
