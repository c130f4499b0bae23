"""`doit show MODEL=1`: what a training step takes, found on the meta device: shapes, parameters, FLOPs and memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from otrainer.commands.show_model.estimate import Estimate, Row
from otrainer.commands.show_model.example import DECLARE, find_example
from otrainer.commands.show_model.groups import group_rows
from otrainer.commands.show_model.labels import key_of
from otrainer.commands.show_model.memory import model_tensors, parameter_count, tensor_bytes
from otrainer.commands.show_model.table import render
from otrainer.commands.show_model.training_step import TrainingStep
from otrainer.engine.accelerator import device_available, known_device
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError
from otrainer.model import GeneratedModel, blueprint, compile_model, has_lazy
from otrainer.registry import build_registry
from otrainer.stages.checks import find_mistakes
from otrainer.stages.outcome import Outcome
from otrainer.stages.resolve import resolve_fully
from otrainer.stages.trials_of_model import is_apart, trial_weights
from otrainer.stages.weights_told import told
from otrainer.storage.project import project

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.config import ResolvedConfig
    from otrainer.model.ir import ModelIR
    from otrainer.registry import Registry
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


def measure(config: ResolvedConfig, registry: Registry) -> Estimate:
    """Return what a training step of the experiment takes; plugins are loaded into `registry`, and nothing is written.

    Raises ConfigError with what is wrong with the config, and where a part of it cannot be built.
    """
    if mistakes := find_mistakes(config, registry):
        raise ConfigError.of(mistakes)
    ir = compile_model(config.data["model"], registry=registry, settings=config.settings)
    run = RunSettings.of(config.data["run"])
    estimate = Estimate(run, choose_device(run.device))
    if not estimate.is_on_wanted_device:
        estimate.notes.append(f"There is no `{run.device}` here: what its kernels keep is taken as on the CPU.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training tells them
        model = blueprint(ir, registry, config.settings)
        if not isinstance(model, GeneratedModel):
            count_parameters_alone(estimate, ir, model)
            estimate.notes.append("No shapes are known: the trainer's step says what goes through which model.")
        elif isinstance(example := find_example(config, registry), str):
            count_parameters_alone(estimate, ir, model)
            estimate.notes += [f"No shapes are known: {example.rstrip('.')}.", DECLARE]
        else:
            TrainingStep(config, registry, ir, model, example, estimate).follow()
        estimate.notes += [
            told(each, most=len(each.left) + len(each.missing)) for each in trial_weights(config, registry)
        ]
        if is_apart(config.data.get("optimizer")):
            estimate.groups = group_rows(config, registry, model)
    estimate.parameters = parameter_count(model)
    estimate.memory = {"weights": sum(map(tensor_bytes, model_tensors(model))), **estimate.memory}
    return estimate


def choose_device(device: str) -> torch.device:
    """Return the device whose kernels are asked what they would keep; nothing is put on it."""
    wanted = known_device(device)
    return wanted if wanted.type == "cuda" and device_available(wanted) else torch.device("cpu")


def count_parameters_alone(estimate: Estimate, ir: ModelIR, model: torch.nn.Module) -> None:
    """Note the parameters of each module, which are known without a batch."""
    modules = {name: (key_of(spec.spec), model.get_submodule(name)) for name, spec in ir.by_name()}
    estimate.rows += [Row(name, key, parameters=parameter_count(module)) for name, (key, module) in modules.items()]
    if lazy := [name for name, (_, module) in modules.items() if has_lazy(module)]:
        estimate.notes.append(f"Widths that a batch decides are not counted: in `{'`, `'.join(lazy)}`.")
