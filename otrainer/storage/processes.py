"""Processes that end with the one that started them."""

from __future__ import annotations

import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let Linux kill this process when its parent dies; elsewhere a worker sees the end of its pipe."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
