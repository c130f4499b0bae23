"""doit's end of the line to the worker: it starts one on first need, asks it for stages, and outlives its crashes."""

from __future__ import annotations

import atexit
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.say import unguarded
from otrainer.errors import Finding
from otrainer.stages.freshness.decide import EVALUATE, TRAINING
from otrainer.stages.outcome import Outcome
from otrainer.tasks.interrupts import CUT_SHORT, Interrupts
from otrainer.tasks.worker.handle import Worker
from otrainer.tasks.worker.line import no_more, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otrainer.storage.experiments import Experiment
    from otrainer.tasks.worker.gathered import Printed
    from otrainer.tasks.worker.line import Line

HINTS = {
    signal.SIGKILL: "The system ends a process like this when memory runs out; a smaller batch needs less.",
    signal.SIGSEGV: "Native code crashed; with PYTHONFAULTHANDLER=1 in the environment it says where.",
    signal.SIGBUS: "Shared memory may be full: fewer data workers need less.",
}

# Stages that a process has ahead of it at most, some 40 ms of work, and those below which it gets more: each sending
# wakes it up.
BUSY, LOW = 8, 4


class Client:
    """Runs stages in workers: one for all checks, which then trains too if the experiment is `alone`.

    Among several experiments, each training gets a worker of its own, so that nothing leaks from one into the next. Of
    what is checked ahead of its turn, hands of the worker take their share.
    """

    def __init__(self, root: Path, interrupts: Interrupts, *, alone: bool) -> None:
        self.root = root
        self.interrupts = interrupts
        self.alone = alone
        self._worker: Worker | None = None
        self._waiting: deque[tuple[str, Experiment]] = deque()  # to be run ahead of their turn by whoever is free
        self._sent: dict[tuple[str, Experiment], Line] = {}  # ahead of their turn, and not answered yet
        self._answered: dict[tuple[str, Experiment], tuple[Outcome, Printed]] = {}  # whose turn has not come yet
        self._died = False  # of something: from then on nothing is ahead of its turn, so that it shows what
        atexit.register(self.close)

    def start(self, hands: Callable[[], int]) -> bool:
        """Start the worker before it is needed, with as many hands as are worth it; says if it was not there yet."""
        if self._worker is not None:
            return False
        self._worker = Worker(self.root, hands())
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
        asked: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Run `stage`, as it is `asked` for, in a worker; if that dies, the outcome says of what.

        `begun` is called once a training needs the build no more, `meanwhile` again and again, until it returns false,
        while this process waits. Where the stage goes well, the worker goes on with the stage `then`, if there is one,
        and this process with whatever else it has to do before it asks for that.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        if stage in (*TRAINING, "fit-anew", EVALUATE):
            return self._train(stage, experiment, begun, asked)
        which = stage, experiment
        self._feed()
        if which in self._sent:
            self._receive_ahead(self._sent[which], until=which)
        if which in self._answered:
            outcome, printed = self._answered.pop(which)
            for name, text in printed:
                unguarded(getattr(sys, name)).write(text)
            return outcome
        if which in self._waiting:
            self._waiting.remove(which)
        return self._ask(stage, experiment, then, meanwhile, asked)

    def run_ahead(self, stage: str, experiment: Experiment) -> None:
        """Let a worker run a stage before its turn, while this process goes on; its outcome is told in its turn."""
        if self._worker is not None and not self._died:
            self._waiting.append((stage, experiment))
            self._feed()

    def _feed(self) -> None:
        """Give the worker and its hands as much of what waits as keeps each of them at work until the next call."""
        if self._worker is None:
            return
        for line in (self._worker, *(hand for hand in self._worker.hands if hand.is_ready)):
            while line.sent and line.has_answered():
                if not self._receive_ahead(line, until=line.sent[0]):
                    return
            if self._waiting and len(line.sent) <= LOW:
                asked = [self._waiting.popleft() for _ in range(min(BUSY - len(line.sent), len(self._waiting)))]
                line.send_ahead(asked)
                for each in asked:
                    self._note_sent(line, each)

    def _note_sent(self, line: Line, asked: tuple[str, Experiment]) -> None:
        line.sent.append(asked)
        self._sent[asked] = line

    def _ask(
        self,
        stage: str,
        experiment: Experiment,
        then: str | None,
        meanwhile: Callable[[], bool] = no_more,
        asked: Mapping[str, Any] | None = None,
    ) -> Outcome:
        worker = self._worker = self._worker or Worker(self.root)
        worker.send(stage, experiment, **({} if asked is None else {"asked": asked}))
        if then and not self._died:
            worker.send(then, experiment, ahead=True, then=True)
        if worker.sent and not self._receive_ahead(worker):
            return self._ask(stage, experiment, None, asked=asked)
        outcome, _ = worker.receive(meanwhile=meanwhile)
        if then and not self._died and outcome is not None and outcome.status == "ok":  # else it leaves that out
            self._note_sent(worker, (then, experiment))
        return outcome or self._bury(worker, stage, experiment)

    def _receive_ahead(self, line: Line, until: tuple[str, Experiment] | None = None) -> bool:
        """Receive the answers of stages that were sent ahead, all or up to one; return whether the process lives.

        What it died of shows when the turn of those comes which it has not answered.
        """
        while line.sent:
            stage, experiment = asked = line.sent.popleft()
            outcome, printed = line.receive()
            if outcome is None:
                self._give_up_ahead(line, stage, experiment)
                return False
            del self._sent[asked]
            self._answered[asked] = outcome, printed
            if asked == until:
                break
        return True

    def _give_up_ahead(self, line: Line, stage: str, experiment: Experiment) -> None:
        """Go on without a process that died, and with nothing ahead of its turn; its hands have ended with a worker."""
        self._died = True
        self._sent.clear()
        self._waiting.clear()
        if self._worker is not None:
            self._worker.sent.clear()
            self._bury(self._worker, stage, experiment)

    def close(self) -> None:
        """End the worker that checks, if there is one."""
        worker, self._worker = self._worker, None
        if worker:
            worker.close()

    def _train(
        self, stage: str, experiment: Experiment, begun: Callable[[], None], asked: Mapping[str, Any] | None
    ) -> Outcome:
        worker = None
        if self.alone:
            worker, self._worker = self._worker, None
        worker = worker or Worker(self.root)
        try:
            with self.interrupts.training(worker.ask_to_stop, worker.kill):
                outcome = worker.ask(stage, experiment, begun, asked)
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
