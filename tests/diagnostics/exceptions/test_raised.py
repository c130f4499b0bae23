"""What an exception says is the same whether it is at hand or was printed in another process."""

from __future__ import annotations

import math
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch._utils import ExceptionWrapper

from otrainer.diagnostics.exceptions import Raised
from otrainer.diagnostics.exceptions.traceback import is_own

LINES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=9)
MESSAGES = st.lists(LINES, min_size=1, max_size=3).map("\n".join)
KINDS = st.sampled_from([ValueError, KeyError, OSError, RuntimeError, LookupError])
LINKS = st.sampled_from(["because of", "while handling"])


class OddError(Exception):
    """Another process cannot make one of these from its text alone."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def raise_all(chain: list[tuple[type[Exception], str, str]]) -> None:
    """Raise the first of `chain`, each of the others while the one after it is handled."""
    (kind, message, how), *earlier = chain
    if not earlier:
        raise kind(message)
    try:
        raise_all(earlier)
    except Exception as error:
        if how == "because of":
            raise kind(message) from error
        raise kind(message)  # noqa: B904 - so that it is not chained


def caught(chain: list[tuple[type[Exception], str, str]]) -> Exception:
    try:
        raise_all(chain)
    except Exception as error:  # noqa: BLE001 - whichever it is
        return error
    raise AssertionError


def facts(raised: Raised) -> list[tuple[str, str, str, list[tuple[str, int]]]]:
    """Of each exception: how it led to the next, its type, its words and its lines."""
    found = []
    how, each = "", raised
    while True:
        found.append((how, each.kind, each.text, [(step.function, step.line) for step in each.steps]))
        if each.led_by is None:
            return found
        how, each = each.led_by


@given(st.lists(st.tuples(KINDS, MESSAGES, LINKS), min_size=1, max_size=4))
def test_a_printed_traceback_tells_what_the_exception_does(chain: list[tuple[type[Exception], str, str]]) -> None:
    error = caught(chain)
    wrapped = ExceptionWrapper((type(error), error, error.__traceback__), where="in DataLoader worker process 3")
    with pytest.raises(type(error)) as again:
        wrapped.reraise()
    printed = Raised.of(again.value)

    assert printed.where == "in DataLoader worker process 3"
    around = len(traceback.extract_tb(again.value.__traceback__))
    assert [(*fact[:3], fact[3][around:]) for fact in facts(printed)] == facts(Raised.of(error))


def test_one_that_cannot_be_made_again_is_told_by_its_own_type() -> None:
    wrapped = ExceptionWrapper((OddError, OddError(3, "bad"), None), where="in pin memory thread for device 0")
    with pytest.raises(RuntimeError) as again:
        wrapped.reraise()
    raised = Raised.of(again.value)

    assert (raised.kind, raised.text, raised.where) == ("OddError", "3: bad", "in pin memory thread for device 0")


def test_notes_groups_and_long_messages_are_kept_in_reason() -> None:
    group = ExceptionGroup("two failed", [ValueError("one"), KeyError("other")])
    group.add_note("both were tried")

    assert Raised.of(group).text.splitlines() == [
        "two failed (2 sub-exceptions)",
        "- ValueError: one",
        "- KeyError: 'other'",
        "both were tried",
    ]
    assert Raised.of(ValueError("\n".join("x" * 40))).text.splitlines()[-2:] == ["x", "(10 more lines)"]


def test_a_text_that_fails_itself_hides_nothing_else() -> None:
    class Mute(Exception):  # noqa: N818 - it says nothing
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert Raised.of(Mute()).summary == "Mute: (its text cannot be read)"


def test_a_chain_that_leads_back_to_itself_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert [fact[2] for fact in facts(Raised.of(one))] == ["one", "other"]


@pytest.mark.parametrize(
    ("file", "own"),
    [(__file__, True), (pytest.__file__, False), (traceback.__file__, False), ("<otrainer model 1>", False)],
)
def test_the_users_code_is_what_is_neither_installed_nor_of_python(file: str, own: bool) -> None:
    assert is_own(file) is own


class Secretive:
    def __dir__(self):
        raise RuntimeError


def misspell_a_variable() -> None:
    weights = 1
    return wieghts + weights  # type: ignore[name-defined,return-value]  # noqa: F821


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        (lambda: math.sqroot(1), "module 'math' has no attribute 'sqroot'. Did you mean `sqrt`?"),  # type: ignore[attr-defined]
        (misspell_a_variable, "name 'wieghts' is not defined. Did you mean `weights`?"),
        (lambda: nn.Linear(1, 1).wight, "object has no attribute 'wight'. Did you mean `weight`?"),
        (lambda: [].shape, "'list' object has no attribute 'shape'"),  # type: ignore[attr-defined]
        (lambda: Secretive().weight, "object has no attribute 'weight'"),  # type: ignore[attr-defined]
        (lambda: {"weight": 1}["wight"], "'wight'"),
    ],
)
def test_a_name_that_python_did_not_find_is_told_with_the_nearest(asks, words: str) -> None:
    with pytest.raises((AttributeError, NameError, KeyError)) as error:
        asks()
    assert Raised.of(error.value).text.endswith(words)
