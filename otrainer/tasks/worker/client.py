"""doit's end of the line to the worker: it starts one on first need, asks it for stages, and outlives its crashes."""

from __future__ import annotations

import atexit
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING

from otrainer.diagnostics.say import unguarded
from otrainer.errors import Finding
from otrainer.stages.freshness.decide import TRAINING
from otrainer.stages.outcome import Outcome
from otrainer.tasks.interrupts import CUT_SHORT, Interrupts
from otrainer.tasks.worker.handle import Worker, no_more, nothing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otrainer.storage.experiments import Experiment
    from otrainer.tasks.worker.gathered import Printed

HINTS = {
    signal.SIGKILL: "The system ends a process like this when memory runs out; a smaller batch needs less.",
    signal.SIGSEGV: "Native code crashed; with PYTHONFAULTHANDLER=1 in the environment it says where.",
    signal.SIGBUS: "Shared memory may be full: fewer data workers need less.",
}


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
