"""The built-in ops of a model's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def add(x: Any, y: Any, *more: Any) -> Any:
    """Return the sum of two or more values."""
    total = x + y
    for value in more:
        total = total + value
    return total


def mul(x: Any, y: Any, *more: Any) -> Any:
    """Return the product of two or more values, element by element."""
    product = x * y
    for value in more:
        product = product * value
    return product


def cat(*args: Any, tensors: Sequence[Tensor] = (), dim: int = 0) -> Tensor:
    """Join tensors along a dimension that they have: `cat(x, y, dim=1)`, or as torch takes them, `cat([x, y], 1)`."""
    return torch.cat(*tensors_and_dim(args, tensors, dim))


def stack(*args: Any, tensors: Sequence[Tensor] = (), dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension; its arguments are those of `cat`."""
    return torch.stack(*tensors_and_dim(args, tensors, dim))


def getitem(value: Any, key: Any) -> Any:
    """`value[key]`."""
    return value[key]


def identity(value: Any) -> Any:
    """Return the value itself, to give it another name."""
    return value


def tensors_and_dim(args: tuple[Any, ...], tensors: Sequence[Tensor], dim: int) -> tuple[list[Tensor], int]:
    """Return one flat list of tensors given one by one, in a list, or both; a number at the end is the dimension."""
    if args and isinstance(args[-1], int):
        args, dim = args[:-1], args[-1]
    flat: list[Tensor] = []
    for item in (*args, *tensors):
        flat.extend([item] if isinstance(item, Tensor) else item)
    return flat, dim
