"""Handle Ctrl-C, SIGTERM, SIGHUP and the like in doit: training stops with a checkpoint first, all else at once."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from otrainer.storage.processes import ASKED, STOPPING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

# The exit status of a worker that a second Ctrl-C ended.
CUT_SHORT = 128 + signal.SIGINT


class Ended(SystemExit):
    """A signal ends doit; unlike a component's own `sys.exit`, no stage may take it for a failure."""


class Interrupts:
    """Handlers of what asks a process to end; `exit_code` is 128 + the signal that came, as in shells, or None."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self._training: tuple[Callable[[int], None], Callable[[], None]] | None = None
        self._pid = os.getpid()

    def install(self) -> None:
        """Handle them from now on; one that this process was told to ignore, as by `nohup`, stays ignored."""
        for signum in STOPPING:
            handler = signal.getsignal(signum)
            if handler is signal.SIG_DFL or (signum in ASKED and handler is not signal.SIG_IGN):
                signal.signal(signum, self._handle)

    @contextmanager
    def training(self, ask_to_stop: Callable[[int], None], kill: Callable[[], None]) -> Iterator[None]:
        """While inside, the first signal asks a training to save and stop, and only a second SIGINT ends it."""
        self._training = (ask_to_stop, kill)
        try:
            yield
        finally:
            self._training = None

    def stop_if_asked(self) -> None:
        """Raise SystemExit where a signal came while a training went on to its end."""
        if self.exit_code is not None:
            raise Ended(self.exit_code)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self._training is None:
            self.end(signum)
        ask_to_stop, kill = self._training
        if self.exit_code is None:
            self.exit_code = 128 + signum
            ask_to_stop(signum)
        elif signum == signal.SIGINT:
            kill()
            self.end(signum)

    def end(self, signum: int) -> NoReturn:
        """End doit at once, with a word and the signal's exit code."""
        self.exit_code = 128 + signum
        # While this process winds up: another Ctrl-C cuts that short, and one of `doit -n 2` may terminate the others.
        for each in STOPPING:
            signal.signal(each, signal.SIG_DFL if each == signal.SIGINT else signal.SIG_IGN)
        if os.getpid() == self._pid:
            print(f"ended by {signal.Signals(signum).name}", file=sys.stderr, flush=True)
        raise Ended(self.exit_code)
