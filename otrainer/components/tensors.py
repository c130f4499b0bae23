"""Tensors in a config, for arguments that take one, such as the class weights of a loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from otrainer.errors import ConfigError, nearest

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")
# Their weights of classes must have the prediction's kind of numbers, which whole ones in YAML (`[1, 2]`) have not.
WEIGHING_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)


def tensor(data: Any, dtype: str | None = None) -> torch.Tensor:
    """Make a tensor of `data`, numbers in nested lists of one shape; integers become int64, other numbers float32.

    Raises ConfigError for an unknown `dtype`, ValueError for what is no rectangle of numbers.
    """
    if dtype is not None and dtype not in DTYPES:
        message, near = f"There is no dtype `{dtype}` here.", nearest(str(dtype), DTYPES)
        hint = f"There are {', '.join(DTYPES)}."
        raise ConfigError(message, title="unknown dtype", config_path=("dtype",), suggestions=near, hint=hint)
    try:
        return torch.tensor(data, dtype=None if dtype is None else getattr(torch, dtype))
    except (TypeError, ValueError, RuntimeError) as cause:
        raise ValueError(f"data is a number or nested lists of numbers of one shape, not {data!r}") from cause


def with_float_weights(loss: Any) -> Any:
    """Return a loss whose weights of classes, if it has any, are floating-point numbers."""
    if isinstance(loss, WEIGHING_CLASSES) and loss.weight is not None and not loss.weight.is_floating_point():
        loss.weight = loss.weight.to(torch.get_default_dtype())
    return loss
