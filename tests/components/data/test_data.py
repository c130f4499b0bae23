"""Data modules: order and randomness are a function of seed, epoch and batch, whatever the workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset

from otrainer.components.data import DatasetDataModule, RandomRegressionDataModule
from otrainer.engine.data.loader import Loader


class Numbers:
    """A map-style dataset that adds noise from every global generator."""

    def __init__(self, length: int = 10, noise: bool = False) -> None:
        self.length, self.noise, self.read = length, noise, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        self.read += 1
        noise = float(torch.rand(())) + float(np.random.rand()) if self.noise else 0.0
        return torch.tensor(index + noise)


class Stream(IterableDataset[torch.Tensor]):
    def __iter__(self) -> Any:
        return (torch.tensor(float(index)) + torch.rand(()) for index in range(7))


def epochs(data: Any, *, seed: int = 0, start: int = 0) -> list[list[Any]]:
    loader = Loader(data.train_dataloader, seed=seed, stage="train")
    return [[batch.tolist() for batch in loader.epoch(epoch, start)] for epoch in range(2)]


@pytest.mark.parametrize("make", [lambda: Numbers(noise=True), Stream], ids=["map", "iterable"])
def test_an_epoch_is_the_same_for_the_same_seed_and_can_begin_anywhere(make: Any) -> None:
    whole = epochs(DatasetDataModule(make(), batch_size=3))

    assert epochs(DatasetDataModule(make(), batch_size=3)) == whole
    assert epochs(DatasetDataModule(make(), batch_size=3), start=2) == [epoch[2:] for epoch in whole]
    assert epochs(DatasetDataModule(make(), batch_size=3), seed=1) != whole
    assert whole[0] != whole[1]


def test_workers_change_neither_order_nor_randomness() -> None:
    expected = epochs(DatasetDataModule(Numbers(noise=True), batch_size=3))

    assert epochs(DatasetDataModule(Numbers(noise=True), batch_size=3, num_workers=2)) == expected


def test_a_late_start_reads_none_of_the_samples_before_it() -> None:
    dataset = Numbers(1000)
    loader = Loader(DatasetDataModule(dataset, batch_size=10).train_dataloader, seed=0, stage="train")
    next(loader.epoch(3, start=99))

    assert dataset.read == 10


def test_loading_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    actual = []
    for data in (DatasetDataModule(Numbers(noise=True)), DatasetDataModule(Stream())):
        epochs(data)
        actual.append(float(torch.rand(())))

    assert actual == expected.tolist()


def test_every_sample_comes_once_an_epoch_and_validation_keeps_the_order() -> None:
    data = DatasetDataModule(Numbers(), Numbers(), batch_size=4)
    train = epochs(data)[0]
    val = [batch.tolist() for batch in Loader(data.val_dataloader, seed=0, stage="val").epoch(0)]

    assert [len(batch) for batch in train] == [4, 4, 2]
    assert sorted(number for batch in train for number in batch) == list(range(10))
    assert val == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_drop_last_and_order_are_as_asked_for() -> None:
    data = DatasetDataModule(Numbers(), Numbers(), batch_size=4, shuffle=False, drop_last=True)

    assert epochs(data)[0] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(list(Loader(data.val_dataloader, seed=0, stage="val").epoch(0))) == 3


def test_collate_makes_the_batch() -> None:
    data = DatasetDataModule(Numbers(4), batch_size=2, shuffle=False, collate=lambda samples: torch.stack(samples) * 10)

    assert epochs(data)[0] == [[0, 10], [20, 30]]


def test_an_iterable_dataset_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="an iterable-style one gives its own order"):
        DatasetDataModule(Stream(), shuffle=True)


def test_random_regression_has_the_shapes_it_is_asked_for_and_can_be_learnt() -> None:
    data = RandomRegressionDataModule(batch_size=64, x_shape=[2, 3], y_shape=[5], noise=0.0)
    batches = list(Loader(data.train_dataloader, seed=0, stage="train").epoch(0))

    assert len(batches) == 20
    assert (batches[0]["x"].shape, batches[0]["y"].shape) == ((64, 2, 3), (64, 5))
    x, y = batches[0]["x"].flatten(1), batches[0]["y"]
    weights = torch.linalg.lstsq(x, y).solution
    assert torch.allclose(batches[1]["x"].flatten(1) @ weights, batches[1]["y"], atol=1e-4)


def test_random_regression_differs_between_batches_epochs_stages_and_seeds_and_repeats_otherwise() -> None:
    def first(seed: int, stage: str, epoch: int, start: int) -> list[float]:
        data = RandomRegressionDataModule()
        make = data.train_dataloader if stage == "train" else data.val_dataloader
        return next(Loader(make, seed=seed, stage=stage).epoch(epoch, start))["x"][0].tolist()

    places = [(0, "train", 0, 0), (0, "train", 0, 1), (0, "train", 1, 0), (0, "val", 0, 0), (1, "train", 0, 0)]
    assert len({tuple(first(*place)) for place in places}) == len(places)
    assert [first(*place) for place in places] == [first(*place) for place in places]


def test_anything_that_can_be_iterated_over_is_a_dataset() -> None:
    class Stretch:
        def __iter__(self) -> Any:
            return iter([torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)])

    assert epochs(DatasetDataModule(Stretch(), batch_size=2)) == [[[1.0, 2.0], [3.0]]] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"train": 3}, "train is a dataset"),
        ({"train": Numbers(), "val": object()}, "val is a dataset"),
        ({"train": Stream(), "num_workers": 2}, "every worker would give all samples"),
        ({"train": Numbers(), "batch_size": 0}, "batch_size is a whole number from 1 on"),
        ({"train": Numbers(), "val_batch_size": 0}, "val_batch_size is a whole number from 1 on"),
        ({"train": Numbers(), "num_workers": -1}, "num_workers is a whole number from 0 on"),
    ],
)
def test_what_cannot_be_loaded_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatasetDataModule(**arguments)


def test_a_loop_of_somebodys_own_gets_another_order_each_epoch_under_the_runs_seed() -> None:
    def two_epochs() -> list[list[Any]]:
        torch.manual_seed(4)
        loader = DatasetDataModule(Numbers(), batch_size=10).train_dataloader()
        return [[batch.tolist() for batch in loader] for _ in range(2)]

    first, second = two_epochs()
    assert first != second
    assert two_epochs() == [first, second]


def test_random_regression_declares_a_batch_as_those_that_it_gives() -> None:
    data = RandomRegressionDataModule(batch_size=3, x_shape=[2, 4], y_shape=[5])
    declared = data.example_batch()

    assert {name: each.shape for name, each in declared.items()} == {
        name: each.shape for name, each in next(iter(data.train_dataloader())).items()
    }
    assert all(each.is_meta for each in declared.values())


def test_a_dataset_declares_the_batch_unless_it_is_collated_otherwise() -> None:
    class Declaring(list[int]):
        def example_batch(self, size: int) -> torch.Tensor:
            return torch.empty(size, device="meta")

    samples = Declaring(range(10))

    assert DatasetDataModule(samples, batch_size=4).example_batch().shape == (4,)
    assert DatasetDataModule(samples, collate=list).example_batch() is None
    assert DatasetDataModule(list(samples)).example_batch() is None


def test_several_validation_sets_are_read_by_name_each_in_its_order() -> None:
    named = {"few": Numbers(2), "stream": Stream()}
    data = DatasetDataModule(Numbers(), val=named, batch_size=4)
    loaders = data.val_dataloader()

    assert isinstance(loaders, dict)
    assert list(loaders) == ["few", "stream"]
    assert [batch.tolist() for batch in loaders["few"]] == [[0, 1]]
    few = data.batches_of("few")
    assert few is not None
    assert [batch.tolist() for batch in few] == [[0, 1]]
    assert data.batches_of("fewer") is None
    assert DatasetDataModule(Numbers(), val=Numbers()).batches_of("few") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"val": {}}, "its names are none"),
        ({"val": {"test": Numbers()}}, "its names are 'test'"),
        ({"val": {"a/b": Numbers()}}, "its names are 'a/b'"),
        ({"val": {"a": 3}}, "val.a is a dataset"),
        ({"val": {"a": Numbers()}, "fold": {"of": 2, "index": 0}}, "leave out either these or the named sets"),
    ],
)
def test_validation_sets_that_cannot_be_read_or_named_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatasetDataModule(Numbers(), **arguments)
