"""Let what is there take a value in, where others hold it too: an optimizer holds parameters, not their names."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import torch

try:
    import numpy as np
except ImportError:  # torch and otrainer work without it
    np = None  # type: ignore[assignment]

MAPPINGS = (dict, OrderedDict, Counter, defaultdict)


def trains(value: Any) -> bool:
    """Return whether a value is a parameter, or another tensor that an optimizer may hold."""
    is_kind = type(value) in (torch.Tensor, torch.nn.Parameter)
    return is_kind and (value.requires_grad or type(value) is torch.nn.Parameter) and value.is_leaf


def takes(fresh: Any, made: Any) -> bool:
    """Return whether one tensor can hold the numbers of another, of which it has the type, the shape and the dtype."""
    if type(fresh) is not type(made) or torch.nn.parameter.is_lazy(fresh) or fresh.is_meta or not fresh.is_leaf:
        return False
    if fresh.is_inference() or (fresh.layout == torch.strided and 0 in fresh.stride() and fresh.numel() > 1):
        return False  # it cannot be written to
    return bool(fresh.shape == made.shape and fresh.dtype == made.dtype and fresh.layout == made.layout)


def fill_tensor(fresh: torch.Tensor, made: Any) -> None:
    """Give a leaf the numbers of another, and whether it requires gradients."""
    with torch.no_grad():
        fresh.copy_(made)
    fresh.requires_grad_(made.requires_grad)


def is_array(value: Any) -> bool:
    return np is not None and type(value) is np.ndarray


def is_fillable(value: Any) -> bool:
    """Return whether a value can hold the content of another one of its type, and needs to be told to."""
    if type(value) is torch.Tensor:
        return not trains(value)
    return type(value) in (*MAPPINGS, list, set, deque, bytearray) or is_array(value)


def filled(fresh: Any, made: Any) -> Any:
    """Return `fresh` with the content of `made`; `made` itself where that is of another type or shape."""
    if type(fresh) is not type(made):
        return made
    if isinstance(made, torch.Tensor):
        if not takes(fresh, made):
            return made
        fill_tensor(fresh, made)
    elif isinstance(made, dict):
        fresh.clear()
        fresh.update(made)
        if isinstance(made, defaultdict):
            fresh.default_factory = made.default_factory
    elif isinstance(made, set):
        fresh.clear()
        fresh.update(made)
    elif isinstance(made, deque):
        if fresh.maxlen != made.maxlen:
            return made
        fresh.clear()
        fresh.extend(made)
    elif is_array(made):
        if fresh.shape != made.shape or fresh.dtype != made.dtype or not fresh.flags.writeable:
            return made
        fresh[...] = made
    else:
        fresh[:] = made
    return fresh
