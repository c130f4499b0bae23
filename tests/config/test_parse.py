"""One file becomes one tree, or says where it does not."""

from __future__ import annotations

import math
import re

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from otrainer.config.nodes import to_data
from otrainer.config.parse import parse_tree
from otrainer.errors import ConfigError

from .config_project import HEAD, Project

CORE_SCALARS = {
    "null": None, "Null": None, "NULL": None, "~": None, "": None, "nUll": "nUll",
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False, "tRue": "tRue",
    "yes": "yes", "no": "no", "on": "on", "off": "off", "y": "y", "n": "n",
    "0": 0, "-0": 0, "+12": 12, "-7": -7, "007": 7, "0o17": 15, "0o8": "0o8", "0x1F": 31, "0xg": "0xg", "-0x1": "-0x1",
    "1_000": "1_000", "1:30": "1:30", "0b1": "0b1",
    "1e-3": 0.001, "1.": 1.0, ".5": 0.5, "-.5e2": -50.0, "1.5E+3": 1500.0, "1e": "1e", ".": ".", "+": "+",
    "1.2.3": "1.2.3",
    ".inf": math.inf, "-.Inf": -math.inf, "+.INF": math.inf, ".iNf": ".iNf", "inf": "inf",
    "2024-01-01": "2024-01-01", "nn.Linear": "nn.Linear", "Net": "Net", "find": "find", "12 monkeys": "12 monkeys",
    "'12'": "12", '"true"': "true", "!!str 12": "12", "!!float 1": 1.0, "!!int '7'": 7, "!!bool 'true'": True,
    "!!null ''": None,
}  # fmt: skip


@pytest.fixture(params=["libyaml", "pure"])
def parse(request):
    """Either parser, from text to plain data."""
    return lambda text: to_data(parse_tree(text.encode(), "a.yaml", pure=request.param == "pure"))


@pytest.mark.parametrize("text", CORE_SCALARS)
def test_scalars_follow_the_core_schema(parse, text):
    value = parse(f"a: {text}\n")["a"]
    assert (value, type(value)) == (CORE_SCALARS[text], type(CORE_SCALARS[text]))


@pytest.mark.parametrize("text", ["61e9540", "-7e99999", "1.5e400", "!!float 1e999", "!!float " + "9" * 400])
def test_a_number_too_large_for_a_float_is_told_and_never_infinite(text):
    with pytest.raises(ConfigError) as caught:
        parse_tree(f"a: {text}\nb: [.inf, '61e9540', 1e-9540]\n".encode(), "x.yaml")
    (finding,) = caught.value.findings
    assert (finding.title, finding.config_path) == ("number too large", ("a",))
    assert (finding.location.line, finding.location.col) == (1, 4)


def test_nan_is_a_float(parse):
    assert all(math.isnan(value) for value in parse("a: [.nan, .NaN, .NAN]")["a"])


def test_quoted_and_block_scalars_are_strings(parse):
    text = "a: '1'\nb: \"null\"\nc: |\n  1\nd: >-\n  true\n"
    assert parse(text) == {"a": "1", "b": "null", "c": "1\n", "d": "true"}


def test_anchors_and_aliases_work_for_values_and_keys(parse):
    text = "a: &x {k: [1, 2]}\nb: *x\nc: &name word\n*name : 3\n&key d: *key\ne: [&y 5, *y]\n"
    assert parse(text) == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}, "c": "word", "word": 3, "d": "d", "e": [5, 5]}


def test_an_anchor_may_be_given_again(parse):
    assert parse("a: &x 1\nb: &x 2\nc: *x\n")["c"] == 2


def test_collections_may_carry_their_core_tags(parse):
    assert parse("a: !!map {b: !!seq [1]}") == {"a": {"b": [1]}}


def test_a_byte_order_mark_is_tolerated(project: Project):
    config = project.resolve(b"\xef\xbb\xbf" + HEAD.encode())
    assert config.source_map.locate(("schema_version",), key=True) == config.source_map.locate(())
    assert str(config.source_map.locate(("schema_version",))) == "exp.yaml:1:17"


def test_aliased_subtrees_are_lists_and_dicts_of_their_own(project: Project):
    data = project.data("a: &x {k: [1]}\nb: *x\n")
    data["a"]["k"].append(2)
    assert data["b"] == {"k": [1]}


def test_document_markers_and_comments_are_fine(parse):
    assert parse("%YAML 1.2\n---\n# a comment\na: 1 # another\n...\n") == {"a": 1}


@pytest.mark.parametrize("depth", [199, 200])
def test_nesting_is_limited(depth):
    text = "a: " + "[" * depth + "]" * depth
    if depth == 199:
        assert parse_tree(text.encode(), "a.yaml").depth == 200
    else:
        with pytest.raises(ConfigError, match="nested more than 200 deep"):
            parse_tree(text.encode(), "a.yaml")


