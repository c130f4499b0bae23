"""A run's name is one part of a path on every file system; what is not one is told with the name that may be meant."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otrainer.config.checks import check_sections
from otrainer.config.names import MOST_BYTES, PATTERN, is_plain_name, plain_name


@pytest.mark.parametrize(
    "name", ["a", "a-1.b_c", "_a", "0", "größer", "模型", "मॉडल", "x" * MOST_BYTES, "console", "a..b"]
)
def test_a_plain_name_may_hold_letters_of_any_script(name: str) -> None:
    assert is_plain_name(name)
    assert plain_name(name) == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("a/b", "a-b"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", ""),
        ("", ""),
        (" ", ""),
        ("/", ""),
        ("a\\b", "a-b"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("a.", "a"),
        ("a b", "a-b"),
        ("a\nb", "a-b"),
        ("a\x1b[31mb", "a-31mb"),
        ("a\0b", "a-b"),
        ("a\u202eb", "a-b"),
        ("a:b", "a-b"),
        ("u\u0308ber", "über"),
        ("\ud800x", "x"),
        ("NUL", "run-NUL"),
        ("com1.txt", "run-com1.txt"),
        ("x" * (MOST_BYTES + 1), "x" * MOST_BYTES),
        ("ä" * MOST_BYTES, "ä" * (MOST_BYTES // 2)),
    ],
)
def test_anything_else_is_refused_and_the_nearest_is_named(name: str, meant: str) -> None:
    assert not is_plain_name(name)
    assert plain_name(name) == meant


@given(st.text())
def test_what_is_proposed_may_be_taken(text: str) -> None:
    assert plain_name(text) == "" or is_plain_name(plain_name(text))


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_the_pattern_takes_every_plain_name_and_no_other_ascii(text: str) -> None:
    matches = re.fullmatch(PATTERN, text) is not None
    assert matches or not is_plain_name(text)
    assert not (matches and text.isascii()) or re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text)


def test_the_error_names_the_place_and_the_name_that_is_meant() -> None:
    found = list(check_sections({"run": {"name": "a/b", "out_dir": "x"}}, strict=True))
    (finding,) = [each for each in found if each.config_path == ("run", "name")]

    assert finding.suggestions == ("a-b",)
    words = "a plain name (letters, digits, `_`, `-` and `.`; no `-` or `.` first; at most 200 bytes)"
    assert finding.message == f"`run.name` is {words}, not `a/b`."
