"""One writer a run directory: a lock that ends with its process and names its holder."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from fcntl import LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otrainer.errors import ConfigError
from otrainer.storage.atomic import is_own_file, write_atomic
from otrainer.storage.processes import is_running
from otrainer.storage.project import display_path
from otrainer.storage.regular import read_regular
from otrainer.storage.runs.ownership import refuse_links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import StrPath

LOCKS = ".locks"
HOLDER_WAIT_S = 1.0
MOST_HOLDER = 1024


class Holder(NamedTuple):
    """The process that has a lock, and what it has it for."""

    pid: int
    host: str
    what: str = ""


@contextmanager
def lock_run(run_dir: StrPath, *, claim: bool = False, what: str = "") -> Iterator[None]:
    """Let this process alone write into `run_dir` while inside; a killed process lets go of it.

    With `claim` it only keeps others from claiming it, and leaves the writing to a process of its own; `what` is
    trained there.
    Raises ConfigError at once where another one holds it, naming that process.
    """
    from filelock import FileLock, Timeout

    path = lock_file(run_dir, claim=claim)
    refuse_links((path.parent, path, holder_file(path)), ("run", "out_dir"))
    lock = FileLock(path, blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise in_use(run_dir, read_holder(path)) from None
    except OSError as error:
        message = f"No run can be kept at `{run_dir}`: {error.strerror}."
        place, hint = ("run", "out_dir"), "Name a `run.out_dir` that this user can write to."
        raise ConfigError(message, title="cannot write", config_path=place, hint=hint) from error
    try:
        with suppress(OSError):  # a full disk: the lock holds without it
            write_atomic(
                holder_file(path),
                f"{os.getpid()} {os.uname().nodename} {what}\n".encode("utf-8", "surrogateescape"),
                durable=False,
            )
        yield
    finally:
        with suppress(OSError):
            holder_file(path).unlink()
        lock.release()


def is_locked(run_dir: StrPath, *, claim: bool = False) -> bool:
    """Return whether some process is writing into `run_dir` now; with `claim`, whether one is about to."""
    return is_held(lock_file(run_dir, claim=claim))


def is_held(path: Path) -> bool:
    """Return whether some process holds the lock at `path`."""
    if not is_own_file(path):
        return False
    try:
        with path.open("rb") as file:  # only to read: so it can be asked where nothing can be written
            flock(file, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it is gone by now, or of no use as a lock: who wants to take it says so
        return False
    return False


def lock_file(run_dir: StrPath, *, claim: bool = False) -> Path:
    """Return the lock of `run_dir`: beside it, so that the folder can be moved; the same for every link to it."""
    folder = Path(run_dir).resolve()
    return folder.parent / LOCKS / f"{folder.name}{'.claim.lock' if claim else '.lock'}"


def holder_file(lock: Path) -> Path:
    # Beside the lock, since some versions of filelock empty the lock file when they try it.
    return lock.with_suffix(".holder")


def read_holder(lock: Path) -> Holder | None:
    """Return the process that holds `lock`; it may need a moment to write them."""
    deadline = time.monotonic() + HOLDER_WAIT_S
    while True:
        try:
            text = read_regular(holder_file(lock), MOST_HOLDER).decode("utf-8", "surrogateescape")
            pid, host, *what = text.removesuffix("\n").split(" ", 2)
            if host != os.uname().nodename or is_running(int(pid)):  # on another machine that cannot be seen
                return Holder(int(pid), host, "".join(what))
        except (OSError, ValueError):
            pass  # not there, or not whole yet
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)


def in_use(run_dir: StrPath, holder: Holder | None) -> ConfigError:
    by = "another process" if holder is None else f"process {holder[0]} on {holder[1]}"
    return ConfigError(
        f"`{display_path(run_dir)}` is being written by {by}.",
        title="run in use",
        hint="Wait until it has ended, or give this experiment another `run.name`.",
    )
