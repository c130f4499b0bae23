"""`${...}` gives way to values, after all merging."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otrainer.config import resolve_config
from otrainer.config.expressions import Malformed, parse_text
from otrainer.config.scalars import as_text, plain_value
from otrainer.errors import ConfigError

from .config_project import HEAD, Project

TREE = """
a: {b: [{c: 1}, [10, 20]], s: text, n: null, t: true, f: 1e-3, i: 0x10, my key: 7, e: {}, k-1: 8}
l: [[1, 2], [3]]
"""
LETTERS = "abcdef"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${a.b[0].c}", 1),
        ("${a.b[1][1]}", 20),
        ("${l[0][1]}", 2),
        ("${l[1]}", [3]),
        ("${a.s}", "text"),
        ("${a.n}", None),
        ("${a.t}", True),
        ("${a.f}", 0.001),
        ("${a.my key}", 7),
        ("${a.k-1}", 8),
        ("${ a.b[0].c }", 1),
        ("${ a . b [ 0 ] . c }", 1),
        ("${a.e}", {}),
        ("${a.b[0]}", {"c": 1}),
        ("x${a.s}y", "xtexty"),
        ("${a.s} ", "text "),
        ("${a.n}|${a.t}|${a.i}|${a.f}|${l[0][0]}", "null|true|16|0.001|1"),
        ("${a.s}${a.s}", "texttext"),
        ("$${a.s}", "${a.s}"),
        ("$${", "${"),
        ("x$${a.s}${a.s}", "x${a.s}text"),
        ("$$${a.s}", "$${a.s}"),
        ("$ {a.s} $x $$ {}", "$ {a.s} $x $$ {}"),
        ("$$${", "$${"),
    ],
)
def test_values_of_expressions(project: Project, text, value):
    result = project.data(f"{TREE}x: {json.dumps(text)}\n")["x"]
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        *(("1.10", "1.10"), ("0012", "0012"), ("-07", "-07"), ("1.50 # of two", "1.50")),
        *(("1e-3", "0.001"), ("0x10", "16"), ("!!float 1", "1.0"), ("1.", "1.0"), ("+.5", "0.5")),
    ],
)
def test_a_decimal_number_inside_a_string_is_written_as_it_stands_in_its_file(project: Project, written, text):
    data = project.data(f"v: {written}\nw: ${{v}}\nl: [{written.partition(' #')[0]}]\nname: v${{v}}-${{w}}-${{l[0]}}\n")
    assert data["name"] == f"v{text}-{text}-{text}"
    assert data["v"] == data["w"] == data["l"][0]


def test_plain_text_with_a_literal_brace_is_left_alone(project: Project):
    assert project.data("x: 'a } b $'\ny: 'a { b'\n") == {"x": "a } b $", "y": "a { b"}


def test_values_are_taken_after_all_merging(project: Project):
    data = project.data("defaults: [base.yaml]\nrun: {name: new}\n", base="run: {name: old, dir: 'runs/${run.name}'}\n")
    assert data == {"run": {"name": "new", "dir": "runs/new"}}


def test_chains_resolve_in_any_order_and_paths_walk_through_references(project: Project):
    data = project.data("a: ${b}\nb: ${c.d}\nc: ${e}\ne: {d: [1, '${f}']}\nf: 2\ng: ${a[1]}\nh: ${c.d[0]}\n")
    assert data["a"] == [1, 2]
    assert (data["g"], data["h"]) == (2, 1)


def test_a_subtree_is_copied(project: Project):
    data = project.data("a: {l: [1]}\nb: ${a}\nc: ${b.l}\n")
    data["b"]["l"].append(2)
    assert (data["a"], data["c"]) == ({"l": [1]}, [1])


def test_a_tree_may_refer_to_its_own_other_parts(project: Project):
    assert project.data("a: {b: '${a.c}', c: '${a.d.e}', d: {e: 1}}\n")["a"] == {"b": 1, "c": 1, "d": {"e": 1}}


def test_a_chain_may_be_longer_than_the_stack(project: Project):
    rows = "".join(f"k{n}: ${{k{n + 1}}}\n" for n in range(5_000))
    data = project.data(f"{rows}k5000: end\nm: 'a ${{k0}}'\n")
    assert (data["k0"], data["m"]) == ("end", "a end")


def test_keys_are_no_expressions(project: Project):
    assert project.data("a: {'${b}': 1}\n") == {"a": {"${b}": 1}}


def test_sections_that_expressions_refer_to_are_noted(project: Project):
    config = project.resolve(
        HEAD + "a: 1\nb: {x: '${a}', y: '${ run.name }z'}\nrun: {name: 1}\nc: $${d}\nd: 1\ne: '${env:X,1}'\n"
    )
    assert config.used == {"a", "run"}


MISTAKES = {
    "${}": "invalid expression",
    "${ }": "invalid expression",
    "${a": "invalid expression",
    "x ${a.b[0": "invalid expression",
    "${a..s}": "invalid expression",
    "${.a}": "invalid expression",
    "${a.}": "invalid expression",
    "${a.b[}": "invalid expression",
    "${a.b[x]}": "invalid expression",
    "${a.b[-1]}": "invalid expression",
    "${a.b[0]c}": "invalid expression",
    "${[0]}": "invalid expression",
    "${a,1}": "invalid expression",
    "${${a}}": "invalid expression",
    "${a.${a.s}}": "invalid expression",
    "${foo:bar}": "invalid expression",
    "${Env:X}": "invalid expression",
    "${secret:}": "invalid expression",
    "${secret:1X}": "invalid expression",
    "${secret:X,d}": "invalid expression",
    "${secret:int:X}": "invalid expression",
    "${nowhere}": "unknown path",
    "${a.x}": "unknown path",
    "${a.b[2]}": "unknown path",
    "${a.b.c}": "unknown path",
    "${a[0]}": "unknown path",
    "${a.s.x}": "unknown path",
    "${a.n.x}": "unknown path",
    "${a.b[0].c.d}": "unknown path",
    "x${a}": "not a plain value",
    "x${a.b}": "not a plain value",
    "${a.s}${a.e}": "not a plain value",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_each_mistake_is_told_where_it_is_used(project: Project, text):
    error = project.error(f"{HEAD}{TREE}x: [{json.dumps(text)}]\n")
    assert [(finding.title, finding.config_path) for finding in error.findings] == [(MISTAKES[text], ("x", 0))]
    assert (error.location.file, error.location.line) == ("exp.yaml", 6)
    assert error.findings[0].hint
    assert error.partial.data["x"] == [text]


SCATTERED = r"""
a: 'it is ${a1}, ${a1}'
b: plain ${b1}
c: |
  first
    second ${c1}
