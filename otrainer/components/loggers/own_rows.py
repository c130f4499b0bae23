"""Rows that a stretch of training wrote after its last checkpoint: they go, and nobody else's do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path

LINE = re.compile(rb"[^\n]*\n|[^\n]+")


def drop_own(path: Path, start: int, run: str | None, stages: Collection[str]) -> None:
    """Drop a run's rows from byte `start` of a file on; each other line stays where it is.

    Own rows are of one of the `stages`, and say their `run` where it is not None. Those that lines of somebody else
    follow are overwritten by blanks, which JSON ignores before a row: nothing moves under whoever appends meanwhile.
    """
    with path.open("r+b", buffering=0) as file:
        file.seek(start)
        tail = file.read()
        lines: list[bytes] = LINE.findall(tail)
        left = [b" " * len(line) if is_own(line, run, stages) else line for line in lines]
        if left == lines:
            return
        whole = b"".join(left)
        if file.seek(0, os.SEEK_END) == start + len(tail):  # else somebody has appended just now
            whole = whole.rstrip(b" ")
            file.truncate(start + len(whole))
        file.seek(start)
        file.write(whole)


def is_own(line: bytes, run: str | None, stages: Collection[str]) -> bool:
    """Return whether a line is a row of the run, whole or cut off while it was written."""
    if not line.endswith(b"\n"):
        return run is None and line.startswith(b'{"step": '[: len(line)])
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(row, dict) or row.get("stage") not in stages or "step" not in row:
        return False
    return run is None or row.get("run") == run
