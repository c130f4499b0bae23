"""A lock between processes is one process's alone, until it lets go or ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otrainer.storage import held_lock
from otrainer.storage.held_lock import HeldLock, Holder, is_held, read_holder


def in_child(code: Callable[[], object]) -> bool:
    """Return whether `code` is true in a process forked from this one."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if code() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def is_refused(path: Path) -> bool:
    try:
        HeldLock(path).release()
    except BlockingIOError:
        return True
    return False


def test_one_has_it_and_says_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a/b/x.lock"
    lock = HeldLock(path, "sweep/x")
    assert is_held(path)
    assert is_refused(path)
    assert in_child(lambda: is_refused(path))
    assert read_holder(path) == Holder(os.getpid(), os.uname().nodename, "sweep/x")
    lock.release()
    lock.release()
    assert not is_held(path)
    assert path.read_bytes() == b""
    HeldLock(path).release()


def test_a_shorter_name_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_text("1 elsewhere and much more than that\n and another line\n")
    lock = HeldLock(tmp_path / "x.lock")
    assert (tmp_path / "x.lock").read_text() == f"{os.getpid()} {os.uname().nodename} \n"
    lock.release()


def test_a_forked_process_neither_keeps_it_nor_lets_go_of_it(tmp_path: Path) -> None:
    """As a data worker does that leaves the same blocks of code."""
    path = tmp_path / "x.lock"
    lock = HeldLock(path)

    def ends_as_its_parent_would() -> bool:
        lock.release()
        return is_refused(path)

    assert in_child(ends_as_its_parent_would)
    assert is_held(path)
    assert read_holder(path) is not None
    lock.release()


def test_a_process_that_has_a_copy_of_the_descriptor_does_not_keep_it(tmp_path: Path) -> None:
    """As each has for a moment that is started by another thread, until it has begun."""
    path = tmp_path / "x.lock"
    lock = HeldLock(path)
    copy = os.dup(lock._descriptor)
    lock.release()
    HeldLock(path).release()
    os.close(copy)


def test_whoever_looks_at_it_does_not_stand_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.touch()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(held_lock.ASKED_S, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        HeldLock(path).release()


def test_a_refusal_comes_at_once(tmp_path: Path) -> None:
    lock = HeldLock(tmp_path / "x.lock")
    begun = time.monotonic()
    assert is_refused(tmp_path / "x.lock")
    assert time.monotonic() - begun < 0.5
    lock.release()


def test_a_lock_whose_file_was_deleted_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two would have one each: that of the deleted file, and that of the next one."""
    path, was = tmp_path / "locks/x.lock", held_lock.lock

    def deleted_once(descriptor: int) -> None:
        monkeypatch.setattr(held_lock, "lock", was)
        shutil.rmtree(tmp_path / "locks")
        was(descriptor)

    monkeypatch.setattr(held_lock, "lock", deleted_once)
    lock = HeldLock(path)
    assert is_held(path)
    assert is_refused(path)
    lock.release()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("target")])
def test_only_a_file_can_be_one(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.lock")
    (tmp_path / "target").touch()
    with pytest.raises(OSError, match=r".") as caught:
        HeldLock(tmp_path / "x.lock")
    assert not isinstance(caught.value, BlockingIOError)
    assert not is_held(tmp_path / "x.lock")


def test_nothing_stays_open_after_a_refusal(tmp_path: Path) -> None:
    lock = HeldLock(tmp_path / "x.lock")
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert all(is_refused(tmp_path / "x.lock") for _ in range(5))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    lock.release()
