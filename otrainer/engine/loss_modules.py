"""The modules and parameters of a loss, which the run trains, moves, saves and switches like those of the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from otrainer.engine.tree import leaves_with_paths


def is_trained(node: Any) -> bool:
    """Return whether `node` is a module or a parameter."""
    return isinstance(node, nn.Module | nn.Parameter)


def held_by(loss: Any) -> Iterator[tuple[str, nn.Module | nn.Parameter]]:
    """Yield the modules and bare parameters that a loss is, or holds in attributes, lists and mappings, by name."""
    if isinstance(loss, nn.Module):
        yield "", loss
        return
    for path, leaf in leaves_with_paths(dict(getattr(loss, "__dict__", {})), is_trained):
        if is_trained(leaf):
            yield ".".join(map(str, path)), leaf


def loss_modules(loss: Any) -> dict[str, nn.Module]:
    """Return the outermost modules of a loss by name; the name of a loss that is one itself is empty."""
    return {name: found for name, found in held_by(loss) if isinstance(found, nn.Module)}


def loss_parameters(loss: Any) -> dict[str, nn.Parameter]:
    """Return all parameters of a loss by name."""
    found: dict[str, nn.Parameter] = {}
    for name, part in held_by(loss):
        if isinstance(part, nn.Parameter):
            found[name] = part
        else:
            found.update(part.named_parameters(prefix=name))
    return found


def place_loss(loss: Any, device: torch.device) -> None:
    """Move the modules and parameters of a loss to the device."""
    for _, part in held_by(loss):
        if isinstance(part, nn.Module):
            part.to(device)
        else:
            part.data = part.data.to(device)
