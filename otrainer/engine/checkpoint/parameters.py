"""The parameters that an optimizer holds, by name: those of the model, and those of the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from otrainer.engine.checkpoint.encode import SAME, is_marked
from otrainer.engine.loss_modules import loss_parameters
from otrainer.errors import ConfigError

# The part of the run, and the parameter's name in it; None for one that is in neither.
Name = tuple[str, str] | None
Names = list[list[Name]]


def parameters_by_name(parts: Any) -> dict[tuple[str, str], torch.Tensor]:
    """Return the parameters of `parts.model` and `parts.loss`; one that has two names is there twice."""
    of_model = parts.model.named_parameters(remove_duplicate=False)
    named = {("model", name): parameter for name, parameter in of_model}
    return named | {("loss", name): parameter for name, parameter in loss_parameters(parts.loss).items()}


def names_in_groups(optimizer: Any, parts: Any) -> Names:
    """Return the names of the parameters of each group, in the optimizer's order."""
    names = {id(parameter): name for name, parameter in reversed(parameters_by_name(parts).items())}
    return [[names.get(id(parameter)) for parameter in group["params"]] for group in optimizer.param_groups]


def described(optimizer: Any, parts: Any) -> dict[str, Any]:
    """Return what a checkpoint says of the optimizer's parameters beside its state: names and shapes by group.

    `trains` says of each whether it requires gradients; `beside` are the tensors of the state, by parameter and key,
    that lie in main memory while their parameter does not.
    """
    return {
        "names": plain(names_in_groups(optimizer, parts)),
        "shapes": [[list(parameter.shape) for parameter in group["params"]] for group in optimizer.param_groups],
        "trains": [[each.requires_grad for each in group["params"]] for group in optimizer.param_groups],
        "beside": [list(where) for where in beside_their_parameters(optimizer)],
    }


def plain(names: Names) -> list[list[Any]]:
    return [[name and list(name) for name in group] for group in names]


def beside_their_parameters(optimizer: Any) -> Iterator[tuple[int, str]]:
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = getattr(optimizer, "state", {})
    for index, parameter in enumerate(held):
        if not parameter.is_cpu and isinstance(state.get(parameter), dict):
            for key, value in state[parameter].items():
                if isinstance(value, torch.Tensor) and value.is_cpu and isinstance(key, str):
                    yield index, key


def read_names(kept: Sequence[Sequence[Any]]) -> Names:
    """Return the names that a checkpoint holds; raise ConfigError for what is none."""
    if not all(name is None or is_name(name) for group in kept for name in group):
        raise misfit("The checkpoint does not name the optimizer's parameters as otrainer does.")
    return [[name and (name[0], name[1]) for name in group] for group in kept]


def is_name(name: Any) -> bool:
    return isinstance(name, list | tuple) and len(name) == 2 and all(isinstance(part, str) for part in name)


def told(name: Name) -> str:
    """Return a parameter's name as one says it."""
    return f"`{'.'.join(name or ())}`"


def misfit(message: str) -> ConfigError:
    hint = "Resume with the optimizer and the parameters that wrote it, or train from the start."
    title, path = "optimizer does not match the checkpoint", ("optimizer",)
    return ConfigError(message, title=title, config_path=path, hint=hint)


def weights_of(state: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield part, name and numbers of each parameter that the optimizer of a captured run trains; all without names."""
    if "parameters" not in state:
        yield from (("model", name, value) for name, value in state["model"].items())
        return
    names = [name for group in state["parameters"]["names"] for name in group]
    trains = [trains for group in state["parameters"].get("trains", ()) for trains in group] or [True] * len(names)
    for part, name in (name for name, is_trained in zip(names, trains, strict=True) if name and is_trained):
        value = state["model"].get(name) if part == "model" else in_loss(state["loss"], name.split("."))
        yield part, name, value


def in_loss(data: Any, steps: Sequence[str]) -> Any:
    """Return a tensor in the encoded state of a loss by the way that leads to it, None where there is none."""
    if is_marked(data, SAME):
        return in_loss(data["items"], steps)
    if isinstance(data, Mapping):
        for key in ("state_dict", "state", "attributes", "data"):
            inside = data.get(key)
            if isinstance(inside, torch.Tensor) and not steps:
                return inside
            if isinstance(inside, Mapping):
                return inside.get(".".join(steps), in_loss(inside, steps))
    if not steps:
        return data
    if isinstance(data, Mapping):
        return in_loss(data.get(steps[0]), steps[1:])
    if isinstance(data, Sequence) and steps[0].isdigit() and int(steps[0]) < len(data):
        return in_loss(data[int(steps[0])], steps[1:])
    return None
