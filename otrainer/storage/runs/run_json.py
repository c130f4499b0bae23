"""A run directory and what is known of it: its run.json is the truth about a run."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage.atomic import is_left_over
from otrainer.storage.canonical_json import read_json, write_json
from otrainer.storage.held_lock import Holder, read_holder
from otrainer.storage.processes import ran_at
from otrainer.storage.project import display_path
from otrainer.storage.runs.fields import FIELDS, SCHEMA, flaw
from otrainer.storage.runs.lock import LOCKS, in_use, is_locked, lock_file, lock_run
from otrainer.storage.runs.ownership import altered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from _typeshed import StrPath

RUN_FILE = "run.json"
MOST_PIDS = 2**31
KEPT = ".kept"
# Checkpoints: the last one, the one that was it before, and one that was found damaged.
LAST, PREVIOUS, DAMAGED = "last.pt", "previous.pt", "damaged.pt"
UNFINISHED = {"running": "It was cut off.", "interrupted": "It was interrupted.", "failed": "It failed."}
KEYS = tuple(FIELDS)


def read_run(run_dir: StrPath) -> dict[str, Any] | None:
    """Read run.json in `run_dir`; return None if there is none. Raises ConfigError where it is damaged."""
    path = Path(run_dir) / RUN_FILE
    try:
        data = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise damaged(path, str(error.strerror)) from error
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if problem := flaw(data):
        raise damaged(path, problem)
    return data  # type: ignore[no-any-return]  # flaw() has looked at it


def read_run_or_none(run_dir: StrPath) -> dict[str, Any] | None:
    """Read run.json in `run_dir`; return None also where it is damaged."""
    try:
        return read_run(run_dir)
    except ConfigError:
        return None


def damaged(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"`{display_path(path)}` does not read as a run's file: {problem}.",
        title="damaged run",
        hint="Nothing in this folder is touched; move it away, or mend the file.",
    )


def write_run(run_dir: StrPath, data: Mapping[str, Any]) -> None:
    """Write run.json, its keys in their fixed order. Raises ValueError for one that `read_run` would refuse."""
    whole = {"schema": SCHEMA, **{key: data[key] for key in KEYS if key in data}, **data}
    if problem := flaw(whole):
        raise ValueError(f"not a run.json: {problem}")
    write_json(Path(run_dir) / RUN_FILE, whole)


def utc_now() -> str:
    """Return the time as run.json holds it: ISO 8601 in UTC, to the second, ending in Z."""
    return utc_text(time.time())


def utc_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def why_unfinished(run_dir: StrPath, definition: str) -> str | None:
    """Say why the run in `run_dir` is no finished one of `definition`; return None if it is.

    Raises ConfigError where run.json is damaged.
    """
    return judge(run_dir, definition)[0]


def judge(run_dir: StrPath, definition: str) -> tuple[str | None, list[str]]:
    """Say why the run in `run_dir` is no finished one of `definition`, or None, and which spare outputs it has lost.

    Raises ConfigError where run.json is damaged.
    """
    run = read_run(run_dir)
    if run is None:
        return "It was not trained yet.", []
    if run["definition"] != definition:
        return "Its definition changed.", []
    if changed := next(asked_otherwise(run), None):
        return changed, []
    if run["state"] in UNFINISHED:
        return UNFINISHED[run["state"]], []
    gone = []
    marked_ns = (Path(run_dir) / RUN_FILE).stat().st_mtime_ns
    for name, mark in run["outputs"].items():
        try:
            if altered(Path(run_dir) / name, mark, marked_ns=marked_ns):
                return f"`{name}` was altered.", []
        except (FileNotFoundError, NotADirectoryError):
            gone.append(name)
        except OSError as error:
            return f"`{name}` cannot be read ({error.strerror}).", []
    needed = needed_of(gone, run)
    return (f"`{needed[0]}` was deleted.", []) if needed else (None, gone)


def is_of(run: Mapping[str, Any], definition: str) -> bool:
    """Return whether a run is one of `definition`, and what its code asked of the world would be answered alike."""
    return run["definition"] == definition and next(asked_otherwise(run), None) is None


def asked_otherwise(run: Mapping[str, Any], when: str = "asked") -> Iterator[str]:
    """Yield what is another answer now to what the code of a run asked when it was imported and built.

    With "declared" it is what components asked to say which data files they declare.
    """
    if run.get(when):
        from otrainer.storage.runs.asked import other_answers  # the code of most runs asks nothing

        yield from other_answers(run[when])


def needed_of(gone: Collection[str], run: Mapping[str, Any]) -> list[str]:
    """Return those outputs without which a complete run is not complete.

    Checkpoints of single steps are spare as long as one of where training ended is there.
    """
    ends = (LAST, f"step_{run['global_step']}.pt")
    if not any(Path(name).name in ends for name in run["outputs"] if name not in gone):
        return list(gone)
    return [name for name in gone if not is_of_a_step(Path(name).name)]


def is_of_a_step(name: str) -> bool:
    """Return whether a checkpoint is called `step_<N>.pt`."""
    return name.startswith("step_") and name.endswith(".pt") and name[5:-3].isdecimal()


def refuse_foreign(folder: Path, named: StrPath) -> None:
    """Raise ConfigError unless `folder` is missing or empty; the error calls it as it was `named`.

    What a process left half-written that was killed over its first run.json is nothing.
    """
    try:
        empty = all(map(is_left_over, folder.iterdir()))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        empty = False
    if not empty:
        message = f"`{display_path(named)}` holds something, but no {RUN_FILE}: it is not a run of ours."
        hint = "Name another `run.out_dir`, or move what is there."
        raise ConfigError(f"{message} Nothing in it is touched.", title="not a run", hint=hint)


def refuse_within(folder: Path, named: StrPath) -> None:
    """Raise ConfigError where `folder` lies in a run, or among kept ones; the error calls it as it was `named`.

    It would be moved aside with that run, be found by nobody there, and be pruned with it.
    """
    place = folder.resolve()
    runs = (above for above in place.parents if (above / RUN_FILE).exists())
    ours = (above for above in (place, *place.parents[:2]) if above.name in (KEPT, LOCKS))
    around = next(runs, None) or next(ours, None)
    if around is not None:
        message = (
            f"`{display_path(named)}` lies in `{display_path(around)}`, and a run takes all that is in its folder "
            "along when it is kept or removed."
        )
        hint = "Name a `run.out_dir` beside it."
        raise ConfigError(message, title="a run within a run", config_path=("run", "out_dir"), hint=hint)


def is_written(run_dir: StrPath) -> bool:
    """Return whether some process trains into `run_dir` now, by its lock, or by run.json where that was deleted."""
    return is_locked(run_dir) or trainer(run_dir) is not None


def refuse_if_written(run_dir: StrPath) -> None:
    """Raise ConfigError if another process trains into `run_dir`, naming that process."""
    if is_locked(run_dir):
        raise in_use(run_dir, read_holder(lock_file(run_dir)))
    if holder := trainer(run_dir):
        raise in_use(run_dir, holder)


@contextmanager
def lock_written(run_dir: StrPath) -> Iterator[None]:
    """Let this process alone write into `run_dir` while inside, also where somebody deleted the lock of another one.

    Raises ConfigError at once where another one writes there, naming that process.
    """
    with lock_run(run_dir):
        if holder := trainer(run_dir):
            raise in_use(run_dir, holder)
        yield


def trainer(run_dir: StrPath) -> Holder | None:
    """Return another process of this machine that run.json says trains here, and that still runs."""
    run = read_run_or_none(run_dir)
    if run is None or run["state"] != "running" or run["host"] != os.uname().nodename:
        return None  # of another machine's processes only the lock tells
    pid = run["pid"]
    if not isinstance(pid, int) or pid == os.getpid() or not 0 < pid < MOST_PIDS:
        return None
    try:
        # Written by that process: one with its number that began later is another one.
        written = (Path(run_dir) / RUN_FILE).stat().st_mtime
    except OSError:
        return None
    return Holder(pid, run["host"]) if ran_at(pid, written) else None


def last_interrupted(runs_root: StrPath) -> Path | None:
    """Return the run directory below `runs_root` that stopped last before its end; archived runs do not count."""
    stopped = [(when, folder) for folder in run_dirs(Path(runs_root)) if (when := stopped_at(folder))]
    return max(stopped)[1] if stopped else None


def run_dirs(root: Path) -> Iterator[Path]:
    """Yield every folder with a run.json below `root`, sorted; neither hidden folders nor runs are looked into."""
    for here, folders, files in os.walk(root):
        if RUN_FILE in files:
            folders.clear()
            yield Path(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def stopped_at(run_dir: Path) -> str | None:
    """Return when an unfinished run stopped, as UTC text; None if it is complete, running or unreadable."""
    run = read_run_or_none(run_dir)  # a damaged file tells nothing that could be continued
    if run is None or run["state"] == "complete":
        return None
    if run["state"] == "failed" and not run["outputs"]:
        return None  # there is nothing to go on from
    if run["state"] == "running" and is_written(run_dir):
        return None
    return run["ended"] or max(run["started"] or "", utc_text((run_dir / RUN_FILE).stat().st_mtime))
