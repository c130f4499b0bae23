"""The line of a finding as it is drawn: numbered, cut to the width there is, its token underlined."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from otrainer.diagnostics.characters import cells, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otrainer.diagnostics.source_text import Sources
    from otrainer.errors import SourceLocation

Line = list[tuple[str, str]]
CUT = "\u2026"
WIDTH, LEAST = 120, 20
LONGEST = 20  # times the room: of a line that may be endless, although letters may carry marks that take no cell


def excerpt(at: SourceLocation, sources: Sources, width: int | None = None) -> Iterator[Line]:
    """Yield the line of `at` and the one before it, the token underlined; each is a list of texts with a role."""
    line = sources.line(at)
    if line is None:
        return
    gutter = len(str(at.line))
    room = max(LEAST, (width or WIDTH) - gutter - 5)
    start = window(line, at.col - 1, room)
    if at.line > 1:
        yield numbered(at.line - 1, gutter, cut(sources.lines(at.file)[at.line - 2], start, room))
    yield numbered(at.line, gutter, cut(line, start, room))
    indent = cells(cut(line[: at.col - 1], start, room, whole=True))
    length = cells(visible(line[at.col - 1 : min(sources.end_col(at) - 1, at.col + room)]))
    yield [(f"  {'':>{gutter}} | ", "gutter"), (" " * indent + "^" * max(1, min(length, room - indent)), "mark")]


def numbered(number: int, gutter: int, text: str) -> Line:
    return [(f"  {number:>{gutter}} | ", "gutter"), (text, "source")]


def window(line: str, token: int, room: int) -> int:
    """Return the index from which a line is shown so that its token is seen: 0 unless the line is cut on its left."""
    if len(line) <= room and cells(visible(line)) <= room:
        return 0
    if token <= room and cells(visible(line[:token])) <= room // 2:
        return 0
    start, left = token, room // 3
    while start > 0 and left > 0:
        start -= 1
        left -= cells(visible(line[start]))
    return start


def cut(line: str, start: int, room: int, *, whole: bool = False) -> str:
    """Cut a line from `start` on to `room` cells, with a mark where something is left out; `whole` keeps its end."""
    size = room + 1
    while size <= room * LONGEST and cells(visible(line[start : start + size])) <= room:
        size *= 2
    shown = (CUT if start else "") + visible(line[start : start + size])
    if whole or (len(line) - start <= size and cells(shown) <= room):
        return shown
    end = bisect_right(range(1, len(shown) + 1), room - 1, key=lambda end: cells(shown[:end]))
    return shown[:end] + CUT
