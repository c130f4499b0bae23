"""`${env:...}` and `${secret:...}`: values from outside, and those that never come in."""

from __future__ import annotations

import json
import math
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otrainer.config import resolve_config
from otrainer.config.secrets import guarded, joined

from .config_project import HEAD, Project

ENV = {
    "S": "  text ", "I": "8", "O": "08", "X": "0x10", "Q": "0o17", "M": " -3\n", "P": "+5", "F": "1e-3",
    "H": ".5", "INF": "-inf",
    "YES": "YES", "OFF": " off ", "ONE": "1", "ZERO": "0", "TRUE": "True", "NO": "no", "ON": "On", "FALSE": "fAlse",
    "J": ' {"a": [1, 2.5, null, "x"], "b": {}} ', "BLANK": "  ", "EMPTY": "", "WORD": "abc", "BIG": "9" * 5_000,
    "DEEP": "[" * 3_000 + "]" * 3_000, "NANJ": "[NaN]", "SECRETLIKE": "${secret:HOME} ${run}", "DOLLAR": "a$",
    "HUGE": "61e9540",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:S}", "  text "),
        ("${ env : S }", "  text "),
        ("a${env:I}b", "a8b"),
        ("${env:I}", "8"),
        ("${env:EMPTY}", ""),
        ("${env:int:I}", 8),
        ("${env:int:O}", 8),
        ("${env:int:X}", 16),
        ("${env:int:Q}", 15),
        ("${env:int:M}", -3),
        ("${env:int:P}", 5),
        ("${ env : int : I }", 8),
        ("x${env:int:O}", "x8"),
        ("${env:float:F}", 0.001),
        ("${env:float:H}", 0.5),
        ("${env:float:I}", 8.0),
        ("${env:float:X}", 16.0),
        ("${env:float:INF}", -math.inf),
        ("${env:bool:YES}", True),
        ("${env:bool:OFF}", False),
        ("${env:bool:ONE}", True),
        ("${env:bool:ZERO}", False),
        ("${env:bool:TRUE}", True),
        ("${env:bool:NO}", False),
        ("${env:bool:ON}", True),
        ("${env:bool:FALSE}", False),
        ("is ${env:bool:YES}", "is true"),
        ("${env:json:J}", {"a": [1, 2.5, None, "x"], "b": {}}),
        ("${env:json:I}", 8),
        ("${env:UNSET,}", ""),
        ("${env:UNSET,d}", "d"),
        ("${env:UNSET, a, b }", "a, b"),
        ("${env:UNSET,a:b/c}", "a:b/c"),
        ("${env:UNSET,{x}}", "{x}"),
        ("${env:UNSET,${}", None),
        ("${env:S,d}", "  text "),
        ("${env:int:UNSET,07}", 7),
        ("${env:int:I,not checked}", 8),
        ("${env:float:UNSET, 1}", 1.0),
        ("${env:bool:UNSET,on}", True),
        ('${env:json:UNSET,{"a": "}", "b": [1, {}]}}', {"a": "}", "b": [1, {}]}),
        ("${env:json:UNSET, [1, 2] }", [1, 2]),
        ('x${env:json:UNSET,"}"}y${env:I}', "x}y8"),
        ("${env:json:UNSET,null}", None),
    ],
)
def test_values_of_variables(project: Project, text, value):
    if text == "${env:UNSET,${}":
        assert project.error(f"{HEAD}x: {json.dumps(text)}\n").findings[0].title == "invalid expression"
        return
    result = project.data(f"x: {json.dumps(text)}\n", env=ENV)["x"]
    assert (result, type(result)) == (value, type(value))


def test_a_value_is_raw_text_and_no_expression(project: Project):
    data = project.data("x: ${env:X}\ny: ${env:J}\n", env={"X": "${nowhere} $${a}", "J": "1e3"})
    assert data == {"x": "${nowhere} $${a}", "y": "1e3"}


def test_paths_lead_into_decoded_json(project: Project):
    assert project.data("a: ${env:json:J}\nb: ${a.a[1]}\n", env=ENV)["b"] == 2.5


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("${env:UNSET}", "missing variable"),
        ("${env:int:UNSET}", "missing variable"),
        ("${env:int:BLANK}", "blank variable"),
        ("${env:int:BLANK,5}", "blank variable"),
        ("${env:bool:EMPTY}", "blank variable"),
        ("${env:json:EMPTY}", "blank variable"),
        ("${env:int:UNSET,}", "blank variable"),
        ("${env:int:WORD}", "value does not fit its cast"),
        ("${env:float:HUGE}", "number too large"),
        ("${env:json:HUGE}", "number too large"),
        ("${env:float:UNSET,-1e999}", "number too large"),
        ("${env:json:UNSET,[1, 1e999]}", "value does not fit its cast"),
        ("${env:int:F}", "value does not fit its cast"),
        ("${env:int:BIG}", "value does not fit its cast"),
        ("${env:int:UNSET,x}", "value does not fit its cast"),
        ("${env:float:WORD}", "value does not fit its cast"),
        ("${env:bool:WORD}", "value does not fit its cast"),
        ("${env:bool:I}", "value does not fit its cast"),
        ("${env:json:WORD}", "value does not fit its cast"),
        ("${env:json:DEEP}", "value does not fit its cast"),
        ("${env:json:NANJ}", "value does not fit its cast"),
        ("${env:json:UNSET,{a}}", "value does not fit its cast"),
        ("${env:itn:I}", "invalid expression"),
        ("${env:int:int:I}", "invalid expression"),
        ("${env:}", "invalid expression"),
        ("${env:int:}", "invalid expression"),
        ("${env:1X}", "invalid expression"),
        ("${env:a-b}", "invalid expression"),
        ("${env:int}", "missing variable"),
        ("a${env:json:J}", "not a plain value"),
    ],
)
def test_what_gives_no_value_is_an_error_where_it_is_used(project: Project, text, title):
    error = project.error(f"{HEAD}x: {json.dumps(text)}\n", env=ENV)
    assert [(finding.title, finding.config_path) for finding in error.findings] == [(title, ("x",))]
    assert error.findings[0].hint
    assert error.partial.data["x"] == text


