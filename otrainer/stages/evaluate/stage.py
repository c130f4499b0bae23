"""The stage `evaluate`: what a checkpoint of a finished run comes to on a part of the data; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.say import say
from otrainer.engine.evaluation import Evaluation, evaluate_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError
from otrainer.stages.built import VALIDATED, needed
from otrainer.stages.definition import search_as_left
from otrainer.stages.evaluate.keep import keep_predictions, predictions_as
from otrainer.stages.evaluate.table import table_of
from otrainer.stages.fit.changed import refuse_changed
from otrainer.stages.fit.compose import composed
from otrainer.stages.freshness.decide import is_trained
from otrainer.stages.freshness.evaluated import made_of
from otrainer.stages.outcome import Outcome
from otrainer.stages.plan import Plan
from otrainer.stages.resolve import resolved
from otrainer.storage.project import display_path, project
from otrainer.storage.runs.evaluations import (
    Asked,
    checkpoint_of,
    keep_evaluation,
    predictions_of,
    refuse_foreign_evaluations,
    remove_predictions,
)
from otrainer.storage.runs.run_json import lock_written, read_run

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.config import SourceMap
    from otrainer.engine.predictions import Predictions
    from otrainer.stages.fit.compose import Composed
    from otrainer.storage.experiments import Experiment

# What only training has; without it nobody logs or saves anything.
WITHOUT: Mapping[str, Any] = {"callbacks": [], "loggers": [], "scheduler": None}


def evaluate(experiment: Experiment, root: Path, asked: Mapping[str, Any]) -> Outcome:
    """Judge a checkpoint of the experiment's finished run, and keep what comes of it beside the run."""
    (validated,) = needed(experiment, root, VALIDATED)
    places = resolved(experiment, root).source_map
    search_as_left(experiment, root)
    try:
        if not is_trained(experiment, root):
            raise not_trained(experiment)
        with project(root), lock_written(root / validated["run_dir"]), StopRequest():
            return evaluated(experiment, validated, Asked(**asked), root, places)
    except TrainingInterrupted as stop:
        return Outcome("interrupted", f"{experiment.name}: {stop}; nothing was evaluated", stop.exit_code)
    except ConfigError as error:
        raise error.located(places) from error.__cause__


def evaluated(
    experiment: Experiment, validated: Mapping[str, Any], asked: Asked, root: Path, places: SourceMap
) -> Outcome:
    """Return the table of an evaluation once it is kept."""
    plan = Plan.from_json(validated)
    run_dir = root / plan.run_dir
    refuse_foreign_evaluations(run_dir)
    name, checkpoint = checkpoint_of(run_dir, read_run(run_dir) or {}, asked.checkpoint, root)
    facts = made_of(validated, checkpoint, root)
    with composed(replace(plan, config={**plan.config, **WITHOUT}), places) as whole:
        refuse_changed(plan, root)
        found = judged(whole, checkpoint, asked.split, kept := predictions_as(asked.predictions, run_dir))
    entry = {
        "split": asked.split,
        "checkpoint": name,
        "file": display_path(checkpoint, root),
        "step": found.step,
        "epoch": found.epoch,
        "batches": found.batches,
        "samples": found.samples,
        "values": {bare(key): value if isfinite(value) else None for key, value in found.values.items()},
        "arrays": {bare(key): array.listed() for key, array in found.arrays.items()},
        "predictions": None,
        "definition": found.definition,
        "made_of": facts,
    }
    table = table_of(plan.name, entry)
    try:
        remove_predictions(run_dir, asked.split, name)
        if kept is not None:
            file = predictions_of(asked.split, name, asked.predictions)
            entry["predictions"] = keep_predictions(run_dir, kept, file)
        keep_evaluation(run_dir, entry)
    except (ConfigError, OSError):
        say(table)  # what it came to is not lost
        raise
    return Outcome(report=table_of(plan.name, entry))


def judged(whole: Composed, checkpoint: Path, split: str, keeps: Predictions | None) -> Evaluation:
    """Judge the parts; raise ConfigError for whatever a part raises, chained to it."""
    try:
        return evaluate_checkpoint(whole.trainer, whole.parts, whole.settings, checkpoint, split=split, keeps=keeps)
    except (Exception, SystemExit) as error:
        told = whole.origins.explain(error)
        if told is error:
            raise
    raise told  # out here, where nothing chains it to an error whose text may hold a secret


def bare(name: str) -> str:
    """Return `val_accuracy` as `accuracy`: of which split it is, the entry says."""
    return name.removeprefix("val_").removeprefix("val/")


def not_trained(experiment: Experiment) -> ConfigError:
    message = f"There is no finished run of `{experiment.name}` as its config is now."
    hint = f"Train it by `doit train EXP={experiment.name}`."
    return ConfigError(message, title="nothing to evaluate", config_path=("run", "out_dir"), hint=hint)
