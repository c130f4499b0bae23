"""What doit's actions do: run a stage where it belongs, and tell doit how it went."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from otrainer.commands import Question
from otrainer.diagnostics.say import in_a_line, say
from otrainer.errors import ConfigError
from otrainer.stages.built import leave_receipt, validated_run, written_places
from otrainer.stages.freshness.decide import EVALUATE, RUNS, TRAINING, Looks, decide_evaluation, is_trained
from otrainer.stages.freshness.reason import counted
from otrainer.storage.processes import end_with_parent
from otrainer.storage.project import display_path
from otrainer.storage.records import NOT_RUN
from otrainer.tasks.ahead import Ahead
from otrainer.tasks.holds import Holds
from otrainer.tasks.reporter import StageFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.stages.freshness.reason import Reasons
    from otrainer.stages.outcome import Outcome
    from otrainer.storage.experiments import Experiment
    from otrainer.storage.runs.evaluations import Asked
    from otrainer.tasks.interrupts import Interrupts
    from otrainer.tasks.worker.client import Client

DOING = {
    "resolve": "reading",
    "claim": "claiming the run directory of",
    "manifest": "loading the plugins of",
    "validate": "validating",
    "schema": "writing the schema of",
    "fit": "training",
    "resume": "resuming",
    "evaluate": "evaluating",
    "verify-resume": "checking the resume of",
    "why": "explaining",
    "show": "showing",
    "diff": "comparing",
    "audit": "auditing",
    "explain": "explaining keys of",
    "runs": "listing the runs of",
    "prune": "pruning the runs of",
}


# What an experiment is resolved to, and what is made of that.
BUILDING = ("resolve", "manifest", "validate")


class Runner:
    """Executes stages for one doit run; `trains` says that trainings are wanted, and not only checks.

    With `again` a finished run is kept aside and trained anew.
    """

    def __init__(self, root: Path, interrupts: Interrupts, *, alone: bool, trains: bool, again: bool = False) -> None:
        self.root = root
        self.interrupts = interrupts
        self._alone = alone
        self._trains = trains
        self._again = again
        self._pid = os.getpid()
        self.holds = Holds(root, trains=trains)
        self.ahead = Ahead(root, self.holds)
        self.looks = Looks.none()  # for the next experiments, as long as nothing that takes its time has run

    @cached_property
    def client(self) -> Client:
        """Where stages run that need torch."""
        from otrainer.tasks.worker.client import Client

        return Client(self.root, self.interrupts, alone=self._alone)

    @cached_property
    def _reasons(self) -> Reasons:
        from otrainer.stages.freshness.reason import Reasons

        return Reasons(self.root, whole=self._trains or self._alone)

    def run(self, stage: str, experiment: Experiment) -> StageFailed | None:
        """Run a stage as doit's action: `resolve`, which needs no torch, in this process, the others in a worker."""
        if os.getpid() != self._pid:
            end_with_parent()  # one of `doit -n 2`, which would wait for its training when the others are gone
        if stage in BUILDING:
            self.holds.build(experiment)
        try:
            self.holds.check(experiment, trains=stage in TRAINING)
        except ConfigError as error:
            return self._refuse(error, experiment)
        if stage == "resolve":
            from otrainer.stages.manifest import read_sources

            self._say_why(stage, experiment)
            is_first = self._start_worker(experiment)
            settled = self._settle(self._resolve(experiment), stage, experiment)
            if is_first and settled is None:
                read_sources(experiment, self.root)
            return settled
        if stage in TRAINING:
            self.looks = Looks.none()
        anew = self._again and stage == "fit"
        if stage in TRAINING and not anew and is_trained(experiment, self.root):
            leave_receipt(experiment, self.root, validated_run(experiment, self.root))  # only that was gone
            return None
        try:
            self.holds.claim(experiment)
            if stage in TRAINING and not anew and self._bring_back(experiment):
                return None
        except ConfigError as error:
            return self._refuse(error, experiment)
        self._say_why(stage, experiment)
        if stage == "manifest":
            outcome = self._make_manifest(experiment)
        else:
            asked = "fit-anew" if anew and is_trained(experiment, self.root) else stage
            outcome = self.client.run(asked, experiment, begun=lambda: self.holds.release(experiment))
        self.holds.observe(stage, experiment)
        if stage == "validate" and not self._trains:
            self.holds.release(experiment)
        return self._settle(outcome, stage, experiment)

    def evaluate(self, experiment: Experiment, asked: Asked) -> StageFailed | None:
        """Evaluate a checkpoint as doit's action, in a worker."""
        if os.getpid() != self._pid:
            end_with_parent()
        try:
            self.holds.check(experiment, trains=False)
        except ConfigError as error:
            return self._refuse(error, experiment)
        verdict = decide_evaluation(experiment, self.root, asked)
        if verdict.word == RUNS:
            print(f"   {in_a_line(counted(verdict.reasons))}\n", end="", flush=True)
        return self._settle(self.client.run(EVALUATE, experiment, asked=asked.to_json()), EVALUATE, experiment)

    def _make_manifest(self, experiment: Experiment) -> Outcome:
        """Make a manifest, or share the one that was made here for the same plugins, and let the worker go on."""
        from otrainer.stages.shared import is_made, note_made, shared_manifest
        from otrainer.tasks.worker.execute import execute

        then = "validate" if self.ahead.may_validate(experiment) else None
        try:
            shared = shared_manifest(experiment, self.root)
        except OSError:  # which the stage says
            return execute("manifest", experiment, self.root)
        if not is_made(shared, self.root):
            outcome = self.client.run("manifest", experiment, then=then, meanwhile=self.ahead.resolve_next)
            if outcome.status == "ok":
                with suppress(OSError, ValueError):  # gone since, or damaged: it is asked for again
                    note_made(shared, self.root)
            return outcome
        outcome = execute("manifest", experiment, self.root)
        if then and outcome.status == "ok":
            self.client.run_ahead(then, experiment)
        return outcome

    def _refuse(self, error: ConfigError, experiment: Experiment) -> StageFailed | None:
        """Tell doit of a build or run directory that somebody else has."""
        from otrainer.stages.outcome import Outcome

        located = error.at_least(("run", "out_dir")).located(written_places(experiment, self.root))
        return self._settle(Outcome.failed(located.findings), "claim", experiment)

    def _start_worker(self, experiment: Experiment) -> bool:
        """Start the worker, which imports torch while this process resolves; tell whether it was not there yet."""
        if (self.root / experiment.built("manifest.json")).exists() or os.getpid() != self._pid:
            return False
        return self.client.start(self.ahead.hands)

    def _say_why(self, stage: str, experiment: Experiment) -> None:
        """Print why a stage runs, in a line below doit's own; with `doit -n 2`, where lines mix, it names the stage."""
        if stage == "verify-resume":
            return  # it was asked for
        task = "" if os.getpid() == self._pid else f"{stage}:{experiment.task_name}: "
        reason = NOT_RUN if (stage, experiment) in self.ahead else self._reasons.line(stage, experiment)
        if text := reason or ("`-a` asks for it." if self._again else ""):
            print(f"   {task}{text}\n", end="", flush=True)  # in one piece, since others may print at the same time

    def answer(
        self, query: str, experiments: tuple[Experiment, ...], variables: Mapping[str, str]
    ) -> StageFailed | None:
        """Answer a question as doit's action: in this process, unless that takes torch, and executing no stage."""
        from otrainer.commands import answer
        from otrainer.tasks.worker.execute import ended

        # Most questions take no worker, nor the client's imports.
        question = Question(self.root, experiments, variables, ask=lambda *one, **more: self.client.run(*one, **more))
        return self._settle(ended(partial(answer, query, question)), query, *experiments)

    def _resolve(self, experiment: Experiment) -> Outcome:
        """Resolve; where that fails over mistakes, let the worker look for the mistakes behind the first ones too."""
        from otrainer.tasks.worker.execute import execute

        outcome = self.ahead.resolved(experiment)
        if outcome is None:
            outcome = execute("resolve", experiment, self.root)
            self.holds.observe("resolve", experiment)
        if outcome.status != "failed":
            return outcome
        examined = self.client.run("examine", experiment)
        return examined if examined.status == "failed" else outcome

    def _bring_back(self, experiment: Experiment) -> bool:
        """Bring a finished run of this definition back from the archive; tell whether there was one."""
        from otrainer.storage.inside_project import refuse_outside
        from otrainer.storage.runs.archive import bring_back, left_behind, settle
        from otrainer.storage.runs.run_json import lock_written

        run = validated_run(experiment, self.root)
        if run is None:
            return False
        refuse_outside(run["run_dir"], self.root, ("run", "out_dir"))
        run_dir = self.root / run["run_dir"]
        with lock_written(run_dir):
            settle(run_dir)
            if is_trained(experiment, self.root):
                leave_receipt(experiment, self.root, run)
                return True
            came = bring_back(run_dir, run["definition"], complete=True)
        if came is None:
            for sentence in left_behind(run_dir, run["definition"], self.root):
                say(in_a_line(f"   {sentence}"))
            return False
        back, aside = (path and display_path(path, self.root) for path in came)
        went = f"; the one in its place is kept in {aside}" if aside else ""
        say(in_a_line(f"{experiment.name}: trained before, the finished run is back from {back}{went}"))
        leave_receipt(experiment, self.root, run)
        return True

    def _settle(self, outcome: Outcome, verb: str, *experiments: Experiment) -> StageFailed | None:
        """Return what the outcome of a stage or question means to doit; an interruption ends doit."""
        if outcome.status in {"failed", "crashed"}:
            names = tuple(experiment.name for experiment in experiments)
            doing = DOING.get(verb, f"running `doit {verb}` for")
            return StageFailed(
                replace(finding, doing=doing, experiments=finding.experiments or names) for finding in outcome.findings
            )
        if outcome.report:
            say(outcome.report, coloured=verb == "show")
        if outcome.status == "interrupted":
            raise SystemExit(self.interrupts.exit_code or outcome.exit_code)
        return None
