"""The helper of dodo.py: it selects the experiments of the command line and configures doit to run their stages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import Signature
from pathlib import Path
from typing import Any, NoReturn

from doit import doit_cmd, get_initial_workdir  # type: ignore[import-untyped]  # doit ships no types

from otrainer.diagnostics.say import in_a_line, make_legible, say
from otrainer.errors import ConfigError, Finding
from otrainer.stages.built import first_told
from otrainer.stages.freshness.decide import RESUME, SCHEMA, decide, decide_evaluation
from otrainer.storage import process_memory
from otrainer.storage.experiments import ALL, CALLING_FOLDER, Experiment, all_experiments, sentence
from otrainer.storage.gc_pause import keep_all
from otrainer.storage.lasting_streams import make_lasting
from otrainer.storage.module_search import finders_at_start
from otrainer.storage.runs.evaluations import Asked
from otrainer.tasks import doit_patches
from otrainer.tasks.ahead import Ahead
from otrainer.tasks.commandline import CommandLine
from otrainer.tasks.interrupts import Interrupts
from otrainer.tasks.reporter import Document, StageReporter
from otrainer.tasks.runner import BUILDING, Runner
from otrainer.tasks.selection import (
    ABOUT_ONE,
    CHECKED,
    EVERY,
    LAST,
    NAMED,
    QUERIES,
    chained,
    only_checks,
    select,
    wanted_format,
)
from otrainer.tasks.state import MD5Checker

OWN = (*EVERY, *NAMED, *QUERIES, *ABOUT_ONE, LAST)
TaskDict = dict[str, Any]
UpToDate = list[Callable[[], bool]]


class Call:
    """What doit calls without finding out each time, by `inspect`, that it takes nothing."""

    __signature__ = Signature()

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __call__(self) -> Any:
        return self._call()


class Project:
    """A folder with a dodo.py: the root that everything relative starts from.

    `selected` are the experiments whose tasks are created, `listed` those that `doit list` shows. Those that train are
    created for `trained`: none where the command line cannot come to one.
    """

    def __init__(self, dodo: str) -> None:
        finders_at_start()  # before dodo.py may add to them
        self.root = Path(dodo).resolve().parent
        self.selected: tuple[Experiment, ...] = ()
        self.listed: tuple[Experiment, ...] = ()
        self.trained: tuple[Experiment, ...] = ()
        self.variables: Mapping[str, str] = {}
        self.interrupts = Interrupts()
        self._executes = False
        self._chains: Mapping[Experiment, Experiment] = {}
        self.runner = Runner(self.root, self.interrupts, alone=True, trains=False)

    def configure(self, namespace: Mapping[str, Any]) -> TaskDict:
        """Give doit its configuration, and have the experiments selected that the command line means.

        `namespace` is that of dodo.py, which may define tasks before and after this. Once it has run, the process ends,
        with a word, where the command line is wrong or asks for nothing; outside of doit none is selected and nothing
        touched.
        """
        if doit_cmd._CMDLINE_VARS is not None:
            line = CommandLine.parse(sys.argv[1:])
            make_lasting(stops=line.command != "run" or not line.trains)
            make_legible()
            self._prepare(lambda: self._select(line, verbs_of(namespace, line)))
        StageReporter.interrupts = self.interrupts
        return {
            "default_tasks": ["train"],
            "reporter": StageReporter,
            "backend": "sqlite3",
            "dep_file": "build/.doit.db",
            "check_file_uptodate": MD5Checker,
            "continue": True,  # a broken experiment does not hide the others' findings
            "verbosity": 2,
            "sort": "definition",
        }

    def stage(self, stage: str, experiment: Experiment, **task: Any) -> TaskDict:
        """Return the doit task that runs a stage of an experiment; `task` holds its dependencies and targets."""
        action = (Call(partial(self.runner.run, stage, experiment)),)
        meta = {"brief": stage in BUILDING}
        return {"name": experiment.task_name, "actions": [action], "io": {"capture": False}, "meta": meta, **task}

    def overall(self, stage: str, **task: Any) -> TaskDict:
        """Return the doit task of a stage about all experiments; it runs also where some of its `task_dep` fail."""
        action = (self.runner.run, [stage, ALL])
        return {"basename": stage, "actions": [action], "io": {"capture": False}, "meta": {"partial": True}, **task}

    def query(self, name: str) -> TaskDict:
        """Return the doit task that answers a question about the selected experiments, anew each time."""
        return {
            "basename": name,
            "actions": [(self.runner.answer, [name, self.selected, self.variables])],
            "io": {"capture": False},
            "meta": {"query": True},
        }

    def evaluation(self, experiment: Experiment) -> TaskDict:
        """Return the doit task that evaluates what was trained, as the command line asks for."""
        asked = Asked.of(self.variables)
        action = (Call(partial(self.runner.evaluate, experiment, asked)),)
        return {
            "name": experiment.task_name,
            "actions": [action],
            "io": {"capture": False},
            "task_dep": [f"fit:{experiment.task_name}"],
            "uptodate": [lambda: self._is_evaluated(experiment, asked)],
        }

    def unchanged(self, stage: str, experiment: Experiment) -> UpToDate:
        """Up to date while nothing changed that the stage read or left, by its own record."""
        return [Call(lambda: self._is_unchanged(stage, experiment))]

    def schema_is_current(self) -> UpToDate:
        """Up to date while no experiment came, went or has other keys."""
        return [lambda: decide(SCHEMA, ALL, self.root).is_up_to_date]

    def finished(self, experiment: Experiment) -> UpToDate:
        """Up to date while the run directory holds a complete run of the validated definition."""
        return [lambda: self._is_finished(experiment)]

    def begun_by(self, experiment: Experiment) -> list[str]:
        """Return the training from whose run the experiment begins, where both are to be trained."""
        first = self._chains.get(experiment)
        return [] if first is None else [f"fit:{first.task_name}"]

    def sentence(self, experiment: Experiment) -> str:
        """Return the sentence with which the experiment describes itself, where anybody reads it."""
        return "" if self._executes else sentence(experiment, self.root)

    def _is_unchanged(self, stage: str, experiment: Experiment) -> bool:
        if (stage, experiment) in self.runner.ahead:
            return False
        is_fresh = decide(stage, experiment, self.root, looks=self.runner.looks).is_up_to_date
        if not is_fresh and self._executes:
            self.runner.holds.build(experiment)  # which may wait for another doit that makes it
            is_fresh = decide(stage, experiment, self.root).is_up_to_date
        if is_fresh:
            self.runner.holds.observe(stage, experiment)
        return is_fresh

    def _is_finished(self, experiment: Experiment) -> bool:
        verdict = decide(RESUME, experiment, self.root)
        if self._executes and verdict.begins_from is not None:
            self._say_chain(experiment)
        if self._executes and self.runner.holds.before_training(experiment, is_due=not verdict.is_up_to_date):
            return False
        if verdict.is_up_to_date and verdict.notes and first_told(experiment, self.root, verdict.notes):
            say("\n".join(in_a_line(f"   {experiment.name}: {note}") for note in verdict.notes))
        return verdict.is_up_to_date

    def _is_evaluated(self, experiment: Experiment, asked: Asked) -> bool:
        if not decide_evaluation(experiment, self.root, asked).is_up_to_date:
            return False
        if self._executes:
            from otrainer.stages.evaluate.table import kept_table

            say(kept_table(experiment, asked, self.root))
        return True

    def _say_chain(self, experiment: Experiment) -> None:
        from otrainer.stages.freshness.chain import chain_note

        if note := chain_note(experiment, self.root):
            say(in_a_line(f"   {experiment.name}: {note}"))

    def _prepare(self, once_loaded: Callable[[], None]) -> None:
        keep_all()  # what doit and this load: else all of it is gone through once more as the process ends
        self.interrupts.install()
        doit_patches.install(once_loaded)
        process_memory.put(CALLING_FOLDER, get_initial_workdir() or "")
        os.chdir(self.root)
        if sys.path[0] != str(self.root):
            sys.path.insert(0, str(self.root))
        with suppress(OSError):  # questions are answered without it, and a stage that needs it says so
            (self.root / "build").mkdir(exist_ok=True)

    def _select(self, line: CommandLine, verbs: Mapping[str, str]) -> None:
        form = wanted_format(line)
        document = Document(form, self.root) if form else None  # from here on stdout is its own
        try:
            selection = select(line, verbs, self.root)
        except ConfigError as error:
            refuse([replace(finding, doing="reading the command line") for finding in error.findings], document)
        if selection.message:
            say(selection.message)
            if document:
                document.write([])
            raise SystemExit(0)
        if document:
            document.files = {each.name: each.file.as_posix() for each in selection.experiments}
            StageReporter.document = document
        self.selected = self.listed = self.trained = selection.experiments
        self.variables = line.variables
        self._executes = line.command == "run"
        alone = len(self.selected) == 1
        self.runner = Runner(self.root, self.interrupts, alone=alone, trains=line.trains, again=line.always)
        self.runner.holds.selected = self.selected
        if self._executes and line.tasks == (CHECKED,) and not alone:
            self.runner.ahead = Ahead(self.root, self.runner.holds, self.selected)
        self._chains = chained(self.selected, line, self.root)
        if line.command == "list" and not self.selected:
            self.listed = tuple(all_experiments(self.root))
        if only_checks(line) and verbs.keys() <= {*OWN}:  # tasks of the user's may depend on any
            self.listed = self.trained = ()


def verbs_of(namespace: Mapping[str, Any], line: CommandLine) -> dict[str, str]:
    """Return the tasks that dodo.py defines, each with its sentence.

    Where the line names another, the user's creators are asked too, which may name their tasks themselves.
    """
    creators = doit_patches.task_creators(namespace)
    verbs = {name: (function.__doc__ or "").strip().split("\n")[0] for name, function, _ in creators}
    if all(task.partition(":")[0] in verbs for task in line.tasks) or not line.takes_tasks:
        return verbs
    return verbs | dict.fromkeys(doit_patches.further_names(namespace, OWN), "")


def refuse(findings: Sequence[Finding], document: Document | None = None) -> NoReturn:
    """Show what is wrong, and end."""
    from otrainer.diagnostics.drawing import show

    show(findings)
    if document:
        document.write(findings)
    raise SystemExit(1)
