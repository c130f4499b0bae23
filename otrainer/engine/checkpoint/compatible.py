"""Whether a checkpoint fits the parts that are to go on from it, found before anything of the run is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from otrainer.engine.checkpoint.buffers import fitting
from otrainer.engine.checkpoint.compare import same
from otrainer.errors import ConfigError

MOST_NAMED = 4


def check_model(model: torch.nn.Module, parts: Mapping[str, Any]) -> None:
    """Raise ConfigError where weights are missing, left over, or of another shape.

    A lazy width fits any, and so does a buffer whose shape changed while the checkpoint's run was under way.
    """
    changed = fitting(model, parts.get("meta", {}).get("reshaped", {}))
    now, kept = (
        {name: value for name, value in state.items() if name not in changed}
        for state in (model.state_dict(keep_vars=True), parts["model"])
    )
    misfits = [f"it has no `{name}`" for name in now if name not in kept]
    misfits += [f"`{name}` of the checkpoint has no place here" for name in kept if name not in now]
    misfits += [
        f"`{name}` is {described(now[name], value)} here and {described(value, now[name])} there"
        for name, value in kept.items()
        if name in now and differs(now[name], value)
    ]
    if misfits:
        raise model_misfit(misfits)


def differs(now: Any, kept: Any) -> bool:
    """Return whether numbers cannot go where others are; a wider or narrower type of the same kind can."""
    if is_lazy(now) or not isinstance(now, torch.Tensor):
        return False
    if not isinstance(kept, torch.Tensor):
        return True
    return now.shape != kept.shape or kind_of(now) != kind_of(kept)


def kind_of(tensor: torch.Tensor) -> tuple[Any, ...]:
    whole = not (tensor.is_floating_point() or tensor.is_complex())
    return tensor.layout, tensor.is_floating_point(), tensor.is_complex(), whole and tensor.dtype == torch.bool


def described(value: Any, other: Any) -> str:
    """Return the shape of a tensor, its type where that of the other differs, or what is there in place of one."""
    if not isinstance(value, torch.Tensor):
        return f"a `{type(value).__name__}`"
    is_alike = not isinstance(other, torch.Tensor) or kind_of(value) == kind_of(other)
    sparse = "sparse " if value.layout is not torch.strided else ""
    return (
        f"{list(value.shape)}" if is_alike else f"{sparse}{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    )


def model_misfit(misfits: Sequence[str]) -> ConfigError:
    more = f"; {len(misfits) - MOST_NAMED} more." if len(misfits) > MOST_NAMED else "."
    message = f"The checkpoint's weights do not fit this model: {'; '.join(misfits[:MOST_NAMED])}{more}"
    hint = "Continue with the model that wrote it, or train from the start."
    return ConfigError(message, title="model does not match the checkpoint", config_path=("model",), hint=hint)


def check_built(built: Mapping[str, Any], parts: Mapping[str, Any]) -> bool:
    """Return whether optimizer and scheduler are made as those of the checkpoint were.

    Raises ConfigError for another class of optimizer, whose state means something else, and for what would silently
    train with a wrong learning rate.
    """
    kept = parts["meta"]["built"]
    unchanged = all(same(kept[name], built[name]) for name in ("optimizer", "scheduler", "rhythm") if name in kept)
    was, now = kept["optimizer"]["class"], built["optimizer"]["class"]
    if now != was:
        raise ConfigError(
            f"The checkpoint's optimizer is `{was}`, and this config's is `{now}`.",
            title="optimizer does not match the checkpoint",
            config_path=("optimizer", "type"),
            hint="Resume with the optimizer that wrote it, or train from the start.",
        )
    has, had = built["scheduler"] is not None, kept["scheduler"] is not None
    if had and not has:
        raise scheduler_misfit("The checkpoint has a scheduler, and this config has none.")
    if has and not unchanged and built.get("on_resume") == "recompute":
        refuse_by_metric(built, kept)
        return False
    if has and not had:
        raise scheduler_misfit("The checkpoint has no scheduler, and this config has one.")
    if has and not unchanged:
        changed = "The optimizer or the scheduler changed, and the learning rate depends on both over the whole run."
        raise scheduler_misfit(changed)
    return unchanged


def refuse_by_metric(built: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """Raise ConfigError where a schedule depends on values that only the run itself has seen."""
    rhythms = [rhythm for each in (built, kept) if (rhythm := each.get("rhythm"))]
    if any("interval" not in rhythm for rhythm in rhythms):
        raise scheduler_misfit("There are several schedulers, and no new ones are put to where a run stands.")
    if "metric" in [rhythm["interval"] for rhythm in rhythms]:
        raise scheduler_misfit("The scheduler steps by a metric, whose values so far a new one has not seen.")


def scheduler_misfit(message: str) -> ConfigError:
    hint = (
        "Resume with the optimizer and scheduler of the checkpoint, or add `on_resume: recompute` to the scheduler: it "
        "goes on with what the new one gives at that point."
    )
    return ConfigError(message, title="scheduler does not match the checkpoint", config_path=("scheduler",), hint=hint)
