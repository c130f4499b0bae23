"""Pure bf16: weights, buffers and batches all in bfloat16, as torch's `module.bfloat16()` has them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from otrainer.engine.loss_modules import held_by
from otrainer.engine.tree import is_tensor, map_with_paths

PURE = "bf16"


def narrowed(tree: Any) -> Any:
    """Return the same structure with its floating tensors in bfloat16; integers and all else stay."""
    return map_with_paths(tree, lambda _, leaf: narrow(leaf), is_tensor)


def narrow(leaf: Any) -> Any:
    is_floating = isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    return leaf.bfloat16() if is_floating else leaf


def narrow_parts(model: nn.Module, loss: Any) -> None:
    """Put the parameters and buffers of a model and its loss into bfloat16."""
    model.bfloat16()
    for _, part in held_by(loss):
        if isinstance(part, nn.Module):
            part.bfloat16()
        elif part.is_floating_point():
            part.data = part.data.bfloat16()
