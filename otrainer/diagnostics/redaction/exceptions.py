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
