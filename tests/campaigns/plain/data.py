"""Random samples, and the batches that hold them in the forms that people use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from .losses import draw_targets


class Triple(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    id: torch.Tensor


@dataclass
class Record:
    x: torch.Tensor
    y: torch.Tensor
    id: torch.Tensor


@dataclass
class Samples:
    """All samples of a split: `x[i]`, `y[i]`; the number of one is what it is known by."""

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)

    def row(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": self.x[index], "y": self.y[index], "id": torch.tensor(index)}


def draw_samples(takes: str, targets: str, count: int, seed: int, dtype: torch.dtype) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"floats": (6,), "series": (5, 2), "time": (5, 2)}
    if takes == "ids":
        x = torch.randint(10, (count, 4), generator=generator)
    else:
        x = torch.randn(count, *shapes[takes], generator=generator).to(dtype)
    return Samples(x, draw_targets(targets, count, generator, dtype))


FORMS = ("dict", "tuple", "list", "named tuple", "dataclass", "dict with odd fields")


def shape_batch(rows: Sequence[dict[str, torch.Tensor]], form: str, *, time_first: bool) -> Any:
    """A batch of the rows in a form; `time_first` puts time before the samples."""
    fields = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    if time_first:
        fields["x"] = fields["x"].transpose(0, 1).contiguous()
    if form == "dict":
        return fields
    if form == "dict with odd fields":
        ragged = [torch.zeros(1 + int(row["id"]) % 3) for row in rows]
        return {"note": "as read", "boxes": ragged, "mask": None, "none": [], **fields}
    values = (fields["x"], fields["y"], fields["id"])
    return {"tuple": tuple, "list": list, "named tuple": Triple._make, "dataclass": lambda v: Record(*v)}[form](values)


def field_of(batch: Any, name: str) -> torch.Tensor:
    """A field of a batch of any form."""
    if isinstance(batch, dict):
        return batch[name]
    if isinstance(batch, Record):
        return getattr(batch, name)
    return batch[("x", "y", "id").index(name)]


def chunks(count: int, size: int) -> list[range]:
    """The numbers of samples of each batch, in order; the last one may be smaller."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
