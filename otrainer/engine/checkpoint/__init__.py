"""Checkpoints: one mapping of parts that know their own state, loaded as data only (`weights_only=True`).

Parts: `model` (the plain state dict), `optimizer`, `scheduler`, `scaler`, `callbacks`, `metrics`, `loggers`, `loss`,
`data`, `progress` (`epoch`, `global_step`, `micro_step_in_epoch`, `epoch_complete`), `rng` and `meta`.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.checkpoint.compatible import check_built, check_lists, check_model, model_misfit
from otrainer.engine.checkpoint.file_format import DamagedError, read_container
from otrainer.engine.checkpoint.part_state import load_part, load_states, part_state, states_of
from otrainer.engine.checkpoint.secrets import concealed, revealed
from otrainer.engine.checkpoint.snapshot import NotPlainError, Snapshots, check_plain
from otrainer.engine.checkpoint.writer import write_checkpoint
from otrainer.engine.seed import random_state, set_random_state
from otrainer.engine.state import TrainState
from otrainer.errors import ConfigError, ConfigPath, Finding, dotted
from otrainer.model.lazy import has_lazy, random_states_kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otrainer.engine.state import RunContext

FORMAT = 2
PARTS = (
    "model",
    "optimizer",
    "scheduler",
    "scaler",
    "callbacks",
    "metrics",
    "loggers",
    "loss",
    "data",
    "progress",
    "rng",
    "meta",
)
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")


def capture(ctx: RunContext) -> dict[str, Any]:
    """The whole state of a run between two steps, with references in place of secrets.

    Raises ConfigError for a secret inside a tensor.
    """
    state = {
        "model": ctx.model.state_dict(),
        "optimizer": ctx.optimizer.state_dict(),
        "scheduler": ctx.scheduler.state_dict() if ctx.scheduler is not None else None,
        "scaler": ctx.scaler.state_dict() if ctx.scaler is not None else None,
        "callbacks": states_of(ctx.callbacks, ctx.baseline),
        "metrics": states_of(ctx.metrics, ctx.baseline),
        "loggers": states_of(ctx.loggers, ctx.baseline),
        "loss": part_state(ctx.loss, ctx.baseline),
        "data": {
            "module": part_state(ctx.datamodule, ctx.baseline) if hasattr(ctx.datamodule, "state_dict") else None,
            "train": ctx.train.state_dict(),
        },
        "progress": ctx.state.state_dict(),
        "rng": random_state(),
        "meta": {"format": FORMAT, "torch": str(torch.__version__), "built": ctx.built},
    }
    return concealed(state, ctx.run.config)


def check_loadable(ctx: RunContext) -> None:
    """Raise ConfigError now for what a checkpoint of this run could not give back as data later."""
    try:
        check_plain(capture(ctx))
    except NotPlainError as cause:
        raise not_loadable(cause, ctx) from cause


def not_loadable(cause: NotPlainError, ctx: RunContext) -> ConfigError:
    """The error for a component whose state holds something else than data."""
    section, *inside = cause.path
    found = ctx.loss if section == "loss" else getattr(ctx, str(section), None)
    config_path: ConfigPath = (str(section),)
    if isinstance(found, list) and inside:
        index = int(inside.pop(0))
        found, config_path = found[index], (str(section), index)
    what = dotted(step for step in inside if step not in ("state", "state_dict", "attributes"))
    whose = f"the {section}" if found is None else f"`{type(found).__qualname__}`"
    kind = type(cause.value).__qualname__
    return ConfigError(
        f"{whose} keeps {f'`{what}`, ' if what else ''}a value of type `{kind}`, which no checkpoint can hold.",
        title="state cannot be saved",
        config_path=config_path,
        hint="`state_dict()` returns tensors, numbers, texts, and lists, tuples and dicts of them; an array goes in as "
        "`torch.from_numpy(array)`.",
    )


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


def save_checkpoint(path: str | Path, ctx: RunContext) -> None:
    """Write the state of a run durably: the file at `path` is the old one or the new one, whole, at any instant.

    Raises ConfigError where it cannot be written, or must not: see `write_checkpoint`.
    """
    write_checkpoint(capture(ctx), (Path(path),))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """The parts of a checkpoint, on the CPU; the model's tensors are read from the file as they are used.

    References stand in place of secrets.

    Raises ConfigError where the file is missing, cannot be read, is damaged, or not a checkpoint of this kind.
    """
    path = Path(path)
    if not path.is_file():
        hint = "Check the path; `doit runs` lists the runs that have checkpoints."
        raise ConfigError(f"There is no checkpoint at `{path}`.", title="checkpoint not found", hint=hint)
    try:
        parts = read_container(path)
    except DamagedError as cause:
        raise damaged(path, str(cause)) from cause
    except OSError as cause:
        raise unreadable(path, cause) from cause
    except ValueError as cause:
        message, hint = (
            f"`{path}` cannot be loaded as data: {cause}",
            f"Checkpoints of otrainer are of format {FORMAT}.",
        )
        raise ConfigError(message, title="not a checkpoint", hint=hint) from cause
    if problem := flaw(parts):
        raise ConfigError(
            f"`{path}` holds no run that can be continued: {problem.message}.",
            title="not a checkpoint",
            hint=f"Checkpoints of otrainer are of format {FORMAT}.",
        )
    # What is loaded may be kept as it is, and shall not depend on a file that somebody may change.
    return {name: part if name == "model" else own(part) for name, part in parts.items()}


def check_fits(path: str | Path, trainer: Any, parts: Mapping[str, Any]) -> None:
    """Raise ConfigError where a checkpoint does not fit `parts`, the keywords of the trainer's `fit`, or the trainer.

    Nothing is changed by it, but that a lazy model takes its widths from the checkpoint, as it will anyway. A trainer
    may have a `check_progress(state)` of its own.
    """
    saved = revealed(load_checkpoint(path))
    if hasattr(trainer, "check_progress"):
        state = TrainState()
        state.load_state_dict(saved["progress"])
        trainer.check_progress(state)
    model, scheduler_factory = parts["model"], parts["scheduler_factory"]
    check_lists(saved, callbacks=parts["callbacks"], metrics=parts["metrics"], loggers=parts["loggers"])
    check_model(model, saved)
    if has_lazy(model):
        load_model_state(model, saved)
    with random_states_kept():
        optimizer = parts["optimizer_factory"].build(model, registry=parts["registry"])
        bundle = scheduler_factory and scheduler_factory.build(optimizer, registry=parts["registry"])
    check_built(hyperparameters(optimizer, bundle and bundle.scheduler), saved)


def own(part: Any) -> Any:
    copied, _ = Snapshots(keep=False).take(part)
    return copied


def flaw(parts: Any) -> Finding | None:
    """Return what keeps loaded data from being a checkpoint, in a few words."""
    if not isinstance(parts, dict):
        return Finding("it is no mapping")
    missing = [name for name in PARTS if name not in parts]
    if missing:
        return Finding(f"it has no part `{missing[0]}`")
    meta, progress = parts["meta"], parts["progress"]
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        return Finding("it is of another format")
    if not isinstance(progress, dict) or not set(TrainState().state_dict()) <= set(progress):
        return Finding("its `progress` does not say where training stands")
    return None if isinstance(parts["model"], dict) else Finding("its `model` is no state dict")


def damaged(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"`{path}` is damaged: {what}.",
        title="damaged checkpoint",
        hint="Name another checkpoint by `run.resume_from`, or move the damaged one away to train from the start.",
    )


def unreadable(path: Path, cause: OSError) -> ConfigError:
    return ConfigError(
        f"`{path}` cannot be read: {cause.strerror or cause}.",
        title="checkpoint cannot be read",
        hint="It may be whole: once it can be read, the same command goes on from it.",
    )


def load_model_state(model: torch.nn.Module, parts: dict[str, Any]) -> None:
    """Load the weights; raises ConfigError that names what does not fit."""
    parts = revealed({name: parts[name] for name in ("model", "meta")})
    check_model(model, parts)
    try:
        model.load_state_dict(parts["model"])
    except RuntimeError as cause:
        raise model_misfit([str(cause)]) from cause


def restore(ctx: RunContext, parts: dict[str, Any]) -> None:
    """Put everything but the weights back to where the checkpoint has it.

    Raises ConfigError where optimizer, scheduler, callbacks, metrics or loggers cannot take their part, and for secrets
    in it that the config no longer names.
    """
    parts = revealed(parts)
    unchanged = check_built(ctx.built, parts)
    load_optimizer(ctx.optimizer, parts["optimizer"], unchanged=unchanged)
    if ctx.scheduler is not None:
        ctx.scheduler.load_state_dict(parts["scheduler"])
        # It has stepped before, in another process: torch would warn of a scheduler that goes first.
        ctx.optimizer._opt_called = parts["progress"]["global_step"] > 0  # type: ignore[attr-defined]
    if ctx.scaler is not None and parts["scaler"] is not None:
        ctx.scaler.load_state_dict(parts["scaler"])
    load_states(ctx.callbacks, parts["callbacks"], "callbacks")
    load_states(ctx.metrics, parts["metrics"], "metrics")
    load_states(ctx.loggers, parts["loggers"], "loggers")
    load_part(ctx.loss, parts["loss"])
    load_part(ctx.datamodule, parts["data"]["module"])
    ctx.train.load_state_dict(parts["data"]["train"])
    ctx.state.load_state_dict(parts["progress"])
    set_random_state(parts["rng"])


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
