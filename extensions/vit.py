"""A small vision transformer for digits: how patches become a row of vectors, and what is read of them in the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from extensions.digits import Digits


class Positions(nn.Module):
    """Patches `[batch, width, rows, columns]` as vectors `[batch, 1 + patches, width]` that know their places.

    The first is one of its own, by which the digit is told; `patches` is rows times columns, `width` that of a vector.
    """

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(torch.zeros(1, 1 + patches, width))
        nn.init.trunc_normal_(
            self.place, std=0.5
        )  # as large as the patches: with 0.02, many epochs go by before places count

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = x.flatten(2).transpose(1, 2)
        return torch.cat([self.first.expand(len(x), -1, -1), patches], 1) + self.place


class First(nn.Module):
    """The first of the vectors: `[batch, length, width]` to `[batch, width]`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0]


class Parity(Digits):
    """The digits of `part`, as `Digits` has them, but labelled 0 where they are even and 1 where they are odd."""

    def __init__(self, part: str = "train") -> None:
        super().__init__(part)
        self.labels = self.labels % 2


def register(registry: Any) -> None:
    registry.register_module("dataset.parity", Parity, tags=("dataset",))
    registry.register_module("vit.positions", Positions)
    registry.register_module("vit.first", First)
