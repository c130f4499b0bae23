"""Put a run back to where its checkpoint left it, after checking that the two fit each other."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.compare import marked_lost
from otrainer.engine.checkpoint.compatible import check_built, check_model, model_misfit
from otrainer.engine.checkpoint.encode import Encoder
from otrainer.engine.checkpoint.flags import set_flags
from otrainer.engine.checkpoint.lists import load_lists
from otrainer.engine.checkpoint.load import load_checkpoint
from otrainer.engine.checkpoint.part_state import decoded, load_part
from otrainer.engine.checkpoint.save import with_flags
from otrainer.engine.checkpoint.secrets import revealed
from otrainer.engine.logs import load_logs
from otrainer.engine.modes import train_on
from otrainer.engine.optimizer import build_optimizer
from otrainer.engine.schedule import build_schedule
from otrainer.engine.seed import set_random_state
from otrainer.engine.state import TrainState
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from otrainer.engine.parts import Parts
    from otrainer.engine.state import RunContext

# How a step is computed, not what it computes.
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")


def check_fits(path: str | Path, trainer: Any, parts: Parts) -> None:
    """Raise ConfigError where a checkpoint does not fit the parts of a run, or its trainer.

    Nothing is changed by it, but that a lazy model takes its widths from the checkpoint, as it will anyway.
    """
    from otrainer.model.lazy import has_lazy, random_states_kept  # with it comes all that compiles models

    saved = revealed(load_checkpoint(path))
    if hasattr(trainer, "check_progress"):
        state = TrainState()
        state.load_state_dict(saved["train_state"])
        trainer.check_progress(state)
    check_model(parts.model, saved)
    if has_lazy(parts.model):
        load_model_state(parts.model, saved)
    with random_states_kept():
        optimizer = build_optimizer(parts)
        bundle = build_schedule(parts.scheduler_factory, optimizer, parts.registry)
    check_built(hyperparameters(optimizer, bundle and bundle.scheduler), saved)


def load_model_state(model: torch.nn.Module, parts: dict[str, Any]) -> None:
    """Load the weights; raises ConfigError that names what does not fit."""
    parts = revealed({name: parts[name] for name in ("model", "meta")})
    check_model(model, parts)
    try:
        model.load_state_dict(decoded(model, parts["model"], ("model",)))
    except RuntimeError as cause:
        raise model_misfit([str(cause)]) from cause


def restore(ctx: RunContext, parts: dict[str, Any]) -> None:
    """Put everything but the weights back to where the checkpoint has it.

    Raises ConfigError where optimizer, scheduler, callbacks, metrics or loggers cannot take their part, and for secrets
    in it that the config no longer names.
    """
    parts = revealed(parts)
    unchanged = check_built(ctx.built, parts)
    state = decoded(ctx.optimizer, parts["optimizer"], ("optimizer",))
    load_optimizer(ctx.optimizer, state, unchanged=unchanged)
    if ctx.scheduler is not None:
        ctx.scheduler.load_state_dict(decoded(ctx.scheduler, parts["scheduler"], ("scheduler",)))
        # It has stepped before, in another process: torch would warn of a scheduler that goes first.
        ctx.optimizer._opt_called = parts["train_state"]["global_step"] > 0  # type: ignore[attr-defined]
    if ctx.scaler is not None and parts["scaler"] is not None:
        ctx.scaler.load_state_dict(parts["scaler"])
    load_lists(ctx, parts)
    load_part(ctx.loss, parts["loss"], ctx, ("loss",))
    load_part(ctx.io, parts["io"], ctx, ("io",))
    load_part(ctx.datamodule, parts["data"]["module"], ctx, ("data",))
    ctx.train.load_state_dict(decoded(ctx.train, parts["data"]["train"], ("data",)))
    ctx.state.load_state_dict(parts["train_state"])
    load_logs(ctx, decoded(None, parts.get("logs") or {}, ("logs",)))
    if trained := parts.get("trained"):
        train_on(ctx.optimizer, trained)
    if not ctx.state.epoch_complete:
        ctx.state.micro_step_in_epoch = ctx.train.position(ctx.state.micro_step_in_epoch)
    if parts["meta"].get("definition") != ctx.run.definition:
        ctx.should_stop = False  # it was to end under another config
    for name, part in with_flags(ctx).items():
        set_flags(part, parts["flags"].get(name, {}))
    set_random_state(parts["rng"])


def hyperparameters(optimizer: torch.optim.Optimizer, scheduler: Any) -> dict[str, Any]:
    """Return what a new optimizer and scheduler are made with; a resume takes it from the config, not from the file."""
    skipped = ("params", *IMPLEMENTATION)
    groups = [{key: value for key, value in group.items() if key not in skipped} for group in optimizer.param_groups]
    facts = {
        "optimizer": {"class": type(optimizer).__qualname__, "groups": groups},
        "scheduler": scheduler and {"class": type(scheduler).__qualname__, "state": scheduler.state_dict()},
    }
    return copy.deepcopy(marked_lost(Encoder().encode(facts)))


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], *, unchanged: bool) -> None:
    """Load the optimizer's tensors; hyperparameters are the checkpoint's only where the config is `unchanged`.

    How a step is computed (fused or not) is this run's choice in either case.
    """
    mine = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError) as cause:
        raise ConfigError(
            f"The checkpoint's optimizer state does not fit this optimizer: {cause}",
            title="optimizer does not match the checkpoint",
            config_path=("optimizer",),
            hint="Resume with the optimizer that wrote it, or train from the start.",
        ) from cause
    for group, own in zip(optimizer.param_groups, mine, strict=True):
        group.update({key: value for key, value in own.items() if not unchanged or key in IMPLEMENTATION})
