"""batch_sampler.*: the batches of an epoch, each with as many samples as it takes."""

from __future__ import annotations

from typing import Any

import torch

from otrainer.components.data.columns import column_of
from otrainer.components.data.samplers import length_of
from otrainer.errors import ConfigError, check_whole

PLACE = ("data", "batch_sampler")


class TokensBatchSampler:
    """Fill each batch up to `most` tokens, padding counted; every sample comes once an epoch.

    The samples, sorted by length, are cut into batches whose longest sample times their number is at most `most`, and
    the batches are shuffled; so are samples of one length. `by` names the field whose length counts (of its first
    dimension), or a number itself; `multiple_of` is what lengths are padded to. Every epoch has as many batches.
    """

    def __init__(self, by: str, most: int, multiple_of: int = 1) -> None:
        check_whole("most", most)
        check_whole("multiple_of", multiple_of)
        self.by, self.most, self.multiple_of = by, most, multiple_of
        self.lengths = torch.empty(0, dtype=torch.int64)

    def prepare(self, dataset: Any) -> None:
        found = torch.tensor([int(length_of(value, self.by)) for value in column_of(dataset, self.by)])
        self.lengths = -(-found // self.multiple_of) * self.multiple_of
        if len(found) and int(self.lengths.max()) > self.most:
            number = int(self.lengths.argmax())
            padded = int(self.lengths[number])
            message = f"Training sample {number} alone has {int(found[number]):,} tokens, {padded:,} once it is padded."
            hint = f"A batch has at most {self.most:,}: let `most` be more, or cut the samples."
            raise ConfigError(message, title="sample is too long", config_path=(*PLACE, "most"), hint=hint)

    def batches_in_epoch(self, samples: int) -> int:
        return len(self._cuts())

    def batches(self, samples: int, *, epoch: int, generator: torch.Generator) -> list[list[int]]:
        mixed = torch.randperm(samples, generator=generator)
        rows = mixed[self.lengths[mixed].argsort(stable=True)]
        cut = rows.split(self._cuts())
        return [cut[at].tolist() for at in torch.randperm(len(cut), generator=generator).tolist()]

    def _cuts(self) -> list[int]:
        """Return how many samples each batch has, from the shortest samples on; all epochs have the same."""
        sizes: list[int] = []
        size = 0
        for length in self.lengths.sort().values.tolist():
            if size and max(length, 1) * (size + 1) > self.most:
                sizes.append(size)
                size = 0
            size += 1
        return [*sizes, size] if size else sizes
