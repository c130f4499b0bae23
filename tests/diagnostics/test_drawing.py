"""Reports are drawn in colour where a terminal shows them, and are plain text everywhere else."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from otrainer.diagnostics.drawing import draw, show
from otrainer.diagnostics.serialize import from_plain, to_plain
from otrainer.errors import Finding, SourceLocation

FINDING = Finding(
    "There is no section `schduler`.",
    "unknown section",
    ("schduler",),
    location=SourceLocation("base.yaml", 2, 1),
    on_key=True,
    suggestions=("scheduler", "scaler"),
    hint="Values of your own go under `params`, or are read by some `${...}` that is written anywhere in the config.",
    related=(("first given here", SourceLocation("base.yaml", 1, 1)),),
    includes=(SourceLocation("middle.yaml", 3, 5), SourceLocation("exp.yaml", 1, 12)),
    doing="validating",
    experiments=("a", "b", "c", "d", "e"),
)
DRAWN = """\
unknown section ── base.yaml:2:1
  1 | loss: {}
  2 | schduler: {}
    | ^^^^^^^^
  included by middle.yaml:3:5
  included by exp.yaml:1:12
  There is no section `schduler`. Did you mean `scheduler` or `scaler`?
  first given here: base.yaml:1:1
  Values of your own go under `params`, or are read by some `${...}` that is written anywhere in the config.
  while validating a, b, c and 2 more"""
ESCAPE = re.compile("\x1b\\[([0-9;]*)m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text("loss: {}\nschduler: {}\n")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")


def shown(stream: io.StringIO, *findings: Finding) -> str:
    show(findings or [FINDING], stream=stream)
    return stream.getvalue()


def test_a_report_says_what_where_by_which_way_what_was_meant_and_what_was_being_done() -> None:
    assert draw(FINDING) == DRAWN


def test_what_was_being_done_needs_nobody_that_it_was_done_for() -> None:
    for doing, names, shown in (
        ("listing the runs of", (), "\n  while listing the runs"),
        ("listing the runs of", ("a",), "\n  while listing the runs of a"),
        ("reading the command line", (), "\n  while reading the command line"),
        ("", ("a",), "wrong"),
    ):
        assert draw(Finding("It is wrong", doing=doing, experiments=names)).endswith(shown)


def test_what_is_no_terminal_gets_the_plain_text() -> None:
    assert shown(io.StringIO()) == f"{DRAWN}\n"


def test_a_terminal_gets_the_same_text_in_red_green_and_weights() -> None:
    text = shown(Terminal())

    assert ESCAPE.sub("", text) == f"{DRAWN}\n"
    assert "\x1b[1;31munknown section\x1b[0m" in text
    assert "\x1b[1;32m`scheduler`\x1b[0m or \x1b[1;32m`scaler`\x1b[0m?" in text
    # Black, white and the like, and backgrounds, would vanish on one terminal or another.
    assert {code for codes in ESCAPE.findall(text) for code in codes.split(";")} == {"0", "1", "2", "31", "32"}


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "unknown")])
def test_colours_that_are_not_wanted_are_not_sent(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    assert shown(Terminal()).split() == DRAWN.split()


def test_colours_can_be_had_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert ESCAPE.sub("", shown(io.StringIO())) == f"{DRAWN}\n"
    assert "\x1b[1;31m" in shown(io.StringIO())


def test_a_narrow_terminal_breaks_sentences_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = ESCAPE.sub("", shown(Terminal()))

    assert (
        text
        == """\
unknown section ── base.yaml:2:1
  1 | loss: {}
  2 | schduler: {}
    | ^^^^^^^^
  included by middle.yaml:3:5
  included by exp.yaml:1:12
  There is no section `schduler`. Did
  you mean `scheduler` or `scaler`?
  first given here: base.yaml:1:1
  Values of your own go under `params`,
  or are read by some `${...}` that is
  written anywhere in the config.
  while validating a, b, c and 2 more
"""
    )


def test_nothing_from_a_file_or_a_message_reaches_the_terminal_as_a_command() -> None:
    Path("base.yaml").write_text("a: '\x1b[2J\x9b2J'\n", encoding="utf-8")
    evil = Finding(
        "`\x1b]0;title\x07` is no `\u202eemit`.",
        "wrong\x1b[1m",
        (),
        location=SourceLocation("base.yaml", 1, 4),
        suggestions=("\x1b[5m",),
        hint="\x9b31m",
        details="",
        experiments=("\x1b[7m",),
        doing="validating",
    )
    crash = Finding("x", "ValueError", details="Traceback\n  \x1b[8mhidden\r\x08")
    for text in (draw(evil), draw(crash), ESCAPE.sub("", shown(Terminal(), evil, crash))):
        assert all(sign.isprintable() or sign == "\n" for sign in text)


def test_a_mistake_met_again_takes_a_line() -> None:
    stream = io.StringIO()
    show([], [(FINDING, ("d", "e"))], stream)

    assert stream.getvalue() == "unknown section ── base.yaml:2:1 ── again in d and e\n"


def test_a_finding_travels_through_json() -> None:
    bare = Finding("x", config_path=("layers", 0))
    for each in (FINDING, bare):
        assert from_plain(json.loads(json.dumps(to_plain(each)))) == each
