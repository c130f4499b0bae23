"""What of a check runs before doit asks for it: resolving, while torch is imported, and validation in the worker.

Only of what never ran is it certain before its turn that it is due; its outcome is told in its turn.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.stages.built import record_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from otrainer.stages.outcome import Outcome
    from otrainer.storage.experiments import Experiment
    from otrainer.tasks.holds import Holds


# Experiments that are worth a further process, and how many there may be: doit itself takes half the time of a check.
SHARE, MOST = 100, 3


class Ahead:
    """The experiments that a call of doit is about to check, and what has run of them before its turn."""

    def __init__(self, root: Path, holds: Holds, experiments: Iterable[Experiment] = ()) -> None:
        self.root = root
        self._holds = holds
        self._experiments = frozenset(experiments)
        self._waiting = iter(tuple(experiments))
        self._resolved: dict[Experiment, Outcome] = {}
        self._due: set[tuple[str, Experiment]] = set()

    def __contains__(self, stage_of: tuple[str, Experiment]) -> bool:
        """Return whether a stage of an experiment runs, or has run, before its turn; it is then due."""
        return stage_of in self._due

    def hands(self) -> int:
        """Return how many processes are to share with the worker what is to be validated.

        Each has a processor, and so much to do that it is worth having it load the plugins too.
        """
        due = sum(self._never_ran("validate", each) for each in self._experiments)
        return min(due // SHARE, processors() - 1, MOST)

    def may_validate(self, experiment: Experiment) -> bool:
        """Return whether an experiment may be validated as soon as it has a manifest; it then counts as due."""
        if not self._never_ran("validate", experiment):
            return False
        self._due.add(("validate", experiment))
        return True

    def resolve_next(self) -> bool:
        """Resolve the next experiment that never was, for a process that waits; return whether there was one."""
        from otrainer.tasks.worker.execute import execute

        for experiment in self._waiting:
            if not self._never_ran("resolve", experiment):
                continue
            self._holds.build(experiment)
            try:
                self._holds.check(experiment, trains=False)
            except ConfigError:  # which its turn tells
                continue
            self._due.add(("resolve", experiment))
            self._resolved[experiment] = execute("resolve", experiment, self.root)
            self._holds.observe("resolve", experiment)
            return True
        return False

    def resolved(self, experiment: Experiment) -> Outcome | None:
        """Return what resolving an experiment before its turn came to, once; None where its turn is the first."""
        return self._resolved.pop(experiment, None)

    def _never_ran(self, stage: str, experiment: Experiment) -> bool:
        is_here = os.getpid() == self._holds.pid  # and not one of `doit -n 2`, which runs what it is given
        record = record_path(stage, experiment, self.root)
        return is_here and experiment in self._experiments and not os.path.lexists(record)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
