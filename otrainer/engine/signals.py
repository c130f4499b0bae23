"""Signals ask for a stop at the next step boundary; a second SIGINT stops at once.

SIGINT and SIGTERM always do; SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU do where nobody ignores or handles them.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from otrainer.storage import process_memory
from otrainer.storage.processes import ASKED, WARNED


class TrainingInterrupted(Exception):  # noqa: N818 - an interruption is not an error
    """Training stopped at a step boundary because a signal asked for it; `signum` is that signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells count it: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signum


class StopRequest:
    """A flag that the signals set while the block runs; handlers are put back after it.

    Outside the main thread Python delivers no signals, so there the flag is never set.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        stop_requests().append(self)
        if threading.current_thread() is threading.main_thread():
            heard = (*ASKED, *filter(would_end_this_process, WARNED))
            self._before = {signum: signal.signal(signum, self._handle) for signum in heard}
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _tb: TracebackType | None) -> None:
        stop_requests().remove(self)
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is not None and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.signum = signum

    def raise_if_asked(self) -> None:
        """Raise TrainingInterrupted if a signal came; called between steps only."""
        if self.signum is not None:
            raise TrainingInterrupted(self.signum)


def would_end_this_process(signum: signal.Signals) -> bool:
    """Return whether a signal has no handler but one of ours, and is not ignored, as `nohup` has it."""
    handler = signal.getsignal(signum)
    return handler is signal.SIG_DFL or isinstance(getattr(handler, "__self__", None), StopRequest)


def current_stop_request() -> StopRequest:
    """Return the request that listens now, or one that never fires (for a trainer called by hand)."""
    return stop_requests()[-1] if stop_requests() else StopRequest()


def stop_requests() -> list[StopRequest]:
    """Return the requests of this process that listen, or will again, the innermost last."""
    return process_memory.get("stop_requests", list)
