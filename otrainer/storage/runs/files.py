"""Which files in a run's folder its training wrote: those alone are removed with the run."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from otrainer.storage.atomic import TEMP_PREFIX
from otrainer.storage.canonical_json import read_json
from otrainer.storage.inside_project import written
from otrainer.storage.runs.evaluations import files_of_evaluations
from otrainer.storage.runs.ownership import is_checkpoint
from otrainer.storage.runs.run_json import DAMAGED, LAST, PREVIOUS, RUN_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Where outputs that a run left elsewhere wait while it is kept.
ELSEWHERE = ".elsewhere"
RESOLVED = "resolved.yaml"
CODE = "code"
FINGERPRINTS = "code/fingerprints.json"
SOURCES = "code/sources.json"


def files_below(folder: Path) -> Iterator[str]:
    """Yield every file and link below `folder` with its path from there; links are not followed."""
    for here, folders, files in os.walk(folder):
        within = os.path.relpath(here, folder).replace(os.sep, "/")
        before = "" if within == "." else f"{within}/"
        links = [name for name in folders if Path(here, name).is_symlink()]
        yield from (f"{before}{name}" for name in [*files, *links])


def foreign_files(folder: Path, run: Mapping[str, Any] | None) -> list[str]:
    """Return the files below a run's folder that its training did not write, sorted; all where there is no run."""
    own = set(own_files(folder, run)) if run is not None else set()
    return sorted(name for name in files_below(folder) if name not in own and not is_passing(name))


def own_files(folder: Path, run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files that a run wrote into its folder: those that it listed, and what is always called so."""
    yield from (RUN_FILE, RESOLVED, FINGERPRINTS, SOURCES)
    yield from (f"{CODE}/{name}" for name in code_files(folder))
    yield from texts(run.get("files"))
    yield from files_of_evaluations(folder)
    for output in map(PurePath, run["outputs"]):
        yield output.as_posix()
        if output.name == LAST:
            # Where several were found damaged, all but the first have a number behind their names; one that lost its
            # seal is not known from what somebody else put there.
            beside = folder / output.parent
            candidates = [beside / PREVIOUS, *beside.glob(f"{DAMAGED}*")]
            yield from ((output.parent / each.name).as_posix() for each in candidates if is_checkpoint(each))
    out_dir = run["config"].get("run", {}).get("out_dir")
    for path, _ in written(run["config"]) if out_dir else ():
        yield os.path.relpath(path or ".", out_dir)


def waiting_name(name: str) -> Path:
    return Path(*("__" if part == ".." else part for part in Path(name).parts))


def code_files(folder: Path) -> list[str]:
    """Return the sources that a run keeps in its folder's `code`, with their paths from there."""
    try:
        return texts(read_json(folder / FINGERPRINTS)["files"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


def texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def is_passing(name: str) -> bool:
    """Return whether a file is half-written, or waits for its run to come back."""
    return name.rpartition("/")[2].startswith(TEMP_PREFIX) or name.partition("/")[0] == ELSEWHERE
