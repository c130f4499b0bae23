"""Whether a kept run is as it was when it was kept: only then it comes back."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.storage.atomic import is_own_file
from otrainer.storage.regular import open_regular
from otrainer.storage.runs.files import ELSEWHERE, waiting_name
from otrainer.storage.runs.ownership import checksum, is_checkpoint
from otrainer.storage.runs.run_json import needed_of

if TYPE_CHECKING:
    from collections.abc import Mapping

DAMAGE = (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError)


def spoilt(kept: Path, run: Mapping[str, Any]) -> str | None:
    """Say what a finished run that is kept has no longer as it left it; None where it is whole.

    What is there of it is read to its last byte: a run comes back once, and is then believed.
    """
    gone = []
    for name, mark in run["outputs"].items():
        place = within(kept, name)
        if place is None:
            return f"`{name}` lies behind a link"
        if not os.path.lexists(place):
            gone.append(name)
        elif not is_own_file(place):
            return f"`{name}` is no file any more"
        elif not is_as_marked(place, mark):
            return f"`{name}` was altered"
    # What lies elsewhere may not have been moved: another run has it, or somebody put it away.
    needed = needed_of([name for name in gone if ".." not in Path(name).parts], run)
    return f"`{needed[0]}` was deleted" if needed else None


def goes_on(kept: Path, run: Mapping[str, Any]) -> bool:
    """Return whether a kept run that did not end has a whole checkpoint in its folder to go on from."""
    inside = (within(kept, name) for name in run["outputs"] if ".." not in Path(name).parts)
    return any(place is not None and is_own_file(place) and is_whole(place) for place in inside)


def within(kept: Path, name: str) -> Path | None:
    """Return where an output of a kept run lies in its folder; None where there is a link on the way."""
    place = kept / (ELSEWHERE / waiting_name(name) if ".." in Path(name).parts else name)
    return None if any(above.is_symlink() for above in place.parents if above.is_relative_to(kept)) else place


def is_as_marked(path: Path, mark: list[Any]) -> bool:
    """Return whether a file has the size and the end that its mark says, and no byte of a checkpoint is another."""
    try:
        return path.stat().st_size == mark[0] and checksum(path) == mark[2] and is_whole(path)
    except OSError:
        return False


def is_whole(path: Path) -> bool:
    """Return whether all that a checkpoint holds is as it was written; of other files nothing is known."""
    if not is_checkpoint(path):
        return True
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            return archive.testzip() is None
    except DAMAGE:
        return False
