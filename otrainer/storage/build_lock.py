"""One maker a build folder: what one doit resolves under its environment, no other one replaces before it trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from otrainer.errors import ConfigError
from otrainer.storage.held_lock import HeldLock, Holder, is_held, read_holder
from otrainer.storage.project import display_path
from otrainer.storage.runs.lock import lock_file

POLL_S = 0.1


@contextmanager
def lock_build(build: Path, wait_s: float, say: Callable[[str], object]) -> Iterator[None]:
    """Let this process alone make what lies in `build` while inside, and wait for another one that does, with a word.

    Where nothing can be written, there is no lock, and the stage says so.
    Raises ConfigError, naming the other process, where it still makes it after `wait_s` seconds.
    """
    lock = taken(build, wait_s, say)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def taken(build: Path, wait_s: float, say: Callable[[str], object]) -> HeldLock | None:
    """Return the lock of `build`, None where none can be made."""
    path, until, told = lock_file(build), time.monotonic() + wait_s, False
    while True:
        try:
            return HeldLock(path)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise being_made(build, read_holder(path)) from None
            if not told:
                told = bool(say(f"   Waiting for {shown(read_holder(path))}, which is making `{display_path(build)}`."))
            time.sleep(POLL_S)
        except OSError:
            return None


def refuse_if_made(build: Path, *, unless: int) -> None:
    """Raise ConfigError if a process makes what lies in `build`, `unless` it has that pid."""
    path = lock_file(build)
    if is_held(path):
        holder = read_holder(path)
        if holder is None or holder[0] != unless:
            raise being_made(build, holder)


def being_made(build: Path, holder: Holder | None) -> ConfigError:
    return ConfigError(
        f"`{display_path(build)}` is being made by {shown(holder)}.",
        title="build in use",
        hint="Run the same command again once that one trains, or has ended.",
    )


def shown(holder: Holder | None) -> str:
    return "another process" if holder is None else f"process {holder[0]} on {holder[1]}"
