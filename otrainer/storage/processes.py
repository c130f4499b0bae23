"""Other processes: which of them run, and that ours end with the one that started them."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import cache

PR_SET_PDEATHSIG = 1
# How far times of processes and of files may lie apart.
CLOCK_STEP_S = 1.0
# Signals by which people, terminals and clusters ask a process to end, and which would end it at once by themselves.
ASKED = (signal.SIGINT, signal.SIGTERM)
WARNED = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU") if hasattr(signal, name))
STOPPING = (*ASKED, *WARNED)


def end_with_parent() -> None:
    """Let Linux kill this process when its parent dies; elsewhere a worker sees the end of its pipe."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def is_single_threaded() -> bool:
    """Return whether this process has one thread, native ones counted; False where that is not known."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def is_alive(process: str) -> bool:
    """Return whether `PID.BEGINNING` runs, and no other process has its number: containers count from 1 again."""
    pid, _, began = process.partition(".")
    now = beginning(int(pid)) if pid.isdigit() else None
    return now is not None and (began == now or not began or not now)


def beginning(pid: int) -> str | None:
    """Return when a process began, in ticks since boot; "" where that is unknown, None where it does not run."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            state, *fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return "" if is_running(pid) else None
    return None if state == b"Z" else fields[18].decode()


def this_process() -> str:
    """Return `PID.BEGINNING` of this process, for `is_alive`."""
    pid = os.getpid()
    return f"{pid}.{began_as(pid)}"


@cache
def began_as(pid: int) -> str | None:
    return beginning(pid)


def ran_at(pid: int, when: float) -> bool:
    """Return whether a process runs that did so at a time in seconds since 1970: no later one with the same number."""
    began = beginning(pid)
    if not began:
        return began is not None
    try:
        with open("/proc/uptime", "rb") as stream:
            booted = time.time() - float(stream.read().split()[0])
    except (OSError, ValueError):
        return True
    return booted + int(began) / os.sysconf("SC_CLK_TCK") <= when + CLOCK_STEP_S


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no process has a number as large as that
        return False
    except PermissionError:
        pass  # it runs, as somebody else
    return True
