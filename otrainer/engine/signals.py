"""SIGINT and SIGTERM ask for a stop at the next step boundary; a second SIGINT stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from otrainer.storage import process_memory

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(Exception):  # noqa: N818 - an interruption is not an error
    """Training stopped at a step boundary because a signal asked for it; `signum` is that signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells count it: 130 for SIGINT, 143 for SIGTERM."""
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
            self._before = {signum: signal.signal(signum, self._handle) for signum in SIGNALS}
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


def current_stop_request() -> StopRequest:
    """Return the request that listens now, or one that never fires (for a trainer called by hand)."""
    return stop_requests()[-1] if stop_requests() else StopRequest()


def stop_requests() -> list[StopRequest]:
    """Return the requests of this process that listen, or will again, the innermost last."""
    return process_memory.get("stop_requests", list)
