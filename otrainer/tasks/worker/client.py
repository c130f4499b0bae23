"""doit's end of the line to the worker: it starts one on first need, asks it for stages, and outlives its crashes."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.say import unguarded
from otrainer.errors import Finding
from otrainer.stages.freshness.decide import TRAINING
from otrainer.stages.outcome import Outcome
from otrainer.storage.processes import STOPPING
from otrainer.tasks.interrupts import CUT_SHORT, Interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

    from otrainer.storage.experiments import Experiment
    from otrainer.tasks.worker.gathered import Printed

CLOSE_S = 10.0
BEGUN = b'{"begun": true}\n'
POLL_S = 0.5
HINTS = {
    signal.SIGKILL: "The system ends a process like this when memory runs out; a smaller batch needs less.",
    signal.SIGSEGV: "Native code crashed; with PYTHONFAULTHANDLER=1 in the environment it says where.",
    signal.SIGBUS: "Shared memory may be full: fewer data workers need less.",
}


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


class Client:
    """Runs stages in workers: one for all checks, which then trains too if the experiment is `alone`.

    Among several experiments, each training gets a worker of its own, so that nothing leaks from one into the next.
    """

    def __init__(self, root: Path, interrupts: Interrupts, *, alone: bool) -> None:
        self.root = root
        self.interrupts = interrupts
        self.alone = alone
        self._worker: Worker | None = None
        self._sent: deque[tuple[str, Experiment]] = deque()  # ahead of their turn, and not answered yet
        self._answered: dict[tuple[str, Experiment], tuple[Outcome, Printed]] = {}  # whose turn has not come yet
        self._died = False  # of something: from then on nothing is ahead of its turn, so that it shows what
        atexit.register(self.close)

    def start(self) -> bool:
        """Start the worker before it is needed; says whether it was not there yet."""
        if self._worker is not None:
            return False
        self._worker = Worker(self.root)
        self._worker.prepare()
        return True

    def run(
        self,
        stage: str,
        experiment: Experiment,
        begun: Callable[[], None] = nothing,
        *,
        then: str | None = None,
        meanwhile: Callable[[], bool] = no_more,
    ) -> Outcome:
        """Run `stage` in a worker; if that dies, the outcome says of what.

        `begun` is called once a training needs the build no more, `meanwhile` again and again, until it returns false,
        while this process waits. Where the stage goes well, the worker goes on with the stage `then`, if there is one,
        and this process with whatever else it has to do before it asks for that.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        if stage in (*TRAINING, "fit-anew"):
            return self._train(stage, experiment, begun)
        if (stage, experiment) in self._sent:
            self._receive_ahead(until=(stage, experiment))
        if (stage, experiment) in self._answered:
            outcome, printed = self._answered.pop((stage, experiment))
            for name, text in printed:
                unguarded(getattr(sys, name)).write(text)
            return outcome
        return self._ask(stage, experiment, then, meanwhile)

    def run_ahead(self, stage: str, experiment: Experiment) -> None:
        """Let the worker run a stage before its turn, while this process goes on; its outcome is told in its turn."""
        if self._worker is None or self._died:
            return
        while self._sent and self._worker.has_answered():  # else a pipe full of answers would keep the worker waiting
            if not self._receive_ahead(until=self._sent[0]):
                return
        self._worker.send(stage, experiment, ahead=True)
        self._sent.append((stage, experiment))

    def _ask(
        self, stage: str, experiment: Experiment, then: str | None, meanwhile: Callable[[], bool] = no_more
    ) -> Outcome:
        worker = self._worker = self._worker or Worker(self.root)
        worker.send(stage, experiment)
        if then and not self._died:
            worker.send(then, experiment, ahead=True, then=True)
        if self._sent and not self._receive_ahead():
            return self._ask(stage, experiment, None)
        outcome, _ = worker.receive(meanwhile=meanwhile)
        if then and not self._died and outcome is not None and outcome.status == "ok":  # else it leaves that out
            self._sent.append((then, experiment))
        return outcome or self._bury(worker, stage, experiment)

    def _receive_ahead(self, until: tuple[str, Experiment] | None = None) -> bool:
        """Receive the answers of stages that were sent ahead, all or up to one; return whether the worker lives.

        What it died of shows when the turn of those comes which it has not answered.
        """
        while self._sent and self._worker is not None:
            stage, experiment = asked = self._sent.popleft()
            outcome, printed = self._worker.receive()
            if outcome is None:
                self._died = True
                self._sent.clear()
                self._bury(self._worker, stage, experiment)
                return False
            self._answered[asked] = outcome, printed
            if asked == until:
                break
        return True

    def close(self) -> None:
        """End the worker that checks, if there is one."""
        worker, self._worker = self._worker, None
        if worker:
            worker.close()

    def _train(self, stage: str, experiment: Experiment, begun: Callable[[], None]) -> Outcome:
        worker = None
        if self.alone:
            worker, self._worker = self._worker, None
        worker = worker or Worker(self.root)
        try:
            with self.interrupts.training(worker.ask_to_stop, worker.kill):
                outcome = worker.ask(stage, experiment, begun)
            return outcome or self._bury(worker, stage, experiment)
        finally:
            worker.close()

    def _bury(self, worker: Worker, stage: str, experiment: Experiment) -> Outcome:
        status = worker.close()
        if worker is self._worker:
            self._worker = None
        if status == CUT_SHORT:  # also where this process took both Ctrl-C for one, as they arrived at once
            self.interrupts.end(signal.SIGINT)
        if self.interrupts.exit_code is not None:
            return Outcome("interrupted", "Interrupted before training had begun.", self.interrupts.exit_code)
        return Outcome.crashed(death(f"{stage}:{experiment.task_name}", status))


def death(task: str, status: int) -> Finding:
    """Return the finding of a worker that ended without an answer."""
    if status >= 0:
        message, hint = f"The process that ran `{task}` ended with exit status {status}.", "What it printed says why."
        return Finding(message, title="worker died", hint=hint)
    name = signal.Signals(-status).name
    hint = HINTS.get(signal.Signals(-status), "Run the same command again.")
    return Finding(f"The process that ran `{task}` was ended by {name}.", title="worker died", hint=hint)
