"""Epochs whose batches a component `batch_sampler.*` makes, each of a size of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

from otrainer.components.data.epoch_sampler import SeededBatch
from otrainer.components.data.sampler_order import settings_of
from otrainer.engine.seed import derive_seed
from otrainer.errors import ConfigError

PLACE = ("data", "batch_sampler")


class EpochBatches(Sampler[SeededBatch]):
    """The batches of one epoch from number `start` on, all of which `cut_by`, a batch sampler, makes at its start."""

    def __init__(self, samples: int, cut_by: Any) -> None:
        self.samples, self.cut_by = samples, cut_by
        self.seed = self.epoch = self.start = 0

    def __len__(self) -> int:
        """Return how many batches each epoch has; raise TypeError where the sampler does not say."""
        say: Callable[[int], int] | None = getattr(self.cut_by, "batches_in_epoch", None)
        if say is None:
            raise TypeError(f"{type(self.cut_by).__name__} does not say how many batches an epoch has")
        return say(self.samples)

    def samples_in(self, number: int) -> None:
        """Return None: another epoch has other batches."""

    def facts(self, seed: int) -> dict[str, Any]:
        """Return what a position in an epoch depends on, where `seed` is that of the order."""
        count = len(self) if hasattr(self.cut_by, "batches_in_epoch") else None
        return {
            "order": type(self.cut_by).__name__,
            "samples": self.samples,
            "batches": count,
            "seed": seed,
            "sampler": settings_of(self.cut_by),
        }

    def __iter__(self) -> Iterator[SeededBatch]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch, "order"))
        given = self.cut_by.batches(self.samples, epoch=self.epoch, generator=generator)
        for number, rows in enumerate(self._checked(given)):
            if number >= self.start:
                batch = SeededBatch(rows)
                batch.epoch = self.epoch
                batch.seed = derive_seed(self.seed, self.epoch, number)
                yield batch

    def _checked(self, given: Any) -> list[list[int]]:
        """Return batches as lists of numbers; raise ConfigError for what are none of the samples that there are."""
        name = type(self.cut_by).__name__
        try:
            rows = [torch.as_tensor(batch).tolist() for batch in given]
        except (TypeError, ValueError, RuntimeError) as cause:
            what = f"`{name}.batches` returned {type(given).__name__}, which is no list of batches."
            raise wrong_batches(what) from cause
        for number, batch in enumerate(rows):
            if not isinstance(batch, list) or not batch:
                raise wrong_batches(f"Batch {number} of `{name}.batches` is {batch!r}, not a list of sample numbers.")
            if not all(type(each) is int and 0 <= each < self.samples for each in batch):
                raise wrong_batches(
                    f"Batch {number} of `{name}.batches` names what is none of the {self.samples} samples: {batch!r}."
                )
        if hasattr(self.cut_by, "batches_in_epoch") and len(rows) != len(self):
            raise wrong_batches(f"`{name}.batches` returned {len(rows)} batches, and says {len(self)} of each epoch.")
        return rows


def wrong_batches(message: str) -> ConfigError:
    hint = "Return lists of sample numbers, counted from 0; as many lists as `batches_in_epoch` says, if there is one."
    return ConfigError(message, title="wrong batches", config_path=PLACE, hint=hint)
