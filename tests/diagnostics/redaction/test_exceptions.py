"""Exceptions that told a secret, and tell its reference now."""

from __future__ import annotations

import traceback

import pytest

from otrainer.diagnostics.drawing import draw_error
from otrainer.diagnostics.redaction.exceptions import hide_in
from otrainer.diagnostics.redaction.values import remember
from otrainer.errors import ConfigError

PASSWORD = "hunter2-xyz"  # noqa: S105 - it is one


def fail_with(word: str) -> None:
    """Raise an error with another one behind it, both of which tell the word."""
    cause = OSError(5, "no", f"/srv/{word}")
    cause.add_note(f"tried {word}")
    raise ConfigError(f"with {word}", hint=f"not {word}") from cause


def test_an_exception_loses_its_secrets_but_not_its_place():
    remember({"PW": PASSWORD})
    with pytest.raises(ConfigError) as caught:
        fail_with(PASSWORD)
    hidden = hide_in(caught.value)
    told = "".join(traceback.format_exception(caught.value)) + draw_error(caught.value)
    assert hidden
    assert PASSWORD not in told
    for text in (
        "with ${secret:PW}",
        "/srv/${secret:PW}",
        "tried ${secret:PW}",
        "not ${secret:PW}",
        "test_exceptions.py",
    ):
        assert text in told


def test_an_exception_that_cannot_be_masked_is_told_of():
    class StubbornError(Exception):
        def __str__(self):
            return PASSWORD

    remember({"PW": PASSWORD})
    assert not hide_in(StubbornError())
    assert hide_in(ValueError("else"))


def test_an_exception_that_cannot_be_shown_stays_what_it_is():
    class BrokenError(Exception):
        def __str__(self):
            raise TypeError

    remember({"PW": PASSWORD})
    assert hide_in(BrokenError(PASSWORD, 3))


def test_a_long_chain_and_a_group_are_gone_through():
    remember({"PW": PASSWORD})
    error = first = ValueError(PASSWORD)
    for _ in range(3_000):
        later = ValueError("later")
        later.__cause__ = error
        error = later
    assert hide_in(ExceptionGroup("some", [error, OSError(1, "no", PASSWORD)]))
    assert first.args == ("${secret:PW}",)
