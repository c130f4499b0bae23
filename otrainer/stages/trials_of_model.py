"""Trials against the model without its numbers: what is told apart, frozen, or started from weights by its names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from otrainer.config.sections import is_named
from otrainer.config.walk import mappings
from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.freezing import FREEZE, Freezing
from otrainer.engine.optimizers import optimizer_factory
from otrainer.engine.recompute import recomputed
from otrainer.engine.schedule import build_schedules
from otrainer.engine.starting.fitting import Taken, fit_sources
from otrainer.engine.starting.section import sources_in
from otrainer.errors import ConfigError
from otrainer.model import blueprint
from otrainer.protocols import RunLength
from otrainer.registry import Registry, instantiate_value
from otrainer.stages.checks import judged_model, remembered

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig

# As long as any run may be: with this, a schedule is built for a trial.
SOME_LENGTH = RunLength(step=1 << 30, epoch=1 << 30, metric=1 << 30)
BY_GROUP = "sched_factory.by_group"


def some_length(trainer: Any) -> RunLength:
    """Return a length for a trial: not known in steps where the trainer's are of so many tokens without a bound, nor in
    validations where these go by minutes."""
    if isinstance(trainer, Mapping) and trainer.get("val_every_n_minutes"):
        rest = {**trainer, "val_every_n_minutes": None}
        return some_length(rest)._replace(metric=None)
    if not isinstance(trainer, Mapping) or not trainer.get("accumulate") or trainer.get("max_steps"):
        return SOME_LENGTH
    return SOME_LENGTH._replace(step=None, metric=None if trainer.get("val_every_n_steps") else SOME_LENGTH.metric)


def is_apart(optimizer: Any) -> bool:
    """Return whether an optimizer treats parameters differently, or there are several."""
    own = ("groups", "no_decay", "layer_decay", "parameters")
    return is_named(optimizer) or (isinstance(optimizer, Mapping) and any(optimizer.get(key) for key in own))


def names_parts(trainer: Any) -> bool:
    """Return whether the trainer names parts of the model, to be frozen or computed again."""
    own = ("freeze", "checkpoint_activations")
    is_ours = isinstance(trainer, Mapping) and trainer.get("_type_") == "trainer.default"
    return is_ours and any(trainer.get(key) for key in own)


def trial_parts(config: ResolvedConfig, registry: Registry) -> None:
    """Hold what the trainer names against the model without its numbers: does each pattern match anything?"""
    ir, _ = remembered(judged_model, "model", config, registry)
    if ir is None:
        return
    model, trainer = blueprint(ir, registry, config.settings), config.data["trainer"]
    compiles = bool(config.data["run"].get("compile"))
    recomputed(model, trainer.get("checkpoint_activations") or (), compiles=compiles)
    if not trainer.get("freeze"):
        return
    Freezing(trainer["freeze"], model).freeze_for_good()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        message = "All parameters of the model are frozen for good."
        hint = "Let some of them train, or say until when they are frozen."
        raise ConfigError(message, title="nothing to train", config_path=FREEZE, hint=hint)


def trial_weights(config: ResolvedConfig, registry: Registry) -> list[Taken]:
    """Return what the model takes of the weights that it starts from, held against it without its numbers."""
    sources = sources_in(config.data)
    ir, _ = remembered(judged_model, "model", config, registry) if sources else (None, [])
    return [] if ir is None else fit_sources(sources, blueprint(ir, registry, config.settings))


def trial_groups(config: ResolvedConfig, registry: Registry) -> Any:
    """Build a built-in optimizer over the model without its numbers: does each group take anything?"""
    value = config.data["optimizer"]
    ir, _ = remembered(judged_model, "model", config, registry)
    if ir is None or not is_built_in(value, registry):
        return None
    path = ("optimizer",)
    factory = instantiate_value(value, registry=registry, settings=config.settings, config_path=path, checked=True)
    model, trainer = blueprint(ir, registry, config.settings), config.data.get("trainer") or {}
    if names_parts(trainer) and trainer.get("freeze"):
        with suppress(ConfigError):  # which is told of the trainer
            Freezing(trainer["freeze"], model).freeze_for_good()
    with off_the_compiler():
        return optimizer_factory(factory).build(model, registry=registry)


def goes_by_groups(scheduler: Any) -> bool:
    """Return whether a schedule, or one of several, goes by groups of the optimizer, and is judged together with it."""
    return any(spec.get("_type_") == BY_GROUP for _, spec in mappings(scheduler))


def trial_group_schedules(config: ResolvedConfig, registry: Registry) -> None:
    """Build the schedules of groups on a built-in optimizer over the model without its numbers."""
    value, optimizer = config.data["scheduler"], trial_groups(config, registry)
    if optimizer is None or not is_built_in(value, registry):
        return
    path = ("scheduler",)
    factory = instantiate_value(value, registry=registry, settings=config.settings, config_path=path, checked=True)
    build_schedules(factory, optimizer, registry, some_length(config.data.get("trainer")))


def is_built_in(value: Any, registry: Registry) -> bool:
    """Return whether every spec in `value` names something that comes with otrainer."""
    specs = [spec for _, spec in mappings(value)]
    keys = [key for spec in specs for name in ("_type_", "type") if isinstance(key := spec.get(name), str)]
    ours = all(registry.get_module(key).at is None for key in keys if key in registry)
    return ours and not any("_target_" in spec for spec in specs)
