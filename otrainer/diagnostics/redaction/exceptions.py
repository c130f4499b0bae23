"""Findings and exceptions without the secrets that this process has read, whoever shows them then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from otrainer.diagnostics.redaction.values import known, masked
from otrainer.errors import ConfigError, Finding


def masked_finding(finding: Finding) -> Finding:
    """Return the finding with references in place of secrets, in each of its texts."""
    if not known():
        return finding
    given = {part.name: getattr(finding, part.name) for part in fields(finding)}
    changed: dict[str, Any] = {name: masked(value) for name, value in given.items() if isinstance(value, str)}
    related = tuple((masked(role), place) for role, place in finding.related)
    return replace(finding, **changed, suggestions=tuple(map(masked, finding.suggestions)), related=related)


def hide_in(error: BaseException) -> bool:
    """Mask the texts of an exception and of those behind it in place; return whether none shows a secret then."""
    if not known():
        return True
    chain = list(all_behind(error))
    for each in chain:
        mask_in_place(each)
    return not any(known().shown_in(text) for each in chain for text in texts_of(each))


def all_behind(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and, once each, those that led to it or that it is a group of."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [behind for behind in (each.__cause__, each.__context__) if behind is not None]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


def mask_in_place(error: BaseException) -> None:
    if isinstance(error, ConfigError):
        error.findings = tuple(map(masked_finding, error.findings))
    args = tuple(masked(item) if isinstance(item, str) else item for item in error.args)
    if any(new is not old for new, old in zip(args, error.args, strict=True)):
        error.args = args
    if isinstance(error, OSError) and isinstance(error.filename, str):
        error.filename = masked(error.filename)
    if notes := getattr(error, "__notes__", None):
        notes[:] = [masked(note) if isinstance(note, str) else note for note in notes]


def texts_of(error: BaseException) -> tuple[str, ...]:
    """Return the texts of an exception; none where its own code for that fails."""
    try:
        return str(error), repr(error)
    except Exception:  # noqa: BLE001 - whoever shows it meets the same
        return ()


def stand_in(error: BaseException) -> BaseException:
    """Return an exception that reads like this one, and those behind it, without their secrets.

    The exception itself is left: its program may still need what it says.
    """
    whole = list(all_behind(error))
    made: dict[int, BaseException] = {}
    for each in reversed(whole):  # what a group is of comes before it
        parts = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        made[id(each)] = alike(each, [made[id(part)] for part in parts if id(part) in made])
    for each in whole:
        new = made[id(each)].with_traceback(each.__traceback__)
        new.__cause__, new.__context__ = (made.get(id(behind)) for behind in (each.__cause__, each.__context__))
        new.__suppress_context__ = each.__suppress_context__
        for note in getattr(each, "__notes__", ()):
            new.add_note(masked(str(note)))
    return made[id(error)]


def alike(error: BaseException, parts: list[BaseException]) -> BaseException:
    """Return an exception of the same name with the same text, masked."""
    if isinstance(error, BaseExceptionGroup) and parts:
        return BaseExceptionGroup(masked(error.message), parts)
    text = masked(next(iter(texts_of(error)), ""))
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__str__": lambda _self: text}
    made: BaseException = type(kind.__name__, (Exception,), names)(text)
    return made
