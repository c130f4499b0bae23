"""A resume in the middle of an epoch under another config: at its sample, or refused; at an epoch's end, anything."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule, RandomRegressionDataModule
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

from ..test_resume import StopAt


class Numbers(Dataset[Any]):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.full((4,), float(index)), "y": torch.zeros(1)}


class Stream(IterableDataset[Any]):
    splits_among_workers = True

    def __init__(self, length: int) -> None:
        self.data = Numbers(length)

    def __iter__(self) -> Any:
        return map(self.data.__getitem__, range(len(self.data)))


def ours(length: int = 24, batch_size: int = 4, **more: Any) -> DatasetDataModule:
    return DatasetDataModule(Numbers(length), batch_size=batch_size, **more)


def torchs(data: Any, **more: Any) -> Batches:
    return Batches(DataLoader(data, **{"batch_size": 4, **more}))


def bucketed(length: int, size: int) -> Batches:
    class Bucketed(BatchSampler):
        pass

    data = Numbers(length)
    return Batches(DataLoader(data, batch_sampler=Bucketed(SequentialSampler(data), size, drop_last=False)))


def cut(length: int, size: int) -> Any:
    """Return an iterator over batches of `size` samples."""
    for begin in range(0, length, size):
        numbers = torch.arange(begin, min(begin + size, length), dtype=torch.float32)[:, None]
        yield {"x": numbers.expand(-1, 4), "y": torch.zeros(len(numbers), 1)}


class Unsized:
    """An iterable of batches that says nothing of itself."""

    def __init__(self, length: int, size: int) -> None:
        self.length, self.size = length, size

    def __iter__(self) -> Any:
        return cut(self.length, self.size)


class Sized(Unsized):
    def __len__(self) -> int:
        return -(-self.length // self.size)


class Counting(Unsized):
    def samples_in(self, number: int) -> int:
        return min(self.size, self.length - number * self.size)


class Anywhere(Unsized):
    """A loader that begins at any batch, and draws numbers for it as anybody may."""

    def iterate_epoch(self, *, seed: int, epoch: int, start: int) -> Any:
        return itertools.islice(self, start, None)


class Cutting(IterableDataset[Any]):
    """A dataset that makes batches itself."""

    def __init__(self, length: int, size: int) -> None:
        self.length, self.size = length, size

    def __iter__(self) -> Any:
        return cut(self.length, self.size)


class Unmeasured(Sampler[Any]):
    def __init__(self, length: int, size: int) -> None:
        self.length, self.size = length, size

    def __iter__(self) -> Any:
        return (list(range(i, min(i + self.size, self.length))) for i in range(0, self.length, self.size))


OWN: dict[str, Callable[[int], Any]] = {
    "a generator": lambda size: Batches(lambda: cut(24, size)),
    "an iterable": lambda size: Batches(Unsized(24, size)),
    "an iterable with a length": lambda size: Batches(Sized(24, size)),
    "an iterable that counts samples": lambda size: Batches(Counting(24, size)),
    "a loader that begins anywhere": lambda size: Batches(Anywhere(24, size)),
    "a dataset that makes batches": lambda size: Batches(DataLoader(Cutting(24, size), batch_size=None)),
    "a list behind torch's": lambda size: Batches(DataLoader(list(cut(24, size)), batch_size=None)),
    "a batch sampler without a length": lambda size: Batches(
        DataLoader(Numbers(24), batch_sampler=Unmeasured(24, size))
    ),
}


def train(data: Any, folder: Path, *, stop: int | None = None, resume: bool = False, **more: Any) -> list[float]:
    """Return the samples that were trained, in order."""
    seen: list[float] = []

    class Seeing:
        def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
            seen.extend(batch["x"][:, 0].tolist() if stage == "train" else ())

    run = {"resume_from": str(folder / "last.pt") if resume else None, "seed": more.pop("seed", 0)}
    optimizer = {"type": "optim_cls.SGD", "kwargs": {"lr": 1e-6}}
    parts: Any = {"callbacks": [ModelCheckpoint(str(folder)), StopAt(stop)], "metrics": [Seeing()], "run": run}
    with StopRequest():
        fit(small_model(), data, trainer={"max_epochs": 2, **more}, optimizer=optimizer, **parts)
    return seen


Make = Callable[[], Any]
CONVERTED: dict[str, tuple[Make, Make, int]] = {
    "half the size, in order": (lambda: ours(shuffle=False), lambda: ours(batch_size=2, shuffle=False), 2),
    "half the size, shuffled": (ours, lambda: ours(batch_size=2), 3),
    "twice the size, shuffled": (ours, lambda: ours(batch_size=8), 4),
    "a size that does not divide the epoch": (ours, lambda: ours(batch_size=5), 5),
    "after the last, smaller batch": (lambda: ours(22), lambda: ours(22, 3), 6),
    "without the last batch": (lambda: ours(22), lambda: ours(22, drop_last=True), 3),
    "with workers": (ours, lambda: ours(batch_size=2, num_workers=1), 3),
    "torch's, in order": (lambda: torchs(Numbers(24)), lambda: torchs(Numbers(24), batch_size=6), 3),
    "torch's, shuffled": (
        lambda: torchs(Numbers(24), shuffle=True), lambda: torchs(Numbers(24), shuffle=True, batch_size=2), 2,
    ),
    "from torch's to ours, in order": (
        lambda: torchs(Numbers(24)), lambda: ours(batch_size=2, shuffle=False), 3,
    ),
    "iterable": (lambda: torchs(Stream(24)), lambda: torchs(Stream(24), batch_size=2), 3),
    "more data, in order": (lambda: ours(shuffle=False), lambda: ours(30, shuffle=False), 2),
    "less data, in order": (lambda: ours(shuffle=False), lambda: ours(18, shuffle=False), 2),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVERTED)
def test_a_position_is_the_same_sample_in_other_batches(kind: str, tmp_path: Path) -> None:
    before, after, stop = CONVERTED[kind]
    whole = train(after(), tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        train(before(), tmp_path / "part", stop=stop)
    rest = train(after(), tmp_path / "part", resume=True)
    length = len(whole) // 2

    assert sorted(rest[-length:]) == sorted(whole[-length:])
    assert rest == whole[min(stop * 4, length) :]


REFUSED: dict[str, tuple[Make, Make, tuple[str, ...], str]] = {
    "size": (ours, lambda: ours(batch_size=5), ("data", "batch_size"), "the batch size was 4, is 5"),
    "order": (ours, lambda: ours(shuffle=False), ("data", "shuffle"), "the order of the samples was `shuffled`"),
    "length": (ours, lambda: ours(25), ("data",), "the number of samples was 24, is 25"),
    "too short": (
        lambda: ours(shuffle=False), lambda: ours(10, shuffle=False), ("data",), "the number of samples was 24, is 10",
    ),
    "sampler": (
        lambda: torchs(Numbers(24), shuffle=True),
        lambda: torchs(Numbers(24), sampler=torch.utils.data.WeightedRandomSampler([1.0] * 24, 24)),
        ("data", "shuffle"), "was `RandomSampler`, is `WeightedRandomSampler`",
    ),
    "workers": (
        lambda: DatasetDataModule(Stream(24), batch_size=4, num_workers=1),
        lambda: DatasetDataModule(Stream(24), batch_size=4), ("data", "num_workers"), "number of workers was 1, is 0",
    ),
    "batch sampler": (lambda: bucketed(24, 4), lambda: bucketed(24, 2), ("data",), "batches was 6, is 12"),
    "list": (
        lambda: Batches(random_batches(6, 4)), lambda: Batches(random_batches(12, 2)), ("data",), "was 6, is 12",
    ),
    "other data": (ours, lambda: Batches(random_batches(6)), ("data", "shuffle"), "was `shuffled`, is `list`"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_train_samples_twice_or_never_is_refused(kind: str, tmp_path: Path) -> None:
    before, after, place, words = REFUSED[kind]
    with pytest.raises(TrainingInterrupted):
        train(before(), tmp_path, stop=3)
    with pytest.raises(ConfigError, match=words) as error:
        train(after(), tmp_path, resume=True)

    assert error.value.config_path == place
    assert "after 3 batches" in str(error.value)


@pytest.mark.parametrize("size", [2, 8])
@pytest.mark.parametrize("kind", OWN)
def test_data_of_ones_own_in_other_batches_are_refused_within_an_epoch(kind: str, size: int, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        train(OWN[kind](4), tmp_path, stop=3)
    for _ in range(2):  # it is refused again: nothing was saved by it
        with pytest.raises(ConfigError, match=r"after 3 batches.* was .*, is ") as error:
            train(OWN[kind](size), tmp_path, resume=True)
        assert error.value.config_path == ("data",)


@pytest.mark.parametrize("kind", OWN)
def test_data_of_ones_own_in_the_same_batches_go_on_where_they_were(kind: str, tmp_path: Path) -> None:
    whole = train(OWN[kind](4), tmp_path / "whole")
    for stop in (3, 5):
        with pytest.raises(TrainingInterrupted):
            train(OWN[kind](4), tmp_path / "part", stop=stop, resume=stop > 3)

    assert train(OWN[kind](4), tmp_path / "part", resume=True) == whole[20:]


@pytest.mark.parametrize("kind", OWN)
def test_data_of_ones_own_may_be_cut_otherwise_at_the_end_of_an_epoch(kind: str, tmp_path: Path) -> None:
    train(OWN[kind](4), tmp_path, max_epochs=1)

    assert train(OWN[kind](2), tmp_path, resume=True, max_epochs=2) == list(range(24))


def weighted(weights: list[float], *, replacement: bool = True) -> Batches:
    return torchs(Numbers(24), sampler=WeightedRandomSampler(weights, 24, replacement=replacement))


def test_a_sampler_that_draws_in_another_way_is_refused_within_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        train(weighted([1.0] * 24), tmp_path, stop=3)
    with pytest.raises(ConfigError, match="what the sampler draws by is another") as error:
        train(weighted([1.0] * 24, replacement=False), tmp_path, resume=True)

    assert error.value.config_path == ("data",)


def test_other_weights_of_a_sampler_are_told_within_an_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TrainingInterrupted):
        train(weighted([1.0] * 24), tmp_path, stop=3)
    with pytest.raises(TrainingInterrupted):
        train(weighted([1.0] * 24), tmp_path, stop=4, resume=True)
    assert "weights of the sampler" not in caplog.text

    train(weighted([1.0] * 12 + [0.0] * 12), tmp_path, resume=True)
    assert caplog.text.count("the weights of the sampler are others than in the checkpoint") == 1


def test_another_seed_is_another_order_where_the_data_are_shuffled(tmp_path: Path) -> None:
    for data in (ours(), torchs(Numbers(24), shuffle=True)):
        with pytest.raises(TrainingInterrupted):
            train(data, tmp_path, stop=3)
        with pytest.raises(ConfigError, match="the seed of the data's order is another") as error:
            train(data, tmp_path, resume=True, seed=1)
        assert error.value.config_path == ("run", "seed")
    with pytest.raises(TrainingInterrupted):
        train(ours(shuffle=False), tmp_path, stop=3)

    assert train(ours(shuffle=False), tmp_path, resume=True, seed=1)[:2] == [12, 13]


@pytest.mark.parametrize("kind", REFUSED)
def test_at_the_end_of_an_epoch_anything_may_change(kind: str, tmp_path: Path) -> None:
    before, after, _, _ = REFUSED[kind]
    train(before(), tmp_path, max_epochs=1)
    rest = train(after(), tmp_path, resume=True, max_epochs=2)

    assert len(rest) == len(train(after(), tmp_path / "one", max_epochs=1))


def test_other_groups_of_accumulation_begin_at_the_same_sample(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        train(ours(), tmp_path / "part", stop=2)
    whole = train(ours(), tmp_path / "whole")

    assert train(ours(), tmp_path / "part", resume=True, grad_accum_steps=4) == whole[8:]


def test_random_batches_have_no_samples_to_lose(tmp_path: Path) -> None:
    def data(size: int) -> RandomRegressionDataModule:
        return RandomRegressionDataModule(batch_size=size, steps_per_epoch=6, x_shape=[4], y_shape=[1])

    with pytest.raises(TrainingInterrupted):
        train(data(4), tmp_path, stop=2)

    assert len(train(data(3), tmp_path, resume=True)) == 10 * 3


def test_a_sampler_with_a_generator_of_its_own_does_not_go_by_the_seed(tmp_path: Path) -> None:
    def data() -> Batches:
        return torchs(Numbers(24), sampler=RandomSampler(Numbers(24), generator=torch.Generator().manual_seed(2)))

    whole = train(data(), tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        train(data(), tmp_path / "part", stop=2)

    assert train(data(), tmp_path / "part", resume=True, seed=1) == whole[8:]
