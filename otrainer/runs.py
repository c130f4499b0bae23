"""A run directory and what is known of it: its run.json, and the earlier runs that are kept beside it."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.locks import is_locked, shown
from otrainer.locks import lock_run as lock_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCHEMA = 1
RUN_FILE = "run.json"
KEPT = ".kept"
UNFINISHED = {"running": "It was cut off.", "interrupted": "It was interrupted.", "failed": "It failed."}
STATES = (*UNFINISHED, "complete")
KEYS = (
    "schema",
    "name",
    "experiment",
    "state",
    "definition",
    "global_step",
    "epoch",
    "metrics",
    "outputs",
    "started",
    "ended",
    "wall_s",
    "pid",
    "host",
    "lineage",
    "versions",
    "config",
)


def read_run(run_dir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What run.json in `run_dir` says; None if there is none. Raises ConfigError where it is damaged."""
    path = Path(run_dir) / RUN_FILE
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    if problem := flaw(data):
        raise damaged(path, problem)
    return data  # type: ignore[no-any-return]  # flaw() has looked at it


def flaw(data: Any) -> str | None:
    """What keeps `data` from being a run.json of ours, in a few words."""
    if not isinstance(data, dict):
        return "it holds no mapping"
    if data.get("schema") != SCHEMA:
        return f"its schema is {data.get('schema')!r}, not {SCHEMA}"
    if data.get("state") not in STATES:
        return f"its state is {data.get('state')!r}"
    if not isinstance(data.get("outputs"), dict) or not all(isinstance(size, int) for size in data["outputs"].values()):
        return "its outputs are not a mapping of paths to sizes"
    missing = [key for key in KEYS if key not in data]
    return f"it lacks {', '.join(f'`{key}`' for key in missing)}" if missing else None


def damaged(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"`{shown(path)}` does not read as a run's file: {problem}.",
        title="damaged run",
        hint="Nothing in this folder is touched; move it away, or mend the file.",
    )


def write_run(run_dir: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write run.json, its keys in their fixed order. Raises ValueError for one that `read_run` would refuse."""
    from otrainer.artifacts import write_json

    whole = {"schema": SCHEMA, **{key: data[key] for key in KEYS if key in data}, **data}
    if problem := flaw(whole):
        raise ValueError(f"not a run.json: {problem}")
    write_json(Path(run_dir) / RUN_FILE, whole)


def utc_now() -> str:
    """The time as run.json holds it: ISO 8601 in UTC, to the second, ending in Z."""
    return utc_text(time.time())


def utc_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def measure(run_dir: str | os.PathLike[str], paths: Iterable[str | os.PathLike[str]]) -> dict[str, int]:
    """The `outputs` of run.json: each path, relative to the run directory, with its size now."""
    folder = Path(run_dir)
    return {Path(path).as_posix(): (folder / path).stat().st_size for path in paths}


def is_complete(run_dir: str | os.PathLike[str], definition: str) -> bool:
    """Whether `run_dir` holds a finished run of `definition`, with all that it left still there."""
    return why_unfinished(run_dir, definition) is None


def why_unfinished(run_dir: str | os.PathLike[str], definition: str) -> str | None:
    """What keeps the run in `run_dir` from being a finished one of `definition`, as a sentence; None if nothing does.

    Raises ConfigError where run.json is damaged.
    """
    run = read_run(run_dir)
    if run is None:
        return "It was not trained yet."
    if run["definition"] != definition:
        return "Its definition changed."
    if run["state"] in UNFINISHED:
        return UNFINISHED[run["state"]]
    for name, size in run["outputs"].items():
        try:
            if (Path(run_dir) / name).stat().st_size != size:
                return f"`{name}` was altered."
        except (FileNotFoundError, NotADirectoryError):
            return f"`{name}` was deleted."
    return None


def move_aside(run_dir: str | os.PathLike[str]) -> Path | None:
    """Keep the run in `run_dir` under `.kept` beside it, and say where; None if there is nothing to keep.

    Raises ConfigError where the folder holds something that is not a run of ours; nothing is touched then.
    """
    from otrainer.artifacts import sync_folder

    folder = Path(run_dir).resolve()
    run = read_run(folder)
    if run is None:
        refuse_foreign(folder, run_dir)
        return None
    kept = folder.parent / KEPT / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    place = vacant(kept / f"{str(run['started']).replace(':', '')}-{str(run['definition'])[:8]}")
    folder.rename(place)
    sync_folder(kept)
    sync_folder(folder.parent)
    return place


def refuse_foreign(folder: Path, named: str | os.PathLike[str]) -> None:
    """Raise ConfigError unless `folder` is missing or empty; the error calls it as it was `named`."""
    try:
        empty = not any(folder.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError:
        empty = False
    if not empty:
        raise ConfigError(
            f"`{shown(named)}` holds something, but no {RUN_FILE}: it is not a run of ours. Nothing in it is touched.",
            title="not a run",
            hint="Name another `run.out_dir`, or move what is there.",
        )


def vacant(place: Path) -> Path:
    """`place`, with a number behind it where it is taken."""
    taken, number = place, 1
    while taken.exists():
        number += 1
        taken = place.with_name(f"{place.name}-{number}")
    return taken


def last_interrupted(runs_root: str | os.PathLike[str]) -> Path | None:
    """The run directory below `runs_root` whose training stopped last before its end; kept runs do not count."""
    stopped = [(when, folder) for folder in run_dirs(Path(runs_root)) if (when := stopped_at(folder))]
    return max(stopped)[1] if stopped else None


def run_dirs(root: Path) -> Iterator[Path]:
    """Every folder with a run.json below `root`, sorted; neither hidden folders nor runs are looked into."""
    for here, folders, files in os.walk(root):
        if RUN_FILE in files:
            folders.clear()
            yield Path(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def stopped_at(run_dir: Path) -> str | None:
    """When an unfinished run stopped, as UTC text; None if it is complete, still running or unreadable."""
    try:
        run = read_run(run_dir)
    except ConfigError:
        return None  # a damaged file tells nothing that could be continued
    if run is None or run["state"] == "complete":
        return None
    if run["state"] == "failed" and not run["outputs"]:
        return None  # there is nothing to go on from
    if run["state"] == "running" and is_locked(run_dir):
        return None
    return run["ended"] or max(run["started"] or "", utc_text((run_dir / RUN_FILE).stat().st_mtime))
