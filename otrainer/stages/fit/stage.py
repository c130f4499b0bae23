"""The stage `fit`: train what was validated, unless its run is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import ConfigError
from otrainer.stages.fit.start import first_start
from otrainer.stages.fit.train import train
from otrainer.stages.outcome import Outcome
from otrainer.stages.plan import Plan
from otrainer.stages.resolve import resolved
from otrainer.storage.canonical_json import read_json, write_json
from otrainer.storage.project import project
from otrainer.storage.runs.run_json import is_complete, read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


def fit(experiment: Experiment, root: Path) -> Outcome:
    """Train what was validated, unless its run is finished already."""
    return trained(experiment, root, first_start)


def trained(experiment: Experiment, root: Path, start: Callable[..., Any]) -> Outcome:
    """Train what was validated from where `start` says, and leave word of it in the build."""
    plan = Plan.from_json(read_json(root / experiment.built("validated.json")))
    if is_complete(root / plan.run_dir, plan.definition):
        leave_receipt(experiment, root, plan)
        return Outcome(report=f"{plan.name}: trained already, in {plan.run_dir}")
    places = resolved(experiment, root).source_map
    try:
        with project(root):
            result = train(plan, root=root, start=start, places=places)
    except TrainingInterrupted as stop:
        run = read_run(root / plan.run_dir)
        saved = run is not None and run["definition"] == plan.definition and run["outputs"]
        again = f"`doit train EXP={experiment.name}` or `doit resume` continues"
        words = again if saved else "no checkpoint was saved, so there is nothing to continue from"
        return Outcome("interrupted", f"{plan.name}: {stop}; {words}", stop.exit_code)
    except ConfigError as error:
        raise error.located(places) from error.__cause__
    leave_receipt(experiment, root, plan)
    return Outcome(report=result.summary)


def leave_receipt(experiment: Experiment, root: Path, plan: Any) -> None:
    """Write to fit.json which run this build came to."""
    receipt = {"run_dir": plan.run_dir, "definition": plan.definition}
    write_json(root / experiment.built("fit.json"), receipt)
