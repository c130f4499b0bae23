"""The stage `fit`: train what was validated, unless its run is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import ConfigError
from otrainer.stages.begun import say_begun
from otrainer.stages.built import VALIDATED, leave_receipt, needed
from otrainer.stages.definition import search_as_left
from otrainer.stages.fit.fast import is_fast
from otrainer.stages.fit.start import first_start
from otrainer.stages.fit.train import train
from otrainer.stages.freshness.decide import is_trained
from otrainer.stages.outcome import Outcome
from otrainer.stages.plan import Plan
from otrainer.stages.resolve import resolved
from otrainer.storage.project import project
from otrainer.storage.runs.run_json import read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


def fit(experiment: Experiment, root: Path) -> Outcome:
    """Train what was validated, unless its run is finished already."""
    return trained(experiment, root, first_start)


def fit_anew(experiment: Experiment, root: Path) -> Outcome:
    """Train what was validated once more where its run is finished; that one is kept aside."""
    return trained(experiment, root, first_start, anew=True)


def trained(experiment: Experiment, root: Path, start: Callable[..., Any], *, anew: bool = False) -> Outcome:
    """Train what was validated from where `start` says, and leave word of it in the build."""
    plan = Plan.from_json(*needed(experiment, root, VALIDATED))
    run = {"run_dir": plan.run_dir, "definition": plan.definition}
    if not anew and is_trained(experiment, root):
        leave_receipt(experiment, root, run)
        return Outcome(report=f"{plan.name}: trained already, in {plan.run_dir}")
    places = resolved(experiment, root).source_map
    search_as_left(experiment, root)
    say_begun()
    try:
        with project(root):
            result = train(plan, root=root, start=start, places=places)
    except TrainingInterrupted as stop:
        left = read_run(root / plan.run_dir)
        saved = left is not None and left["definition"] == plan.definition and left["outputs"]
        again = f"`doit train EXP={experiment.name}` or `doit resume` continues"
        words = again if saved else "no checkpoint was saved, so there is nothing to continue from"
        return Outcome("interrupted", f"{plan.name}: {stop}; {words}", stop.exit_code)
    except ConfigError as error:
        raise error.located(places) from error.__cause__
    if not is_fast(plan):
        leave_receipt(experiment, root, run)
    return Outcome(report=result.summary)
