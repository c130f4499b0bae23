"""doit's end of the two pipes to a process that runs stages: to ask for stages, and to have their answers."""

from __future__ import annotations

import json
import os
import select
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otrainer.stages.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otrainer.storage.experiments import Experiment
    from otrainer.tasks.worker.gathered import Printed

BEGUN = b'{"begun": true}\n'
READY = b'{"ready": true}\n'
POLL_S = 0.5


def nothing() -> None:
    """Do nothing."""


def no_more() -> bool:
    """Return that there is nothing to do."""
    return False


class Line:
    """A process that takes requests from one pipe and gives answers into another, in order.

    `theirs` are its ends of the pipes, to be closed here once it has them; `sent` is what it was asked for ahead of its
    turn and has not answered yet.
    """

    def __init__(self) -> None:
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self.theirs = (requests, answers)
        self.sent: deque[tuple[str, Experiment]] = deque()
        self._open = True
        self._received = b""

    def send(self, stage: str, experiment: Experiment, **how: Any) -> None:
        """Ask for a stage; one that is `ahead` of its turn prints nothing, and gives what it would print.

        With `then` it runs only where the one before it goes well.
        """
        self._send(request(stage, experiment, **how))

    def send_ahead(self, asked: Iterable[tuple[str, Experiment]]) -> None:
        """Ask for stages ahead of their turn, all at once."""
        self._send(*(request(stage, experiment, ahead=True) for stage, experiment in asked))

    def has_answered(self) -> bool:
        """Return whether `receive` need not wait."""
        return b"\n" in self._received or bool(select.select([self._answers], [], [], 0)[0])

    def receive(
        self, begun: Callable[[], None] = nothing, meanwhile: Callable[[], bool] = no_more
    ) -> tuple[Outcome | None, Printed]:
        """Wait for what the next stage that was asked for came to, and printed; None if the process died of it.

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

    def close_pipes(self) -> None:
        """Let the process end, as soon as it is through with what it is at."""
        if self._open:
            os.close(self._requests)
            os.close(self._answers)
            self._open = False

    def has_ended(self) -> bool:
        """Return whether the process is known to be gone."""
        return False

    def _send(self, *messages: dict[str, Any]) -> None:
        # A handler may call this for a worker that was closed a moment ago.
        if not self._open:
            return
        with suppress(BrokenPipeError):  # it is dead already, which whoever waits for the answer will notice
            os.write(self._requests, "".join(f"{json.dumps(message)}\n" for message in messages).encode())

    def _receive(self, meanwhile: Callable[[], bool] = no_more) -> bytes:
        """Return the next line from the process, or nothing if it died."""
        is_busy = True
        while b"\n" not in self._received:
            is_busy = is_busy and meanwhile()
            ready, _, _ = select.select([self._answers], [], [], 0 if is_busy else POLL_S)
            if not ready:
                # A process that it left behind may keep the pipe open.
                if self.has_ended():
                    return b""
                continue
            chunk = os.read(self._answers, 65536)
            if not chunk:
                return b""
            self._received += chunk
        line, end, self._received = self._received.partition(b"\n")
        return line + end


def request(stage: str, experiment: Experiment, **how: Any) -> dict[str, Any]:
    names = {"name": experiment.name, "file": str(experiment.file), "build": str(experiment.build)}
    return {"stage": stage, "experiment": names, **how}


class Hand(Line):
    """A process that a worker forks, to share what is asked for ahead of its turn, once it says that it is there."""

    _ready = False

    @property
    def is_ready(self) -> bool:
        if not self._ready and self.has_answered():
            self._ready = self._receive() == READY  # else nobody is there, and never will be
        return self._ready
