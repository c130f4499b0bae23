"""One writer a run directory: a lock that ends with its process and names its holder."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.storage.held_lock import HeldLock, is_held, read_holder
from otrainer.storage.project import display_path
from otrainer.storage.runs.ownership import refuse_links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import StrPath

    from otrainer.storage.held_lock import Holder

LOCKS = ".locks"


@contextmanager
def lock_run(run_dir: StrPath, *, claim: bool = False, what: str = "") -> Iterator[None]:
    """Let this process alone write into `run_dir` while inside; a killed process lets go of it.

    With `claim` it only keeps others from claiming it, and leaves the writing to a process of its own; `what` is
    trained there.
    Raises ConfigError at once where another one holds it, naming that process.
    """
    path = lock_file(run_dir, claim=claim)
    refuse_links((path.parent, path), ("run", "out_dir"))
    try:
        lock = HeldLock(path, what)
    except BlockingIOError:
        raise in_use(run_dir, read_holder(path)) from None
    except OSError as error:
        message = f"No run can be kept at `{run_dir}`: {error.strerror}."
        place, hint = ("run", "out_dir"), "Name a `run.out_dir` that this user can write to."
        raise ConfigError(message, title="cannot write", config_path=place, hint=hint) from error
    try:
        yield
    finally:
        lock.release()


def is_locked(run_dir: StrPath, *, claim: bool = False) -> bool:
    """Return whether some process is writing into `run_dir` now; with `claim`, whether one is about to."""
    return is_held(lock_file(run_dir, claim=claim))


def lock_file(folder: StrPath, *, claim: bool = False) -> Path:
    """Return the lock of a folder: beside it, so that the folder can be moved; the same for every link to it."""
    above, name = os.path.split(os.path.realpath(folder))
    return Path(above, LOCKS, f"{name}{'.claim.lock' if claim else '.lock'}")


def in_use(run_dir: StrPath, holder: Holder | None) -> ConfigError:
    by = "another process" if holder is None else f"process {holder[0]} on {holder[1]}"
    return ConfigError(
        f"`{display_path(run_dir)}` is being written by {by}.",
        title="run in use",
        hint="Wait until it has ended, or give this experiment another `run.name`.",
    )
