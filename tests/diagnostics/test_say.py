"""Nothing that otrainer says acts on the terminal, whoever named it; colours of ours and lines stay."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from otrainer.diagnostics.drawing import show
from otrainer.diagnostics.redaction.streams import Screen
from otrainer.diagnostics.say import Legible, in_a_line, legible, make_legible, make_log_legible, say
from otrainer.errors import Finding

ACTING = "\x1b[2J\x1b]0;t\x07\r\b\x9b31m\x85\u202e\u2066\u200b\u2028\x7f\udce4\0"


def acts(text: str) -> bool:
    return any(not char.isprintable() for char in text if char != "\n")


def test_signs_stand_for_all_that_acts_or_hides() -> None:
    assert legible("a\nb é 漢") == "a\nb é 漢"
    assert legible("a\x1b[31mb\tc\x07\r\n") == "a␛[31mb    c␇␍\n"
    assert not acts(legible(ACTING))
    assert in_a_line("a\nfit:x  up to date") == "a␊fit:x  up to date"


def test_what_is_said_has_signs_and_keeps_colours_only_where_it_is_coloured(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"\x1b[1m{ACTING}")
    say(f"\x1b[2m# a\x1b[0m{ACTING}", coloured=True)
    plain, coloured = capsys.readouterr().out.splitlines()
    assert not acts(plain)
    assert coloured.startswith("\x1b[2m# a\x1b[0m␛[2J")
    assert not acts(coloured.replace("\x1b[2m", "").replace("\x1b[0m", ""))


def test_a_process_of_ours_prints_nothing_else_and_findings_keep_their_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", out)
    make_legible()
    make_legible()
    print(ACTING)
    sys.stderr.writelines([ACTING, "\n"])
    assert isinstance(sys.stdout, Legible)
    assert not acts(out.getvalue())
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", Screen(sys.stderr))  # where secrets are hidden as well
    show([Finding(f"`{ACTING}`", "odd \x1b[2J name")])
    drawn = out.getvalue()
    assert "\x1b[1" in drawn
    assert "\x1b[2J" not in drawn


def test_log_records_of_ours_have_signs_and_those_of_others_are_their_own(caplog: pytest.LogCaptureFixture) -> None:
    make_log_legible()
    logging.getLogger("otrainer").warning("`%s`: %d of\n%s", "a\x1b[31m", 3, "b\x07")
    logging.getLogger("plugin").warning("%s", "a\x1b[31m")
    assert [record.getMessage() for record in caplog.records] == ["`a␛[31m`: 3 of\nb␇", "a\x1b[31m"]
