"""What a callback changes in a dataset between epochs, and the epoch's number, reach samplers, datasets and workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from otrainer.components.data import DatasetDataModule
from otrainer.engine.data.changes import marks_of
from otrainer.engine.data.loader import Loader


class Level:
    def __init__(self) -> None:
        self.level, self.epoch = 0, -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Growing(Dataset[Any]):
    """A dataset that goes by what a transform inside of it knows."""

    def __init__(self) -> None:
        self.transforms = [Level()]
        self.weights = np.zeros(2)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        inside = self.transforms[0]
        return torch.tensor([inside.level, inside.epoch, int(self.weights[1])])


class Stream(IterableDataset[Any]):
    splits_among_workers = True

    def __init__(self) -> None:
        self.inner = Growing()

    def __iter__(self) -> Iterator[Any]:
        return (self.inner[index] for index in range(2))


def nested(data: Growing) -> Any:
    return ConcatDataset([Subset(data, [0, 1]), Subset(data, [2])])


MAKERS: dict[str, Any] = {
    "ours": lambda data: DatasetDataModule(nested(data), batch_size=3).train_dataloader(),
    "ours with workers": lambda data: DatasetDataModule(nested(data), batch_size=3, num_workers=2).train_dataloader(),
    "torch's": lambda data: DataLoader(nested(data), batch_size=3),
    "torch's with workers": lambda data: DataLoader(nested(data), batch_size=3, num_workers=1),
    "torch's that stay": lambda data: DataLoader(nested(data), batch_size=3, num_workers=1, persistent_workers=True),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_each_epoch_sees_what_was_changed_before_it(kind: str) -> None:
    data = Growing()
    loader = Loader(lambda: MAKERS[kind](data), seed=0, stage="train")
    rows = []
    for epoch in range(3):
        rows += [batch[0].tolist() for batch in loader.epoch(epoch)]
        data.transforms[0].level += 10
        data.weights[1] += 1

    assert rows == [[0, 0, 0], [10, 1, 1], [20, 2, 2]]


def test_iterable_data_with_workers_see_it_too() -> None:
    data = Stream()
    loader = Loader(DatasetDataModule(data, batch_size=2, num_workers=2).train_dataloader, seed=0, stage="train")
    rows = []
    for epoch in range(2):
        rows.append([batch[0].tolist() for batch in loader.epoch(epoch)])
        data.inner.transforms[0].level += 1

    assert rows == [[[0, 0, 0]] * 2, [[1, 1, 0]] * 2]


def test_workers_stay_while_nothing_is_changed() -> None:
    made: Any = DatasetDataModule(nested(Growing()), batch_size=1, num_workers=2).train_dataloader()
    loader = Loader(lambda: made, seed=0, stage="train")
    workers = []
    for epoch in range(2):
        list(loader.epoch(epoch))
        workers.append([worker.pid for worker in made.loader._iterator._workers])

    assert workers[0] == workers[1]


def test_a_change_shows_in_numbers_texts_arrays_tensors_and_lists() -> None:
    class Data:
        def __init__(self) -> None:
            self.number, self.text, self.array, self.tensor = 1, "a", np.zeros(3), torch.zeros(3)
            self.large, self.names, self.inner = torch.zeros(1 << 19), [f"{number}" for number in range(40)], Level()

    data = Data()

    def changed() -> bool:
        before = marks_of(data)
        yield_to[0]()
        return marks_of(data) != before

    yield_to: list[Any] = [lambda: None]
    assert not changed()
    for change in (
        lambda: setattr(data, "number", 2),
        lambda: setattr(data, "text", "b"),
        lambda: data.array.__setitem__(1, 4),
        lambda: data.tensor.add_(1),
        lambda: data.large.add_(1),
        lambda: data.names.__setitem__(30, "x"),
        lambda: setattr(data.inner, "level", 9),
        lambda: setattr(data, "new", 1),
    ):
        yield_to[0] = change
        assert changed()


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_changed_within_an_epoch_is_told_where_workers_do_not_see_it(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, has_workers = Growing(), kind not in ("ours", "torch's")
    loader = Loader(lambda: MAKERS[kind](data), seed=0, stage="train")
    for epoch in range(4):
        for _ in loader.epoch(epoch):
            data.transforms[0].level += epoch % 2  # in the second epoch and in the fourth
        assert ("changed within an epoch" in caplog.text) == (has_workers and epoch > 0)
        data.weights[0] += 1  # between epochs

    told = [record.getMessage() for record in caplog.records if "within an epoch" in record.getMessage()]
    assert len(told) == has_workers
    assert all("`datasets.0.dataset.transforms.0.level` of `ConcatDataset`" in each for each in told)
