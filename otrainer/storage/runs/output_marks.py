"""Marks of the files that a run left, by size, time and checksum: they tell one that changed since from the others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

TAIL = 65536


def measure(run_dir: str | os.PathLike[str], paths: Iterable[str | os.PathLike[str]]) -> dict[str, list[Any]]:
    """Return the `outputs` of run.json: paths from the run directory, with size, mtime_ns and checksum as of now."""
    folder = Path(run_dir)
    return {Path(path).as_posix(): mark_of(folder / path) for path in paths}


def mark_of(path: Path) -> list[Any]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, checksum(path)]


def checksum(path: Path) -> str:
    """Hash the end of a file: it tells checkpoints of the same size apart, by the zip's own table of CRCs.

    The last 64 KiB of a file of torch's hold the name, size and CRC of each member.
    """
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL))
        return hashlib.sha256(stream.read()).hexdigest()[:32]


def altered(path: Path, mark: list[Any]) -> bool:
    """Return whether a file differs from its mark; one that was only copied or touched does not.

    Raises OSError where it is not there.
    """
    status = path.stat()
    if status.st_size != mark[0]:
        return True
    return bool(status.st_mtime_ns != mark[1] and checksum(path) != mark[2])


def has_all_outputs(run_dir: Path, run: Mapping[str, Any]) -> bool:
    """Return whether all that a run left is there, wherever it waits."""
    names = [run_dir / name for name in run["outputs"] if ".." not in Path(name).parts]
    return all(path.is_file() for path in names)


def is_mark(mark: Any) -> bool:
    return isinstance(mark, list) and len(mark) == 3 and all(isinstance(each, int) for each in mark[:2])
