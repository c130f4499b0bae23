"""`doit show MODEL=1`: what a training step takes, found on the meta device: shapes, parameters, FLOPs and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.commands.show_model.measure import measure
from otrainer.commands.show_model.table import render
from otrainer.errors import ConfigError
from otrainer.registry import build_registry
from otrainer.stages.outcome import Outcome
from otrainer.stages.resolve import resolve_fully
from otrainer.storage.project import project

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment


def show_model(experiment: Experiment, root: Path) -> Outcome:
    """Report what a training step of an experiment takes, as its files are now; nothing is written."""
    config = resolve_fully(root / experiment.file, root)
    try:
        with project(root):
            estimate = measure(config, build_registry())
    except ConfigError as error:
        raise error.located(config.source_map) from error.__cause__
    if not estimate.findings:
        return Outcome(report=render(estimate))
    located = ConfigError.of(estimate.findings).located(config.source_map)
    return Outcome.failed(located.findings)._replace(report=render(estimate))
