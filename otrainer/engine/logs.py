"""Logged values: kept as they come from the device, turned into floats only when somebody reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import fsum
from typing import Any

import torch


class StepLogs(Mapping[str, float]):
    """Loss and logs of one optimizer step: the mean over its micro-batches, computed when it is read.

    Reading waits for the device; a step that nobody reads never does.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    @cached_property
    def _floats(self) -> dict[str, float]:
        return mean_of(self._rows)

    def __getitem__(self, name: str) -> float:
        return self._floats[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._floats)

    def __len__(self) -> int:
        return len(self._floats)

    def __repr__(self) -> str:
        return repr(self._floats)


def mean_of(rows: Sequence[Mapping[str, Any]], weights: Sequence[float] | None = None) -> dict[str, float]:
    """Return the weighted mean of each name over the rows that have it, as floats; weights default to 1."""
    weights = [1.0] * len(rows) if weights is None else weights
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: _mean([(row[name], w) for row, w in zip(rows, weights, strict=True) if name in row]) for name in names
    }


def _mean(weighted: Sequence[tuple[Any, float]]) -> float:
    if len(weighted) == 1:
        return float(weighted[0][0])
    total = fsum(weight for _, weight in weighted)
    return fsum(value * weight for value, (_, weight) in zip(to_floats(weighted), weighted, strict=True)) / total


def to_floats(weighted: Sequence[tuple[Any, float]]) -> list[float]:
    """Return the values as floats, fetched from the device in one go where all are tensors."""
    values = [value for value, _ in weighted]
    if all(isinstance(value, torch.Tensor) for value in values):
        floats: list[float] = torch.stack([value.detach().reshape(()).float() for value in values]).tolist()
        return floats
    return [float(value) for value in values]


def detached(loss: float | torch.Tensor, logs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a log row that keeps nothing of a micro-batch's graph alive; the loss itself is always `loss`."""
    row: dict[str, Any] = {"loss": loss.detach() if isinstance(loss, torch.Tensor) else loss}
    if logs:
        for name, value in logs.items():
            if name != "loss":
                row[name] = value.detach() if isinstance(value, torch.Tensor) else value
    return row
