"""Rows that a stretch of training wrote after its last checkpoint: they go, as does what a power cut left of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import IO

# A line, or where blocks of it never came to the disk: zeros, and what stands before and behind them.
PIECE = re.compile(rb"\0+|[^\n\0]*\n|[^\n\0]+")
HEAD = b'{"step": '
UNSEALED = 1 << 20  # bytes at the end of a file that is opened anew, of which a power cut may have left zeros


def drop_own(path: Path, start: int, run: str | None, stages: Collection[str]) -> None:
    """Drop a run's rows from byte `start` of a file on, and what is torn; each other line stays where it is.

    Own rows are of one of the `stages`, and say their `run` where it is not None. Those that lines of somebody else
    follow are overwritten by blanks, which JSON ignores before a row: nothing moves under whoever appends meanwhile.
    What is dropped is gone from the disk when this returns.
    """
    with path.open("r+b", buffering=0) as file:
        rewrite(file, start, lambda piece: is_own(piece, run, stages))


def drop_zeros(path: Path) -> None:
    """Drop zeros near the end of a file, and what they left of rows: no JSON is read in a line with a zero."""
    with path.open("r+b", buffering=0) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - UNSEALED))
        if b"\0" in file.read():
            rewrite(file, line_before(file), lambda _: False)


def line_before(file: IO[bytes]) -> int:
    """Return where a line begins, about as far before the end of a file as zeros are looked for; else its beginning."""
    at = file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * UNSEALED))
    return at + file.read(UNSEALED).rfind(b"\n") + 1 if at else 0


def rewrite(file: IO[bytes], start: int, goes: Callable[[bytes], bool]) -> None:
    """Drop what `goes` of a file from `start` on, and what is torn by zeros."""
    file.seek(start)
    tail = file.read()
    whole = b"".join(mended(PIECE.findall(tail), goes))
    if whole == tail:
        return
    if file.seek(0, os.SEEK_END) == start + len(tail):  # else somebody has appended just now
        whole = whole.rstrip(b" ")
        file.truncate(start + len(whole))
    file.seek(start)
    file.write(whole)
    os.fsync(file.fileno())


def mended(pieces: Sequence[bytes], goes: Callable[[bytes], bool]) -> Iterator[bytes]:
    """Yield the pieces with blanks for those that go; zeros behind one that stays end its line."""
    last, has_ended = b"", True
    for piece, following in zip_longest(pieces, pieces[1:], fillvalue=b""):
        if piece.startswith(b"\0"):
            yield (b"" if has_ended else b"\n").ljust(len(piece))
            has_ended = True
        elif goes(piece) or is_torn(piece, last.startswith(b"\0"), following.startswith(b"\0")):
            yield b" " * len(piece)
        else:
            yield piece
            has_ended = piece.endswith(b"\n")
        last = piece


def is_torn(piece: bytes, lost_begin: bool, lost_end: bool) -> bool:
    """Return whether a piece with zeros before or behind it is what they left of a row, of whosever."""
    if not (lost_begin or lost_end) or is_json(piece):
        return False
    return piece.startswith(HEAD[: len(piece)]) or (
        lost_begin and (lost_end or piece.endswith(b"}\n") or piece == b"\n")
    )


def is_json(piece: bytes) -> bool:
    """Return whether a piece can be read as JSON."""
    try:
        json.loads(piece)
    except (ValueError, RecursionError):
        return False
    return True


def is_own(piece: bytes, run: str | None, stages: Collection[str]) -> bool:
    """Return whether a piece of a file is a row of the run, whole or cut off while it was written."""
    try:
        row = json.loads(piece)
    except (ValueError, RecursionError):
        return not piece.endswith(b"\n") and begins_own(piece, run)
    if not isinstance(row, dict) or row.get("stage") not in stages or "step" not in row:
        return False
    return run is None or row.get("run") == run


def begins_own(piece: bytes, run: str | None) -> bool:
    """Return whether a row of the run begins so; one that says its run may have been cut off before that."""
    if run is None:
        return piece.startswith(HEAD[: len(piece)])
    return piece.startswith(HEAD) and f'"run": {json.dumps(run, ensure_ascii=False)}'.encode() in piece
