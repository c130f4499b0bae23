"""Where a piece of Python code stands, as a person would open it."""

from __future__ import annotations

from types import FrameType

from otrainer.errors import SourceLocation
from otrainer.storage.project import display_path


def origin_of(frame: FrameType | None) -> SourceLocation | None:
    """Return the line that `frame` is executing, or None without a frame."""
    if frame is None:
        return None
    column = next(iter(columns(frame)), 0)
    return SourceLocation(display_path(frame.f_code.co_filename), frame.f_lineno, column + 1)


def place_of_function(function: object) -> SourceLocation | None:
    """Return the line in which a function begins; None for what is not written in Python."""
    code = getattr(function, "__code__", None)
    return None if code is None else SourceLocation(display_path(code.co_filename), code.co_firstlineno, 1)


def columns(frame: FrameType) -> list[int]:
    """Return the column (from 0) of the running instruction, empty where Python was told not to keep it."""
    positions = list(frame.f_code.co_positions())
    index = frame.f_lasti // 2
    column = positions[index][2] if 0 <= index < len(positions) else None
    return [] if column is None else [column]


def display_origin(at: SourceLocation | None) -> str:
    """Return `file:line`, or "built in" for what comes with otrainer."""
    return f"{at.file}:{at.line}" if at else "built in"
