"""A lock between processes: a file that one of them has (flock(2)), in which it says who it is.

It ends with its process, by whatever that ends, and no process that it forks has it too.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from typing import TYPE_CHECKING, NamedTuple

from otrainer.storage import process_memory
from otrainer.storage.atomic import is_own_file
from otrainer.storage.processes import is_running
from otrainer.storage.regular import read_regular, refuse_irregular

if TYPE_CHECKING:
    from _typeshed import StrPath

FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
# A lock that is asked for as somebody looks at it is free a moment later.
ASKED_TIMES, ASKED_S = 3, 0.003
HOLDER_WAIT_S = 1.0
MOST_HOLDER = 1024


class Holder(NamedTuple):
    """The process that has a lock, and what it has it for."""

    pid: int
    host: str
    what: str = ""


class HeldLock:
    """The lock at `path`, which this process has from now on until it lets go of it.

    Missing folders are made. Raises BlockingIOError at once where somebody else has it, as does this process itself by
    another `HeldLock`, and OSError where no regular file can be made or opened there, a link included.
    """

    def __init__(self, path: StrPath, what: str = "") -> None:
        self._descriptor = locked(os.fspath(path))
        held().add(self)
        who = f"{os.getpid()} {os.uname().nodename} {what}\n".encode("utf-8", "surrogateescape")
        with suppress(OSError):  # a full disk: the lock holds without it
            os.ftruncate(self._descriptor, os.pwrite(self._descriptor, who, 0))

    def release(self) -> None:
        """Let go of the lock, in the process that took it; in one that it forked there is none."""
        if self in held():
            held().remove(self)
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            flock(self._descriptor, LOCK_UN)  # also where a process that is being started has a copy of the descriptor
            os.close(self._descriptor)

    def leave(self) -> None:
        """Close this process's end, for one that was forked from the one that has the lock."""
        with suppress(OSError):
            os.close(self._descriptor)


def held() -> set[HeldLock]:
    """Return the locks that this process has."""
    return process_memory.get("held locks", followed)


def followed() -> set[HeldLock]:
    locks: set[HeldLock] = set()

    def leave_all() -> None:
        while locks:
            locks.pop().leave()

    os.register_at_fork(after_in_child=leave_all)
    return locks


def locked(path: str) -> int:
    """Return the descriptor of a file that is locked, and that is still the one at `path`."""
    while True:
        descriptor = opened(path)
        try:
            status = os.fstat(descriptor)
            refuse_irregular(path, status.st_mode)
            lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if is_at(path, status):
            return descriptor
        os.close(descriptor)  # it was deleted meanwhile: who comes next makes another one


def lock(descriptor: int) -> None:
    """Lock an open file. Raises BlockingIOError where another process has it for longer than it takes to ask."""
    for _ in range(ASKED_TIMES):
        with suppress(BlockingIOError):
            return flock(descriptor, LOCK_EX | LOCK_NB)
        time.sleep(ASKED_S)  # `is_held` has it while it asks
    return flock(descriptor, LOCK_EX | LOCK_NB)


def opened(path: str) -> int:
    try:
        return os.open(path, FLAGS, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, FLAGS, 0o644)


def is_at(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), status)
    except OSError:
        return False


def is_held(path: StrPath) -> bool:
    """Return whether some process has the lock at `path`."""
    if not is_own_file(path):
        return False
    try:
        with open(path, "rb") as file:  # only to read: so it can be asked where nothing can be written
            flock(file, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it is gone by now, or of no use as a lock: who wants to take it says so
        return False
    return False


def read_holder(path: StrPath) -> Holder | None:
    """Return the process that has the lock at `path`; it may need a moment to write it."""
    deadline = time.monotonic() + HOLDER_WAIT_S
    while True:
        try:
            text = read_regular(path, MOST_HOLDER).decode("utf-8", "surrogateescape")
            line, _, _ = text.partition("\n")
            pid, host, *what = line.split(" ", 2)
            if host != os.uname().nodename or is_running(int(pid)):  # on another machine that cannot be seen
                return Holder(int(pid), host, "".join(what))
        except (OSError, ValueError):
            pass  # not there, or not whole yet
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)
