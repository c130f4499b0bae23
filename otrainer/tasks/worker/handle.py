"""A worker process as doit has it at its end of the pipes: to ask for stages, to stop and to end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.stages.outcome import Outcome
from otrainer.storage.processes import STOPPING

if TYPE_CHECKING:
    from collections.abc import Callable

    from otrainer.storage.experiments import Experiment
    from otrainer.tasks.worker.gathered import Printed

CLOSE_S = 10.0
BEGUN = b'{"begun": true}\n'
POLL_S = 0.5


def nothing() -> None:
    """Do nothing."""


def no_more() -> bool:
    """Return that there is nothing to do."""
    return False


class Worker:
    """A worker process that inherits the terminal and the environment, the project root first on its path."""

    def __init__(self, root: Path) -> None:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._open = True
        self._received = b""
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
        # Blocked until the worker is ready for them, so that none meets Python's own handlers and prints a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with arguments of our own
                [sys.executable, "-m", "otrainer.tasks.worker.process", str(requests), str(answers)],
                pass_fds=(requests, answers),
                cwd=root,
                env={**os.environ, "PYTHONPATH": path},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(requests)
            os.close(answers)

    def ask(self, stage: str, experiment: Experiment, begun: Callable[[], None] = nothing) -> Outcome | None:
        """Let the worker run a stage; None if it died of it. `begun` is called once a training has read its plan."""
        self.send(stage, experiment)
        return self.receive(begun)[0]

    def send(self, stage: str, experiment: Experiment, **how: bool) -> None:
        """Ask for a stage; one that is `ahead` of its turn prints nothing, and gives what it would print.

        With `then` it runs only where the one before it goes well.
        """
        names = {"name": experiment.name, "file": str(experiment.file), "build": str(experiment.build)}
        self._send({"stage": stage, "experiment": names, **how})

    def has_answered(self) -> bool:
        """Return whether `receive` need not wait."""
        return b"\n" in self._received or bool(select.select([self._answers], [], [], 0)[0])

    def receive(
        self, begun: Callable[[], None] = nothing, meanwhile: Callable[[], bool] = no_more
    ) -> tuple[Outcome | None, Printed]:
        """Wait for what the next stage that was asked for came to, and printed; None if the worker died of it.

        As long as there is no answer, `meanwhile` is called, until it returns false.
        """
        answer = self._receive(meanwhile)
        if answer == BEGUN:
            begun()
            answer = self._receive()
        if not answer:
            return None, []
        data = json.loads(answer)
        return Outcome.from_json(data["outcome"]), data["printed"]

    def prepare(self) -> None:
        """Let the worker import what every stage needs; no answer comes."""
        self._send({"prepare": True})

    def ask_to_stop(self, signum: int) -> None:
        """Pass a signal on; the worker knows whether it got that one itself, as with Ctrl-C."""
        self._send({"signal": signum})

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> int:
        """Let the worker end, with force if it does not want to, and give its exit status as subprocess does."""
        if self._open:
            os.close(self._requests)
            os.close(self._answers)
            self._open = False
        try:
            return self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        # A handler may call this for a worker that was closed a moment ago.
        if not self._open:
            return
        with suppress(BrokenPipeError):  # it is dead already, which whoever waits for the answer will notice
            os.write(self._requests, json.dumps(message).encode() + b"\n")

    def _receive(self, meanwhile: Callable[[], bool] = no_more) -> bytes:
        """Return the next line from the worker, or nothing if it died."""
        is_busy = True
        while b"\n" not in self._received:
            is_busy = is_busy and meanwhile()
            ready, _, _ = select.select([self._answers], [], [], 0 if is_busy else POLL_S)
            if not ready:
                # A process that the worker left behind may keep the pipe open.
                if self._process.poll() is not None:
                    return b""
                continue
            chunk = os.read(self._answers, 65536)
            if not chunk:
                return b""
            self._received += chunk
        line, end, self._received = self._received.partition(b"\n")
        return line + end
