"""Make the parts of a report that come from an exception: the places on its way, and what led to it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from itertools import groupby
from traceback import walk_tb
from typing import TYPE_CHECKING

from otrainer.diagnostics.exceptions.raised import Raised
from otrainer.errors import Finding, SourceLocation, not_written
from otrainer.storage.project import display_path

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions.traceback import Step

MOST_STEPS = 6
MEND = "Mend that line, or what the config gives it."
WHOLE = "OTRAINER_TRACEBACK=1 in the environment shows the whole traceback."
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
WRITES = "otrainer.storage.atomic"
Related = tuple[str, SourceLocation]


def callers_of(steps: Sequence[Step]) -> list[Related]:
    """Return the callers, innermost first; of a long way both ends."""
    rows: list[Related] = []
    for (function, place), group in groupby((step.function, step.place) for step in steps):
        count = len(list(group))
        times = f" ({count:,} times)" if count > 1 else ""
        rows.append((f"called in `{function}`{times}", place))
    if len(rows) <= MOST_STEPS:
        return rows
    *first, last = [*rows[: MOST_STEPS - 1], rows[-1]]
    return [*first, (f"({len(rows) - MOST_STEPS:,} more) {last[0]}", last[1])]


def led_by(raised: Raised) -> tuple[list[Related], list[str]]:
    """Return the exceptions that led to this one, those with a line of the user's as places and the others as words."""
    places: list[Related] = []
    words: list[str] = []
    while raised.led_by is not None:
        how, raised = raised.led_by
        own = [step for step in raised.steps if step.is_own]
        summary, *more = raised.summary.splitlines()
        notes = f" ({'; '.join(more)})" if more else ""
        if own:
            places.append((f"{how} {summary}{notes}", own[-1].place))
        else:
            words.append(f"{how} {summary}{notes}")
    return places, words


def own_lines(error: BaseException) -> list[Related]:
    """Return the lines in the user's code that an exception came through, innermost first."""
    own = [step for step in reversed(Raised.of(error).steps) if step.is_own]
    return [(f"raised in `{step.function}`", step.place) for step in own[:1]] + callers_of(own[1:])


def place_of_failure(cause: BaseException) -> SourceLocation | None:
    """Return the innermost line in code of the user's own; for a syntax error the place that Python cannot read."""
    if isinstance(cause, SyntaxError) and cause.filename and cause.lineno:
        return SourceLocation(display_path(cause.filename), cause.lineno, max(1, cause.offset or 1))
    own = [step for step in Raised.of(cause).steps if step.is_own]
    return own[-1].place if own else None


def cannot_write(error: BaseException) -> Finding | None:
    """Return the finding for what is no fault of the code that writes; None for any other error.

    That is a disk that is full, broken or read-only, and whatever keeps otrainer itself from writing a file.
    """
    if not isinstance(error, OSError) or not (error.errno in DISK_ERRORS or is_raised_in(error, WRITES)):
        return None
    return not_written(error)


def is_raised_in(error: BaseException, module: str) -> bool:
    """Return whether a module raised an error itself."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__") == module


def unexplained(error: BaseException, after: BaseException | None = None) -> Finding:
    """Return the finding for any other exception, with its lines in the user's code, or all where none is.

    One `after` which it was raised is reported elsewhere.
    """
    raised = Raised.of(error, within=frozenset([id(after)]))
    own = [step for step in raised.steps if step.is_own]
    steps = [*reversed(own or raised.steps)]
    led, words = led_by(raised)
    return Finding(
        "\n".join([raised.text or raised.kind, *words]),
        title=type(error).__name__,
        location=steps[0].place if steps else None,
        related=(*callers_of(steps[1:]), *led),
        hint=MEND if own else WHOLE,
    )
