"""A worker process as doit has it: it inherits the terminal and the environment, and ends with force if need be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from otrainer.storage.processes import STOPPING
from otrainer.tasks.worker.line import Hand, Line, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otrainer.stages.outcome import Outcome
    from otrainer.storage.experiments import Experiment

CLOSE_S = 10.0


class Worker(Line):
    """A process with the project root first on its path, which imports torch at its own first need.

    With `hands` it does so at once, and forks so many processes then that serve as it does, where that is safe.
    """

    def __init__(self, root: Path, hands: int = 0) -> None:
        super().__init__()
        self.hands = [Hand() for _ in range(hands)]
        ends = [end for each in (self, *self.hands) for end in each.theirs]
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
        # Blocked until the worker is ready for them, so that none meets Python's own handlers and prints a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with arguments of our own
                [sys.executable, "-m", "otrainer.tasks.worker.process", *map(str, ends)],
                pass_fds=ends,
                cwd=root,
                env={**os.environ, "PYTHONPATH": path},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for end in ends:
                os.close(end)

    def ask(
        self,
        stage: str,
        experiment: Experiment,
        begun: Callable[[], None] = nothing,
        asked: Mapping[str, Any] | None = None,
    ) -> Outcome | None:
        """Run a stage, as it is `asked` for, and wait; None if the worker died of it.

        `begun` is called once a training has read its plan.
        """
        self.send(stage, experiment, **({} if asked is None else {"asked": asked}))
        return self.receive(begun)[0]

    def prepare(self) -> None:
        """Let the worker import what every stage needs; no answer comes."""
        self._send({"prepare": True})

    def ask_to_stop(self, signum: int) -> None:
        """Pass a signal on; the worker knows whether it got that one itself, as with Ctrl-C."""
        self._send({"signal": signum})

    def kill(self) -> None:
        self._process.kill()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> int:
        """Let the worker end, with force if it does not want to, and give its exit status as subprocess does."""
        for each in (self, *self.hands):
            each.close_pipes()
        try:
            return self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
