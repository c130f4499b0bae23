"""Batches of a map-style dataset whose order and randomness are a function of (seed, epoch, batch number) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from otrainer.components.data.arrays import ArraysDataset
from otrainer.components.data.epoch_batches import EpochBatches
from otrainer.components.data.epoch_sampler import EpochSampler, SeededBatch
from otrainer.components.data.parts import whole_of
from otrainer.engine.data.announce import announce_epoch
from otrainer.engine.data.changes import Copied, marks_of
from otrainer.engine.data.collate import Collate, Refused, delivered
from otrainer.engine.data.generators import Generators, Scratch
from otrainer.engine.data.workers import Undisturbed, end_workers
from otrainer.engine.seed import seeded
from otrainer.errors import ConfigError
from otrainer.protocols import EpochLoader


class BatchDataset(Dataset[Any]):
    """A dataset seen as whole batches, loaded and collated under the batch's own seed, in a worker or here.

    Generators that the dataset or `collate` holds begin anew with each batch, from that seed too, so that neither the
    number of workers nor a stop changes what they give.
    """

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Any] | None) -> None:
        self.dataset = dataset
        self.collate = collate if collate is not None else Collate()
        self.whole = collate is None and callable(getattr(dataset, "batch", None))
        self.draws = not (self.whole and type(whole_of(dataset)) is ArraysDataset)
        self.generators = Generators((dataset, collate))
        self.is_known = False
        self.epoch = -1

    def begin_epoch(self, epoch: int) -> None:
        """Tell the dataset, and what it wraps, which epoch comes."""
        announce_epoch(self.dataset, epoch)
        self.epoch = epoch

    def __getitems__(self, indices: SeededBatch) -> Any:
        if indices.epoch != self.epoch:  # in a worker, whose dataset is a copy
            self.begin_epoch(indices.epoch)
        try:
            return self._read(indices)
        except ConfigError as error:
            if get_worker_info() is None:
                raise
            return Refused(tuple(error.findings))

    def _read(self, indices: SeededBatch) -> Any:
        if not self.draws:
            return self.dataset.batch(indices)
        batch = self._load(indices)
        if not self.is_known:
            self.is_known = True
            if self.generators.look():  # made by reading, as in a worker, with any seed
                return self._load(indices)
        return batch

    def _load(self, indices: SeededBatch) -> Any:
        with seeded(indices.seed), self.generators.seeded(indices.seed) if self.generators else nullcontext():
            if self.whole:
                return self.dataset.batch(indices)
            samples = self._samples(indices)
            return self.collate(samples, indices) if isinstance(self.collate, Collate) else self.collate(samples)

    def _samples(self, indices: list[int]) -> list[Any]:
        if callable(getattr(self.dataset, "__getitems__", None)):
            samples: list[Any] = self.dataset.__getitems__(indices)
            return samples
        return [self.dataset[index] for index in indices]


class Epochs(EpochLoader):
    """What can begin anywhere in any epoch; iterated over by somebody else's loop, each time gives the next epoch."""

    epoch = -1

    def __iter__(self) -> Iterator[Any]:
        """Return the epoch after the last one of these, under the seed that torch was given."""
        self.epoch += 1
        return self.iterate_epoch(seed=torch.initial_seed(), epoch=self.epoch, start=0)


class SeededLoader(Epochs):
    """A DataLoader that can begin at any batch of any epoch; workers, if any, stay from epoch to epoch."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        *,
        shuffle: bool,
        drop_last: bool,
        num_workers: int,
        pin_memory: bool,
        collate_fn: Callable[[list[Any]], Any] | None,
        timeout: float = 0.0,
        drawn_by: Any = None,
        cut_by: Any = None,
    ) -> None:
        if callable(prepare := getattr(drawn_by if cut_by is None else cut_by, "prepare", None)):
            prepare(dataset)
        self.sampler: EpochBatches | EpochSampler
        if cut_by is not None:
            self.sampler = EpochBatches(len(dataset), cut_by)
        else:
            self.sampler = EpochSampler(
                len(dataset), batch_size, shuffle=shuffle, drop_last=drop_last, drawn_by=drawn_by
            )
        self.batches = BatchDataset(dataset, collate_fn)
        self.copied: Copied | None = None
        self.reading: Iterator[Any] = iter(())
        self.loader = DataLoader(
            self.batches,
            batch_sampler=self.sampler,
            num_workers=num_workers,
            pin_memory=pin_memory,
            timeout=timeout,
            persistent_workers=num_workers > 0,
            collate_fn=as_loaded,
            worker_init_fn=Undisturbed(),
            generator=Scratch(),  # its own, so that beginning an epoch draws nothing from the global one
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def samples_in(self, number: int) -> int | None:
        """Return how many samples batch `number` of any epoch is made of, before a `collate` that leaves some out."""
        return self.sampler.samples_in(number)

    def position_facts(self, seed: int) -> dict[str, Any]:
        """Return what a position in an epoch depends on; the order, if it is drawn, on `seed` and the length."""
        return self.sampler.facts(seed)

    def iterate_epoch(self, *, seed: int, epoch: int, start: int) -> Iterator[Any]:
        self.sampler.seed, self.sampler.epoch, self.sampler.start = seed, epoch, start
        has_workers = self.loader.num_workers > 0
        if has_workers and (self.copied is None or self.copied.marks != marks_of(self.batches.dataset)):
            end_workers(self.loader)  # somebody changed what they have a copy of
        self.batches.begin_epoch(epoch)
        self.copied = Copied(self.batches.dataset) if has_workers else None
        self.reading = iter(self.loader)
        return map(delivered, self.reading) if self.copied is None else self._told_at_the_end(self.copied)

    def _told_at_the_end(self, copied: Copied) -> Iterator[Any]:
        yield from map(delivered, self.reading)
        copied.tell(self)


def as_loaded(batch: Any) -> Any:
    """Return the batch as BatchDataset made it (a named function, so that workers can be sent it)."""
    return batch
