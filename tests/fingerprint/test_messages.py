"""A text of our own code is left out where it can only become a message, and counts wherever it may decide."""

from __future__ import annotations

import ast

import pytest

from otrainer.fingerprint.messages import without_messages
from otrainer.fingerprint.normal_form import normal_form

# An expression or the body of a function, in which TEXT stands for a text.
MESSAGES = (
    "raise ValueError(TEXT)",
    "raise refused(name, TEXT)",
    "raise ConfigError(name, title=TEXT, hint=name)",
    "return Finding(TEXT, (name, 1), hint=TEXT)",
    "report.add(TEXT, path, title=TEXT)",
    "report.mapping(value, path, what=TEXT)",
    "log.warning(TEXT, name)",
    "print(TEXT if name else name)",
    "assert name, TEXT",
    "message = TEXT\n raise ValueError(message)",
    "message, hint = TEXT, TEXT\n report.add(message, title=hint)",
    "more = TEXT if name else ''\n raise ConfigError(f'{name}{more}')",
    "wrong = [TEXT for each in name]\n if wrong:\n  raise ConfigError(wrong[0])",
    "wrong = TEXT if name else ''\n if not wrong:\n  return 1\n log.info(wrong)",
    "words = ', '.join([TEXT, *name])\n log.info(words)",
    "text = TEXT\n text += TEXT\n other = text\n print(other)",
)
DECIDING = (
    "return TEXT",
    "return name == TEXT",
    "return name[TEXT]",
    "return call(TEXT)",
    "return call(mode=TEXT)",
    "super().__init__(TEXT)",
    "mode = TEXT\n print(mode)\n return call(mode)",
    "mode = TEXT\n other = mode\n return other",
    "mode = TEXT\n if mode == name:\n  return 1",
    "mode = TEXT\n def inner():\n  return mode\n return inner",
    "global mode\n mode = TEXT",
    "name.mode = TEXT\n raise ValueError(name.mode)",
    "log.info(call(TEXT))",
    "log.update(TEXT)",
    "print(name := TEXT)",
    "raise ValueError(name := TEXT)",
    "for name in TEXT:\n  print(name)",
    "words = len(TEXT)\n print(words)",
    "words = [TEXT]\n name.append(words)",
)


def form(body: str, text: str) -> str:
    source = f"def function(name):\n {body}\n".replace("TEXT", text)
    return normal_form(without_messages(ast.parse(source)))


@pytest.mark.parametrize("body", MESSAGES)
def test_what_only_becomes_a_message_does_not_count(body: str) -> None:
    assert form(body, "'one'") == form(body, "'two'") == form(body, "f'three {name}'")


@pytest.mark.parametrize("body", DECIDING)
def test_what_may_decide_counts(body: str) -> None:
    assert form(body, "'one'") != form(body, "'two'")


@pytest.mark.parametrize("body", ["wrong = TEXT\n if wrong:\n  print(wrong)", "return name or TEXT"])
def test_an_empty_text_is_not_any_text(body: str) -> None:
    assert form(body, "''") != form(body, "'one'")


@pytest.mark.parametrize(("base", "same"), [("ValueError", True), ("Exception", True), ("Module", False)])
def test_what_a_class_passes_on_is_a_message_where_it_is_an_error(base: str, same: bool) -> None:
    source = "class Part({base}):\n def __init__(self, name):\n  super().__init__({text})\n"
    one, two = (
        normal_form(without_messages(ast.parse(source.format(base=base, text=text)))) for text in ("'one'", "name")
    )

    assert (one == two) == same


def test_calls_beside_a_message_stay_where_training_goes_on() -> None:
    assert form("log.info(draw(TEXT), name)", "name") != form("log.info(take(TEXT), name)", "name")