def test_hundreds_of_thousands_of_open_brackets_are_an_error_and_no_crash():
    with pytest.raises(ConfigError, match="nested more than 200 deep"):
        parse_tree(b"[" * 300_000, "a.yaml")


def test_aliases_that_multiply_are_refused_before_they_are_expanded():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 200,000 nodes"):
        parse_tree("\n".join(lines).encode(), "a.yaml")


def test_aliases_do_not_get_around_the_limit_of_depth():
    lines = [f"a0: &a0 {'[' * 100}{']' * 100}"]
    lines += [f"a{n}: &a{n} {'[' * 60}*a{n - 1}{']' * 60}" for n in (1, 2)]
    with pytest.raises(ConfigError, match="nested more than 200 deep"):
        parse_tree("\n".join(lines).encode(), "a.yaml")


BROKEN = (
    "run:\n\tname: x\n", "run: a: b\n", "run\nmodel: {}\n", "run: [1, 2\nmodel: {}\n", "run: {a: 1\nmodel: {}\n",
    "run: 'x\n", "run:\n  name: x\n seed: 1\n", "run: @x\n", "run: `x`\n", 'run: "C:\\dir"\n', "a: *\n", "a: & b\n",
    "a: !x!y z\n", "a: |x\n  y\n", "a: [1]]\n", "- a\nb: 1\n", "a: x\x01y\n",
    "a: &x &y 1\n", "a: 1\n---\nb: 2\n", "a: *gone\n", "a: }\n",
)  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_both_parsers_tell_of_the_same_mistake_on_the_same_line(text):
    def told(*, pure: bool) -> list[tuple[str, int]]:
        with pytest.raises(ConfigError) as caught:
            parse_tree(text.encode(), "a.yaml", pure=pure)
        assert all(finding.hint for finding in caught.value.findings)
        return [(finding.message.partition(" (")[0], finding.location.line) for finding in caught.value.findings]

    assert told(pure=True) == told(pure=False)


PLAIN = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | PLAIN, inner, max_size=4),
    max_leaves=20,
)


def places(tree) -> object:
    """Every node's value with its position and its key's."""
    below = getattr(tree, "items", None)
    if isinstance(below, dict):
        below = {key: places(child) for key, child in below.items()}
    elif below is not None:
        below = [places(child) for child in below]
    return (tree.at, tree.key_at, tree.special, tree.size, below if below is not None else repr(tree.value))


@given(VALUES, st.booleans(), st.sampled_from([None, True, False]))
def test_both_parsers_build_the_same_tree(value, unicode, flow):
    text = yaml.safe_dump({"top": value}, allow_unicode=unicode, default_flow_style=flow, sort_keys=False).encode()
    assert outcome(text, pure=True) == outcome(text, pure=False)


@given(st.text(st.sampled_from("ab01:-?[]{},&*!|>'\"#% \n\t~<.$"), max_size=30))
def test_both_parsers_accept_the_same_text_and_read_the_same_from_it(text):
    one, other = outcome(f"k: {text}\n".encode(), pure=True), outcome(f"k: {text}\n".encode(), pure=False)
    if one is not None and other is not None:
        assert one == other


def outcome(content: bytes, *, pure: bool) -> object:
    try:
        return places(parse_tree(content, "a.yaml", pure=pure))
    except ConfigError:
        return None


@given(VALUES)
def test_tagged_scalars_are_read_back_as_they_were(value):
    text = yaml.safe_dump({"top": value}, default_style='"', sort_keys=False)
    assert repr(to_data(parse_tree(text.encode(), "a.yaml"))) == repr({"top": value})


@given(st.text("0123456789+-.eEoxXabcdefinNaAIFtrulsT_", min_size=1, max_size=8))
def test_plain_scalars_mean_what_the_core_schema_says(text):
    assume(not text.startswith("---") and text not in {"-", "..."})
    assume("n" in text.lower() or reference(text) not in (math.inf, -math.inf))
    assert repr(to_data(parse_tree(f"a: {text}".encode(), "a.yaml"))) == repr({"a": reference(text)})


def reference(text: str) -> object:
    """The core schema as its table in the YAML 1.2.2 specification gives it (section 10.3.2)."""
    if text in ("null", "Null", "NULL", "~", ""):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"0o[0-7]+", text):
        return int(text, 8)
    if re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return int(text, 16)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        return float(text)
    if re.fullmatch(r"[-+]?(\.inf|\.Inf|\.INF)", text):
        return float(text.replace(".", ""))
    return math.nan if text in (".nan", ".NaN", ".NAN") else text
