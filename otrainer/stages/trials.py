"""Trials of an experiment: its model and built-in parts, built without numbers to find what fails before it trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from otrainer.engine.accelerator import check_device
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.optimizers import in_section
from otrainer.engine.schedule import build_schedule
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError, Finding, errors_at
from otrainer.model import blueprint
from otrainer.model.meta import model_summary
from otrainer.registry import Registry, build_registry, instantiate_value
from otrainer.stages.checks import COMPONENTS, find_mistakes, is_below, judged_model, remembered
from otrainer.stages.set_aside import Rest
from otrainer.stages.trials_of_model import (
    goes_by_groups,
    is_apart,
    is_built_in,
    names_parts,
    some_length,
    trial_group_schedules,
    trial_groups,
    trial_parts,
    trial_weights,
)

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig

T = TypeVar("T")


def try_out(config: ResolvedConfig, registry: Registry, mistakes: list[Finding]) -> dict[str, Any]:
    """Put the experiment together for a trial, device, model and built-in components; returned is the model's shape.

    What has `mistakes` is left out, and nothing is tried where a plugin fails. Nothing is written for it: the
    model is built without its numbers, and of the plugins' components none is.
    Raises ConfigError with the mistakes and everything that fails.
    """
    findings, rest = list(mistakes), Rest(config)
    wrong = {finding.config_path[0] for finding in mistakes if finding.config_path}
    if not wrong.isdisjoint(("imports", "settings")) or any(not finding.config_path for finding in mistakes):
        raise ConfigError.of(findings)
    rest.set_aside(mistakes)

    def attempt(trial: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return trial(*arguments)
        except ConfigError as error:
            told = [finding for finding in error.findings if not rest.follows(finding)]
            findings.extend(told)
            rest.set_aside(told)
            return None

    if "run" not in wrong:
        run = RunSettings.of(config.data["run"])
        attempt(check_device, run.device, run.precision)
        attempt(check_resume, run.resume_from)
    model: dict[str, Any] | None = None
    if "model" not in wrong:
        model = attempt(remembered, trial_model, "model", config, registry)
    for section in COMPONENTS:
        before = None
        while rest.has(section) and before is not rest.config:  # what is left of it, as long as another mistake shows
            before = rest.config
            attempt(remembered, trial_section, section, rest.config, registry)
    if model is not None and rest.has("optimizer") and is_apart(rest.config.data["optimizer"]):
        attempt(trial_groups, rest.config, registry)
    by_groups = goes_by_groups(config.data.get("scheduler"))
    if model is not None and by_groups and rest.is_whole("optimizer") and rest.is_whole("scheduler"):
        attempt(trial_group_schedules, config, registry)
    if model is not None and rest.has("trainer") and names_parts(rest.config.data["trainer"]):
        attempt(trial_parts, rest.config, registry)
    if "weights" not in wrong and model is not None:
        attempt(trial_weights, config, registry)
    if findings or model is None:
        raise ConfigError.of(findings)
    return model


def all_mistakes(config: ResolvedConfig, broken: Sequence[Finding] = ()) -> list[Finding]:
    """Return all mistakes of a config, those of resolving it too; what these have broken is not judged again."""
    paths = [finding.config_path for finding in broken if finding.config_path]
    registry = build_registry()
    found = find_mistakes(config, registry)
    try:
        try_out(config, registry, [*broken, *(each for each in found if not is_below(each, paths))])
    except ConfigError as error:
        return list(error.located(config.source_map).findings)
    return []


def check_resume(path: str | None) -> None:
    if path is None:
        return
    with errors_at("run", "resume_from"):
        if not os.path.isfile(path):  # noqa: PTH113 - reads the same and needs no Path
            hint = "Check the path; `doit runs` lists the runs that have checkpoints."
            raise ConfigError(f"There is no checkpoint at `{path}`.", title="checkpoint not found", hint=hint)
        load_checkpoint(path)


def trial_model(name: str, config: ResolvedConfig, registry: Registry) -> dict[str, Any]:
    """Return the shape of the model, built without storage for its numbers."""
    ir, findings = remembered(judged_model, name, config, registry)
    if findings or ir is None:
        raise ConfigError.of(findings)
    return model_summary(blueprint(ir, registry, config.settings))


def trial_section(section: str, config: ResolvedConfig, registry: Registry) -> None:
    """Build a section's components if all of them are built in; a factory also builds its class on a parameter.

    Of a list those are built that are. Its specs were checked, since no mistake was found in it.
    """
    value = config.data[section]
    if isinstance(value, list):
        trial_entries(section, config, registry)
        return
    if not is_built_in(value, registry):
        value = without_plugins(value, registry)
        if not is_built_in(value, registry):
            return
    path, settings = (section,), config.settings
    built = instantiate_value(value, registry=registry, settings=settings, config_path=path, checked=True)
    with off_the_compiler():
        if section == "optimizer" and not is_apart(value):
            built.build(one_matrix(), registry=registry)
        elif section == "scheduler":
            named = built if isinstance(built, Mapping) else {"": built}
            for name, factory in named.items():
                if getattr(factory, "needs_groups", False):
                    continue  # it is tried with the optimizer
                with in_section(section, name) if name else nullcontext():
                    optimizer = torch.optim.SGD(one_matrix().parameters(), lr=1.0, momentum=0.9)
                    build_schedule(factory, optimizer, registry, some_length(config.data.get("trainer")))


def trial_entries(section: str, config: ResolvedConfig, registry: Registry) -> None:
    """Build each entry of a list that is built in, or takes stand-ins for what is not; raise all mistakes at once."""
    findings: list[Finding] = []
    for index, entry in enumerate(config.data[section]):
        value = entry if is_built_in(entry, registry) else without_plugins(entry, registry)
        if is_built_in(value, registry):
            path, settings = (section, index), config.settings
            try:
                instantiate_value(value, registry=registry, settings=settings, config_path=path, checked=True)
            except ConfigError as error:
                findings += error.findings
    if findings:
        raise ConfigError.of(findings)


@cache
def one_matrix() -> torch.nn.Module:
    """Return what every optimizer takes; none that is built changes it."""
    return torch.nn.Linear(1, 1, bias=False)


def without_plugins(value: Any, registry: Registry) -> Any:
    """Return a spec with a stand-in for each part of a plugin's, if the component has one for a trial.

    It is an empty list, or what the component says in place of true.
    """
    key = value.get("_type_") if isinstance(value, Mapping) else None
    target = registry.get_module(key).target if isinstance(key, str) and key in registry else None
    stand_in = getattr(target, "tried_with_empty_parts", False)
    if not stand_in:
        return value
    return {
        name: ([] if stand_in is True else stand_in)
        if isinstance(part, Mapping) and not is_built_in(part, registry)
        else part
        for name, part in value.items()
    }
