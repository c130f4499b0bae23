"""What one doit keeps for itself: builds, from their first stage that runs until training has read them, and run
directories, which no two experiments share.

It is asked by the process that decides which stages run. With `doit -n 2` others run them, and find its pid in the
locks.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from otrainer.diagnostics.say import say
from otrainer.errors import ConfigError
from otrainer.stages.built import configured_run_dir
from otrainer.storage.project import display_path
from otrainer.storage.stamps import facts

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment
    from otrainer.storage.stamps import Facts

# Making a build takes seconds, some of them for each process that waits.
WAIT_S = 120.0
# Each lock is an open file, and a process may have some hundreds.
MOST_BUILDS = 64
LEFT = {"resolve": "resolved.json", "validate": "validated.json"}


class Holds:
    """The builds and run directories of one doit; `trains` says that trainings are wanted, and not only checks."""

    def __init__(self, root: Path, *, trains: bool) -> None:
        self.root = root
        self.trains = trains
        self.selected: tuple[Experiment, ...] = ()
        self.pid = os.getpid()
        self._builds: dict[Experiment, ExitStack] = {}
        self._made: dict[tuple[str, Experiment], Facts | None] = {}
        self._claims: dict[Path, Experiment] = {}
        self._refused: dict[Experiment, ConfigError] = {}
        self._claiming = threading.Lock()  # stages of `doit -n 2 -P thread` claim at the same time

    @cached_property
    def _locks(self) -> ExitStack:
        locks = ExitStack()
        atexit.register(locks.close)
        return locks

    def build(self, experiment: Experiment) -> None:
        """Keep others from an experiment's build; wait for one that makes it now, unless others may wait for us."""
        from otrainer.storage.build_lock import lock_build

        if os.getpid() != self.pid or experiment in self._builds or len(self._builds) >= MOST_BUILDS:
            return
        held = self._locks.enter_context(ExitStack())
        wait_s = 0 if self._builds else WAIT_S
        try:
            held.enter_context(lock_build(self.root / experiment.build, wait_s, say_at_once))
        except ConfigError as error:
            self._refused[experiment] = error
        else:
            self._builds[experiment] = held
            if self.is_made_anew("resolve", experiment):
                self._refused[experiment] = made_anew(experiment)

    def release(self, experiment: Experiment) -> None:
        """Let others make an experiment's build again."""
        if os.getpid() == self.pid and experiment in self._builds:
            self._builds.pop(experiment).close()

    def observe(self, stage: str, experiment: Experiment) -> None:
        """Remember what a stage left as what this doit goes on with."""
        if stage in LEFT:
            self._made[stage, experiment] = self._left(stage, experiment)

    def is_made_anew(self, stage: str, experiment: Experiment) -> bool:
        """Return whether another process replaced what a stage had left here."""
        known = self._made.get((stage, experiment))
        return known is not None and known != self._left(stage, experiment)

    def before_training(self, experiment: Experiment, *, is_due: bool) -> bool:
        """Keep others from the run directory where a training is due; return whether something stands against it.

        The stage will say what.
        """
        if not self.trains:
            return False
        try:
            if self.is_made_anew("validate", experiment):
                raise made_anew(experiment)
            if is_due:
                self.claim(experiment)
            else:
                with self._claiming:
                    self._place(experiment)
        except ConfigError as error:
            self._refused[experiment] = error
        return experiment in self._refused

    def check(self, experiment: Experiment, *, trains: bool) -> None:
        """Raise ConfigError where something stands against running a stage of an experiment."""
        if experiment in self._refused:
            raise self._refused[experiment]
        if os.getpid() == self.pid:
            return
        from otrainer.storage.build_lock import refuse_if_made

        refuse_if_made(self.root / experiment.build, unless=self.pid)
        run_dir = configured_run_dir(experiment, self.root)
        if trains and run_dir is not None:
            self._check_claim(experiment, run_dir)

    def claim(self, experiment: Experiment) -> None:
        """Keep other doits from training into this run directory, before anything slow begins.

        Raises ConfigError where another process or experiment has it. The worker that writes there takes the run's
        own lock.
        """
        from otrainer.storage.runs.lock import lock_run
        from otrainer.storage.runs.run_json import refuse_if_written, refuse_within

        if not self.trains or os.getpid() != self.pid:
            return
        run_dir = configured_run_dir(experiment, self.root)
        if run_dir is None:
            return
        with self._claiming:
            if experiment in self._claimed:
                return
            self._let_go_first(experiment)
            first = self._claims.setdefault(run_dir, experiment)
            if first not in self._claimed:
                refuse_within(run_dir, run_dir)
                self._locks.enter_context(lock_run(run_dir, claim=True, what=first.name))
                self._claimed.add(first)
        if first != experiment:
            raise shared_run_dir(experiment.name, first.name, display_path(run_dir, self.root))
        refuse_if_written(run_dir)

    def _let_go_first(self, experiment: Experiment) -> None:
        """Give the experiments that stand before this one, and may be up to date, their run directories first."""
        for each in itertools.takewhile(lambda each: each != experiment, self.selected):
            if ("resolve", each) in self._made:
                self._place(each)

    def _place(self, experiment: Experiment) -> None:
        """Let an experiment have its run directory though it does not train, unless another one has it."""
        if experiment not in self._placed:
            self._placed.add(experiment)
            if (run_dir := configured_run_dir(experiment, self.root)) is not None:
                self._claims.setdefault(run_dir, experiment)

    @cached_property
    def _placed(self) -> set[Experiment]:
        return set()

    @cached_property
    def _claimed(self) -> set[Experiment]:
        return set()

    def _check_claim(self, experiment: Experiment, run_dir: Path) -> None:
        """Raise ConfigError where the doit that started this process did not claim the directory for an experiment."""
        from otrainer.storage.held_lock import read_holder
        from otrainer.storage.runs.lock import in_use, is_locked, lock_file, lock_run

        if not is_locked(run_dir, claim=True):  # as with `doit -a`, which asks for no claim
            self._locks.enter_context(lock_run(run_dir, claim=True, what=experiment.name))
        holder = read_holder(lock_file(run_dir, claim=True))
        if holder is None or holder.pid not in (self.pid, os.getpid()):
            raise in_use(run_dir, holder)
        if holder.what != experiment.name:
            raise shared_run_dir(experiment.name, holder.what, display_path(run_dir, self.root))

    def _left(self, stage: str, experiment: Experiment) -> Facts | None:
        try:
            return facts(os.stat(f"{self.root}/{experiment.built(LEFT[stage])}"))  # noqa: PTH116 - asked often
        except OSError:
            return None


def say_at_once(text: str) -> bool:
    say(text)
    return True


def made_anew(experiment: Experiment) -> ConfigError:
    return ConfigError(
        f"Another process has made `{experiment.build.as_posix()}` anew since it was validated here.",
        title="changed meanwhile",
        hint="Run the same command again.",
    )


def shared_run_dir(second: str, first: str, run_dir: str) -> ConfigError:
    message = f"`{second}` and `{first}` both train into `{run_dir}`."
    hint = "Give each its own `run.name`, or train them one after the other by two calls."
    return ConfigError(message, title="one run directory for two", config_path=("run", "out_dir"), hint=hint)
