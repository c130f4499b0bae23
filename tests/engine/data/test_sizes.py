"""What is known of an epoch before it is read: its batches, and the samples in each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, Sampler, SequentialSampler

from otrainer.components.data import DatasetDataModule, RandomRegressionDataModule
from otrainer.engine.data.loader import Loader


class Stream(IterableDataset[int]):
    def __len__(self) -> int:
        return 7

    def __iter__(self) -> Iterator[int]:
        return iter(range(7))


class NoLength(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter([2, 0, 1])


def loader(data: Any) -> Loader:
    return Loader(getattr(data, "train_dataloader", lambda: data), seed=0, stage="train")


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("length", [4, 7, 8, 9])
def test_the_sizes_of_our_own_batches_are_those_that_come(length: int, drop_last: bool) -> None:
    made = loader(DatasetDataModule(range(length), batch_size=4, drop_last=drop_last))
    sizes = [len(batch) for batch in made.epoch(1)]

    assert [made.samples(number) for number in range(len(sizes))] == sizes
    assert made.batches() == len(sizes)


def test_time_major_batches_are_counted_by_samples_not_by_their_first_dimension() -> None:
    data = [torch.zeros(9, 2)] * 5
    made = loader(DatasetDataModule(data, batch_size=3, collate=lambda samples: torch.stack(samples, 1)))

    assert [tuple(batch.shape[:2]) for batch in made.epoch(0)] == [(9, 3), (9, 2)]
    assert [made.samples(0), made.samples(1)] == [3, 2]


def test_random_batches_all_have_their_size() -> None:
    made = loader(RandomRegressionDataModule(batch_size=5, steps_per_epoch=3))

    assert (made.batches(), made.samples(0), made.samples(2)) == (3, 5, 5)


@pytest.mark.parametrize(
    ("data", "batches"),
    [
        ([1, 2, 3], 3),
        (DataLoader(list(range(7)), batch_size=2), 4),
        (DataLoader(list(range(7)), batch_size=2, drop_last=True), 3),
        (DataLoader(list(range(7)), batch_sampler=BatchSampler(SequentialSampler(range(5)), 2, drop_last=False)), 3),
        (DataLoader(list(range(7)), sampler=NoLength()), None),
        (DataLoader(Stream(), batch_size=2), None),
        (iter([1, 2]), None),
        (DatasetDataModule(Stream(), batch_size=2), None),
        (None, 0),
    ],
)
def test_only_a_length_that_is_sure_counts(data: Any, batches: int | None) -> None:
    assert loader(data).batches() == batches
    assert loader(data).samples(0) is None