def test_near_names_are_suggested_and_values_are_not_shown(project: Project):
    error = project.error(f"{HEAD}x: ${{env:SEDE}}\ny: ${{env:itn:SEED}}\n", env={"SEED": "hidden", "OTHER": "hidden"})
    assert [finding.suggestions for finding in error.findings] == [("SEED",), ("int",)]
    assert "hidden" not in str(error)


def test_every_variable_asked_for_is_recorded(project: Project):
    config = project.resolve(
        HEAD + "a: '${env:A}${env:B,x}'\nb: ${env:int:C,1}\nc: $${env:D}\nd: '${secret:E}'\n", env={"A": "1"}
    )
    assert config.reads.env == {"A": "1", "B": None, "C": None}
    assert project.error(HEAD + "a: ${env:GONE}\n").reads.env == {"GONE": None}


def test_the_environment_of_the_process_is_the_default(project: Project, monkeypatch):
    monkeypatch.setenv("OTRAINER_TEST_X", "5")
    project.write("exp.yaml", HEAD + "x: ${env:int:OTRAINER_TEST_X}\n")
    assert resolve_config("exp.yaml").data["x"] == 5


def test_secrets_stay_references_and_are_never_read(project: Project):
    config = project.resolve(
        HEAD
        + "a: ${secret:TOKEN}\nb: 'x ${secret:TOKEN} ${n}'\nn: 1\nc: ${a}\nd: '${ secret : TOKEN }'\ne: 'pre ${a}'\n",
        env={"TOKEN": "hidden"},
    )
    assert [config.data[key] for key in "abcde"] == [
        "${secret:TOKEN}",
        "x ${secret:TOKEN} 1",
        "${secret:TOKEN}",
        "${secret:TOKEN}",
        "pre ${secret:TOKEN}",
    ]
    assert config.reads.env == {}


def test_an_escaped_secret_stays_escaped(project: Project):
    data = project.data("a: $${secret:TOKEN}\nb: 'x $${secret:T} $${y}'\nc: ${a}\nd: '<${a}>'\n")
    assert data == {
        "a": "$${secret:TOKEN}",
        "b": "x $${secret:T} ${y}",
        "c": "$${secret:TOKEN}",
        "d": "<$${secret:TOKEN}>",
    }


def test_text_that_only_looks_like_a_secret_is_escaped(project: Project):
    """No value from outside, and no two values that meet, can make a live reference."""
    data = project.data(
        "a: ${env:E}\nb: ${env:json:J}\nc: '${x}${y}'\nd: ${x}{secret:T}\n"
        "x: $\ny: '{secret:T}'\ne: '${env:D}{secret:T}'\n",
        env={"E": "${secret:T}", "J": '["${secret:T}"]', "D": "$"},
    )
    assert (data["a"], data["b"], data["c"], data["e"]) == (
        "$${secret:T}",
        ["$${secret:T}"],
        "$${secret:T}",
        "$${secret:T}",
    )
    assert data["d"] == "$${secret:T}"


def test_a_dollar_right_before_a_live_secret_is_an_error(project: Project):
    error = project.error(HEAD + "a: '${x}${secret:T}'\nx: 5$\n")
    assert [(finding.title, finding.config_path) for finding in error.findings] == [("invalid expression", ("a",))]


def unescaped(text: str) -> list[str]:
    """What the builder of components reads: literal text and the names of live references, in turn."""
    parts, position = [""], 0
    for match in re.finditer(r"(?P<escape>\$\$\{(?=secret:))|\$\{secret:(?P<name>[^{}]*)\}", text):
        parts[-1] += text[position : match.start()]
        if match["escape"]:
            parts[-1] += "${"
        else:
            parts += [match["name"], ""]
        position = match.end()
    parts[-1] += text[position:]
    return parts


FRAGMENTS = st.sampled_from(["$", "{", "${", "secret:", "${secret:", "T}", "x"])
PIECES = st.lists(st.lists(FRAGMENTS, max_size=4).map("".join) | st.none(), max_size=5)


@given(PIECES)
def test_the_builder_reads_back_exactly_the_text_and_the_secrets(pieces):
    expected = [""]
    for piece in pieces:
        if piece is None:
            expected += ["T", ""]
        else:
            expected[-1] += piece
    try:
        whole = joined(["${secret:T}" if piece is None else guarded(piece) for piece in pieces])
    except ValueError:
        assert any(text.endswith("$") for text in expected[:-1:2])
        return
    assert unescaped(whole) == expected


def test_the_process_environment_is_not_changed(project: Project):
    before = dict(os.environ)
    project.data("x: ${env:NOT_SET_ANYWHERE,1}\n")
    assert dict(os.environ) == before
