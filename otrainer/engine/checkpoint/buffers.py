"""Buffers of a model that a step set, let grow or removed: a resume makes room for them, and others it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from otrainer.engine.checkpoint.fill import fill_tensor, takes

Shapes = dict[str, list[int] | None]


def saved_buffers(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, str]]:
    """Yield each buffer that is saved, set or not: its name in the model, its module, and its name there."""
    for prefix, module in model.named_modules():
        for key, buffer in module._buffers.items():
            if key not in module._non_persistent_buffers_set and not is_lazy(buffer):
                yield f"{prefix}.{key}" if prefix else key, module, key


def buffer_shapes(model: torch.nn.Module) -> Shapes:
    """Return the shape of each buffer that a model's state has; None for one that is not set."""
    return {name: shape_of(module._buffers[key]) for name, module, key in saved_buffers(model)}


def shape_of(value: Any) -> list[int] | None:
    return None if value is None else list(value.shape)


def reshaped(model: torch.nn.Module, built: Shapes) -> Shapes:
    """Return the shapes with which those buffers were built that have another one now, or are no longer set."""
    now = buffer_shapes(model)
    return {name: shape for name, shape in built.items() if name in now and now[name] != shape}


def fitting(model: torch.nn.Module, was: Shapes) -> set[str]:
    """Return the names of buffers that are as those of a checkpoint `was` built, before a step gave them its shapes."""
    return {name for name, shape in buffer_shapes(model).items() if name in was and was[name] == shape}


def make_room(model: torch.nn.Module, names: set[str], saved: Mapping[str, Any]) -> None:
    """Let the buffers of these names be set, or not, as they are in a `saved` state, and of its shapes."""
    for name, module, key in list(saved_buffers(model)):
        if name in names:
            kept, device = saved.get(name), place_of(module._buffers[key], model)
            module._buffers[key] = None if kept is None else torch.empty_like(kept, device=device)


def room_for(module: torch.nn.Module, saved: Mapping[str, Any]) -> set[str]:
    """Return the names of a module's buffers that are not of the shapes that they have in a saved state."""
    return {name for name, shape in buffer_shapes(module).items() if name in saved and shape_of(saved[name]) != shape}


def set_buffer(module: torch.nn.Module, name: str, made: torch.Tensor) -> None:
    """Give a module's buffer the numbers of a tensor: the buffer itself where it can take them."""
    fresh = module._buffers[name]
    if takes(fresh, made):
        fill_tensor(fresh, made)  # type: ignore[arg-type]
    else:
        module._buffers[name] = made.to(place_of(fresh, module))


def place_of(buffer: torch.Tensor | None, model: torch.nn.Module) -> torch.device:
    """Return where a buffer belongs: where it is, or where the model's parameters are."""
    found = buffer if buffer is not None else next(iter(model.parameters()), None)
    return torch.device("cpu") if found is None else found.device
