"""List the lines that an exception came through, and tell which of them are the user's own."""

from __future__ import annotations

import linecache
import traceback
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from types import FrameType

from otrainer.errors import SourceLocation
from otrainer.storage.installed import is_installed
from otrainer.storage.project import PACKAGE_FOLDER, display_path


@dataclass(frozen=True)
class Step:
    """A line on the way of an exception, with its frame where that is at hand; `column` counts from 1."""

    file: str
    line: int
    column: int
    function: str
    frame: FrameType | None = field(default=None, compare=False, repr=False)

    @property
    def place(self) -> SourceLocation:
        return SourceLocation(display_path(self.file), self.line, self.column)

    @property
    def is_own(self) -> bool:
        """Whether it is in the user's code."""
        return is_own(self.file)


def steps_of(error: BaseException) -> tuple[Step, ...]:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    traced = getattr(error, "real_stack", None)  # torch's compiler tells in it which lines it was at
    beyond = traced if isinstance(traced, traceback.StackSummary) else ()
    found = [*traceback.extract_tb(error.__traceback__), *beyond]
    return tuple(
        Step(line.filename, line.lineno or 1, column_of(line), line.name, frame)
        for line, frame in zip_longest(found, frames)
    )


def column_of(line: traceback.FrameSummary) -> int:
    """Return the column from 1 in characters, which Python counts in bytes."""
    source = linecache.getline(line.filename, line.lineno or 1).encode()
    return len(source[: line.colno or 0].decode(errors="replace")) + 1


def is_own(file: str) -> bool:
    """Return whether a file is neither otrainer's, nor installed, nor Python's own."""
    path = Path(file)
    return path.is_absolute() and not path.is_relative_to(PACKAGE_FOLDER) and not is_installed(path)
