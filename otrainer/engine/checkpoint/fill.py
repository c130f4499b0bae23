"""Let what is there take a value in, where others hold it too: an optimizer holds parameters, not their names."""

from __future__ import annotations

from typing import Any

import torch


def trains(value: Any) -> bool:
    """Return whether a value is a parameter, or another tensor that an optimizer may hold."""
    is_kind = type(value) in (torch.Tensor, torch.nn.Parameter)
    return is_kind and (value.requires_grad or type(value) is torch.nn.Parameter) and value.is_leaf


def takes(fresh: Any, made: Any) -> bool:
    """Return whether one tensor can hold the numbers of another, of which it has the type, the shape and the dtype."""
    if type(fresh) is not type(made) or torch.nn.parameter.is_lazy(fresh) or fresh.is_meta or not fresh.is_leaf:
        return False
    return bool(fresh.shape == made.shape and fresh.dtype == made.dtype and fresh.layout == made.layout)


def fill_tensor(fresh: torch.Tensor, made: Any) -> None:
    """Give a leaf the numbers of another, and whether it requires gradients."""
    with torch.no_grad():
        fresh.copy_(made)
    fresh.requires_grad_(made.requires_grad)