d: "esc\t${d1}"
e: "\u0024{e1}"
f: one
  two ${f1}
g: &anchor ${g1}
"""


def test_the_expression_itself_is_pointed_at(project: Project):
    error = project.error(HEAD + SCATTERED)
    assert [f"{finding.location.line - 3}:{finding.location.col}" for finding in error.findings] == [
        "1:11",
        "1:18",
        "2:10",
        "5:12",
        "6:10",
        "7:4",
        "9:7",
        "10:12",
    ]


def test_missing_paths_suggest_full_paths_that_exist(project: Project):
    tree = "run: {name: n, seed: 1}\nloader: {batch_size: 4, opts: [{lr: 1}]}\n"
    for text, suggestions in {
        "${run.nam}": ["run.name"],
        "${rnu.name}": ["run.name"],
        "${batch_size}": ["loader.batch_size"],
        "${loader.opts[0].lrr}": ["loader.opts[0].lr"],
        "${lr}": ["loader.opts[0].lr"],
        "${Run.Seed}": ["run.seed"],
    }.items():
        assert project.error(f"{HEAD}{tree}x: {text}\n").suggestions[:1] == suggestions


def test_cycles_are_told_at_each_use_with_their_chain(project: Project):
    error = project.error(f"{HEAD}a: ${{b}}\nb: x${{c[0]}}\nc: ['${{a}}']\nd: ${{a}}\n")
    assert [(finding.title, finding.config_path, finding.message) for finding in error.findings] == [
        ("reference cycle", ("a",), "`a` refers back to itself: a -> b -> c[0] -> a."),
        ("reference cycle", ("b",), "`b` refers back to itself: b -> c[0] -> a -> b."),
        ("reference cycle", ("c", 0), "`c[0]` refers back to itself: c[0] -> a -> b -> c[0]."),
    ]


@pytest.mark.parametrize("text", ["a: ${a}", "a: {b: '${a}'}", "a: [1, '${a[1]}']", "a: ${a.b}", "a: x${a}"])
def test_a_value_cannot_hold_itself(project: Project, text):
    error = project.error(f"{HEAD}{text}\n")
    assert [finding.title for finding in error.findings] == ["reference cycle"]


def test_every_cycle_of_a_knot_is_found(project: Project):
    error = project.error(f"{HEAD}a: ${{b}} ${{c}}\nb: ${{a}}\nc: ${{a}}\n")
    assert {finding.config_path for finding in error.findings} == {("a",), ("b",), ("c",)}


def test_a_long_cycle_names_its_ends(project: Project):
    rows = "".join(f"k{n}: ${{k{(n + 1) % 900}}}\n" for n in range(900))
    error = project.error(HEAD + rows)
    assert len(error.findings) == 900
    assert "k0 -> k1 -> k2 -> k3 -> ... (893 more) -> k897 -> k898 -> k899 -> k0" in error.findings[0].message


def test_what_depends_on_a_broken_value_is_not_told_again(project: Project):
    error = project.error(f"{HEAD}a: ${{nowhere}}\nb: ${{a}}\nc: x${{b}}\nd: {{e: '${{a}}'}}\nf: ${{d}}\n")
    assert [finding.config_path for finding in error.findings] == [("a",)]
    data = error.partial.data
    assert (data["a"], data["b"], data["c"], data["f"]) == ("${nowhere}", "${a}", "x${b}", {"e": "${a}"})


def test_all_mistakes_of_one_string_are_told(project: Project):
    error = project.error(f"{HEAD}a: ${{nowhere}} ${{env:X}} ${{a..b}} ${{open\n")
    assert [finding.title for finding in error.findings] == [
        "unknown path",
        "missing variable",
        "invalid expression",
        "invalid expression",
    ]


def test_of_ten_thousand_mistakes_a_thousand_are_told_and_the_others_counted(project: Project):
    rows = "".join(f"k{n}: ${{kk{n}}}\n" for n in range(10_000))
    *told, last = project.error(HEAD + rows).findings
    assert len(told) == 1_000
    assert (last.title, last.location) == ("too many mistakes", told[-1].location)
    assert last.message == "There are 9,000 more mistakes like these, which are not listed."


def test_references_that_multiply_are_refused_before_they_are_expanded(project: Project):
    rows = "".join(f"a{n}: ['${{a{n - 1}}}', '${{a{n - 1}}}']\n" for n in range(1, 60))
    error = project.error(f"{HEAD}a0: [1, 1]\n{rows}")
    assert {finding.title for finding in error.findings} == {"config too large"}


def test_references_that_nest_too_deep_are_refused(project: Project):
    rows = "".join(f"a{n}: ['${{a{n - 1}}}']\n" for n in range(1, 300))
    error = project.error(f"{HEAD}a0: [1]\n{rows}")
    assert "config too large" in {finding.title for finding in error.findings}


def test_strings_that_multiply_are_refused(project: Project):
    rows = "".join(f"a{n}: ${{a{n - 1}}}${{a{n - 1}}}\n" for n in range(1, 60))
    error = project.error(f"{HEAD}a0: ab\n{rows}")
    assert {finding.title for finding in error.findings} == {"string too long"}


NUMBERS = st.floats() | st.integers() | st.booleans() | st.none()


@given(NUMBERS)
def test_numbers_in_text_read_back_as_the_same_value(value):
    text = resolve_config({"schema_version": 1, "model": {}, "a": value, "b": "x ${a}"}).data["b"]
    assert text == f"x {as_text(value)}"
    back = plain_value(as_text(value))
    assert type(back) is type(value)
    assert back == value or (math.isnan(back) and math.isnan(value))


@given(st.text(st.sampled_from("ab${}[].,: 0e nvsecrt"), max_size=24))
def test_any_text_is_either_understood_or_faulted(text):
    parts = parse_text(text)
    rebuilt = "".join(part.replace("${", "$${") if isinstance(part, str) else part.text for part in parts)
    assert rebuilt.count("${") >= sum(isinstance(part, Malformed) for part in parts)
    assert ("${" in text) or (parts == ((text,) if text else ()))


@given(st.text(max_size=30))
def test_an_escaped_text_comes_out_literally(text):
    escaped = text.replace("${", "$${")
    value = resolve_config({"schema_version": 1, "model": {}, "a": escaped}).data["a"]
    assert value == text.replace("${secret:", "$${secret:")


@given(st.dictionaries(st.sampled_from(LETTERS), st.integers() | st.sampled_from([f"${{{key}}}" for key in LETTERS])))
def test_values_do_not_depend_on_the_order_of_evaluation(tree):
    """Whatever order the keys come in, the same values come out, or the same keys are at fault."""

    def outcome(keys: list[str]) -> object:
        try:
            data = resolve_config({"schema_version": 1, "model": {}, **{key: tree[key] for key in keys}}).data
        except ConfigError as error:
            return {finding.config_path for finding in error.findings}
        return {key: data[key] for key in sorted(tree)}

    assert outcome(sorted(tree)) == outcome(sorted(tree, reverse=True))
