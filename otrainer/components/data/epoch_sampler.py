"""The order of an epoch's samples, drawn whole, and its batches of one size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

from otrainer.components.data.sampler_order import checked_order, facts_of_sampler, samples_in_epoch
from otrainer.engine.data.position import IN_ORDER
from otrainer.engine.seed import derive_seed


class SeededBatch(list[int]):
    """The indices of one batch, the epoch that it is of, and the seed of the randomness in loading it."""

    epoch: int
    seed: int


class EpochSampler(Sampler[SeededBatch]):
    """The batches of one epoch from number `start` on; its order is drawn whole, so that a late start costs nothing.

    `drawn_by` is a component `sampler.*` that was prepared, which orders in place of `shuffle`.
    """

    def __init__(self, length: int, batch_size: int, *, shuffle: bool, drop_last: bool, drawn_by: Any = None) -> None:
        self.samples, self.drawn_by = length, drawn_by
        self.length = length if drawn_by is None else samples_in_epoch(drawn_by, length)
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.seed = self.epoch = self.start = 0

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def samples_in(self, number: int) -> int:
        return max(0, min(self.batch_size, self.length - number * self.batch_size))

    def __iter__(self) -> Iterator[SeededBatch]:
        order = self._order()
        for number in range(self.start, len(self)):
            first = number * self.batch_size
            batch = SeededBatch(order[first : first + self.batch_size].tolist())
            batch.epoch = self.epoch
            batch.seed = derive_seed(self.seed, self.epoch, number)
            yield batch

    def _order(self) -> torch.Tensor:
        if not self.shuffle and self.drawn_by is None:
            return torch.arange(self.length)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch, "order"))
        if self.drawn_by is None:
            return torch.randperm(self.length, generator=generator)
        given = self.drawn_by.order(self.samples, epoch=self.epoch, batch_size=self.batch_size, generator=generator)
        return checked_order(given, self.drawn_by, self.samples, self.length)

    def facts(self, seed: int) -> dict[str, Any]:
        """Return what a position in an epoch depends on, where `seed` is that of the order."""
        if self.drawn_by is not None:
            return facts_of_sampler(self, seed)
        return {
            "order": "shuffled" if self.shuffle else IN_ORDER,
            "batch_size": self.batch_size,
            "samples": self.length,
            "seed": seed if self.shuffle else None,
        }
