"""Checkpoints: one mapping of parts that know their own state, loaded as data only (`weights_only=True`).

Parts: `model` (the plain state dict), `optimizer`, `scheduler`, `scaler`, `callbacks`, `metrics`, `loggers`, `loss`,
`data`, `progress` (`epoch`, `global_step`, `micro_step_in_epoch`, `epoch_complete`), `rng` and `meta`.
"""

from __future__ import annotations

import copy
import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from otrainer.artifacts import TEMP_PREFIX, atomic_file
from otrainer.engine.parts import load_part, load_states, part_state, same, states_of
from otrainer.engine.seed import random_state, set_random_state
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

FORMAT = 1
PREVIOUS = "previous.pt"  # the last.pt before the last
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")


def capture(ctx: RunContext) -> dict[str, Any]:
    """The whole state of a run between two steps."""
    return {
        "model": ctx.model.state_dict(),
        "optimizer": ctx.optimizer.state_dict(),
        "scheduler": ctx.scheduler.state_dict() if ctx.scheduler is not None else None,
        "scaler": ctx.scaler.state_dict() if ctx.scaler is not None else None,
        "callbacks": states_of(ctx.callbacks, ctx.baseline),
        "metrics": states_of(ctx.metrics, ctx.baseline),
        "loggers": states_of(ctx.loggers, ctx.baseline),
        "loss": part_state(ctx.loss, ctx.baseline),
        "data": part_state(ctx.datamodule, ctx.baseline) if hasattr(ctx.datamodule, "state_dict") else None,
        "progress": ctx.state.state_dict(),
        "rng": random_state(),
        "meta": {"format": FORMAT, "torch": str(torch.__version__), "built": ctx.built},
    }


def hyperparameters(optimizer: torch.optim.Optimizer, scheduler: Any) -> dict[str, Any]:
    """What a new optimizer and scheduler are made with; a resume takes it from the config, not from the file."""
    skipped = ("params", *IMPLEMENTATION)
    groups = [{key: value for key, value in group.items() if key not in skipped} for group in optimizer.param_groups]
    return copy.deepcopy(
        {
            "optimizer": {"class": type(optimizer).__qualname__, "groups": groups},
            "scheduler": scheduler and {"class": type(scheduler).__qualname__, "state": scheduler.state_dict()},
        }
    )


def save_checkpoint(path: str | Path, ctx: RunContext, *, keep: Path | None = None) -> None:
    """Write the state of a run durably: the file at `path` is the old one or the new one, whole, at any instant.

    With `keep`, the former file stays under that name.
    """
    path = Path(path)
    with atomic_file(path) as file:
        torch.save(capture(ctx), file)
        if keep is not None and path.exists():
            _replace_by_link(path, keep)


def link_checkpoint(source: Path, target: Path) -> None:
    """Let `target` be the same checkpoint as `source` without writing it twice; its former content stays beside it.

    `target` is never absent in between, so that a killed process leaves one that loads.
    """
    if target.exists():
        _replace_by_link(target, target.with_name(PREVIOUS))
    _replace_by_link(source, target)


def _replace_by_link(source: Path, target: Path) -> None:
    passing = target.with_name(f"{TEMP_PREFIX}{target.name}")
    passing.unlink(missing_ok=True)
    try:
        os.link(source, passing)
    except OSError:  # a file system without hard links
        with atomic_file(target) as file:
            file.write(source.read_bytes())
        return
    passing.replace(target)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """The parts of a checkpoint, on the CPU.

    Raises ConfigError where the file is missing, damaged, or not a checkpoint of this kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"There is no checkpoint at `{path}`.", title="checkpoint not found")
    check_members(path)
    try:
        parts = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as cause:
        raise ConfigError(f"`{path}` cannot be loaded as data: {cause}", title="not a checkpoint") from cause
    if not isinstance(parts, dict) or parts.get("meta", {}).get("format") != FORMAT or "progress" not in parts:
        raise ConfigError(
            f"`{path}` holds no run that can be continued (format {FORMAT} of otrainer's checkpoints).",
            title="not a checkpoint",
        )
    return parts


def check_members(path: Path) -> None:
    """Compare every member's CRC with its bytes before torch reads any; raises ConfigError naming a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError) as cause:
        raise damaged(path, str(cause)) from cause
    if member is not None:
        raise damaged(path, f"the bytes of `{member}` are not those written")


def damaged(path: Path, what: str) -> ConfigError:
    previous = path.with_name(PREVIOUS)
    hint = f"`{previous}` is the one before it: name it by `run.resume_from`." if previous.is_file() else ""
    return ConfigError(f"`{path}` is damaged: {what}.", title="damaged checkpoint", hint=hint)


def load_model_state(model: torch.nn.Module, parts: dict[str, Any]) -> None:
    """Load the weights; raises ConfigError that names what does not fit."""
    try:
        model.load_state_dict(parts["model"])
    except RuntimeError as cause:
        raise ConfigError(
            f"The checkpoint's weights do not fit this model. {cause}",
            title="model does not match the checkpoint",
            config_path=("model",),
            hint="Continue with the model that wrote it, or train from the start.",
        ) from cause


def restore(ctx: RunContext, parts: dict[str, Any]) -> None:
    """Put everything but the weights back to where the checkpoint has it.

    Raises ConfigError where optimizer, scheduler, callbacks, metrics or loggers cannot take their part.
    """
    built = parts["meta"]["built"]
    unchanged = same(built, ctx.built)
    check_optimizer(ctx, built["optimizer"]["class"])
    check_scheduler(ctx, parts, unchanged=unchanged)
    load_optimizer(ctx.optimizer, parts["optimizer"], unchanged=unchanged)
    if ctx.scheduler is not None:
        ctx.scheduler.load_state_dict(parts["scheduler"])
    if ctx.scaler is not None and parts["scaler"] is not None:
        ctx.scaler.load_state_dict(parts["scaler"])
    load_states(ctx.callbacks, parts["callbacks"], "callbacks")
    load_states(ctx.metrics, parts["metrics"], "metrics")
    load_states(ctx.loggers, parts["loggers"], "loggers")
    load_part(ctx.loss, parts["loss"])
    load_part(ctx.datamodule, parts["data"])
    ctx.state.load_state_dict(parts["progress"])
    set_random_state(parts["rng"])


def check_optimizer(ctx: RunContext, kept: str) -> None:
    """Refuse another class of optimizer, whose state means something else."""
    now = type(ctx.optimizer).__qualname__
    if now != kept:
        raise ConfigError(
            f"The checkpoint's optimizer is `{kept}`, and this config's is `{now}`.",
            title="optimizer does not match the checkpoint",
            config_path=("optimizer", "type"),
            hint="Resume with the optimizer that wrote it, or train from the start.",
        )


def check_scheduler(ctx: RunContext, parts: dict[str, Any], *, unchanged: bool) -> None:
    """Refuse what would silently train with the wrong learning rate."""
    has, had = ctx.scheduler is not None, parts["scheduler"] is not None
    if has == had and (unchanged or not has):
        return
    if has != had:
        message = (
            f"The checkpoint has {'a' if had else 'no'} scheduler, and this config has {'one' if has else 'none'}."
        )
    else:
        message = "The optimizer or the scheduler changed, and the learning rate depends on both over the whole run."
    raise ConfigError(
        message,
        title="scheduler does not match the checkpoint",
        config_path=("scheduler",),
        hint="Resume with the optimizer and scheduler of the checkpoint, or train from the start.",
    )


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
