"""Generators that loaders, samplers and datasets hold go on where they were, whatever the workers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, fit, random_batches, small_model
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Sampler, Subset

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.engine.data.generators import Generators, as_plain, from_plain, get_state, reseed, set_state
from otrainer.engine.data.loader import Loader
from otrainer.engine.signals import StopRequest, TrainingInterrupted

from ..test_resume import StopAt

Python = random.Random
KINDS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.Generator().manual_seed(4),
    "python": lambda: Python(4),
    "pcg": lambda: np.random.default_rng(4),
    "philox": lambda: np.random.Generator(np.random.Philox(4)),
    "sfc": lambda: np.random.Generator(np.random.SFC64(4)),
    "legacy": lambda: np.random.RandomState(4),
}
DRAWS: dict[type, Callable[[Any], float]] = {
    torch.Generator: lambda each: float(torch.rand((), generator=each)),
    random.Random: lambda each: each.random(),
    np.random.Generator: lambda each: float(each.random()),
    np.random.RandomState: lambda each: float(each.rand()),
}


def draw(generator: Any) -> float:
    return DRAWS[type(generator)](generator)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_goes_through_a_file_of_plain_data(kind: str, tmp_path: Path) -> None:
    generator = KINDS[kind]()
    draw(generator)
    torch.save(as_plain(get_state(generator)), tmp_path / "state.pt")
    expected = [draw(generator) for _ in range(700)]
    other = KINDS[kind]()
    set_state(other, from_plain(torch.load(tmp_path / "state.pt", weights_only=True)))

    assert [draw(other) for _ in range(700)] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_what_comes_whatever_was_drawn_before(kind: str) -> None:
    one, other = KINDS[kind](), KINDS[kind]()
    draw(one)
    for each in (one, other):
        reseed(each, 2**62 + 5)

    assert draw(one) == draw(other)


def test_all_that_is_held_is_found_and_the_global_ones_are_not() -> None:
    class Transform:
        __slots__ = ("rng",)

        def __init__(self) -> None:
            self.rng = Python(1)

    generator, inside = torch.Generator(), np.random.default_rng(1)

    def collate(samples: Any) -> Any:
        return inside.random(), samples

    data: Any = ConcatDataset([Subset([1, 2], [0]), Subset([3], [0])])  # type: ignore[list-item]
    data.transforms = {"all": [Transform(), partial(draw, KINDS["legacy"]())]}
    data.others = [torch.default_generator, np.random.mtrand._rand, random.SystemRandom(), torch]
    loader = DataLoader(data, shuffle=True, generator=generator, collate_fn=collate)
    found = list(Generators(loader).found.values())

    assert {type(each) for each in found} == {
        torch.Generator,
        np.random.Generator,
        random.Random,
        np.random.RandomState,
    }
    assert len(found) == 4
    assert any(each is generator for each in found)
    assert any(each is inside for each in found)


class Drawing(Dataset[Any]):
    """Samples with a number of each kind of generator that a dataset may hold."""

    def __init__(self, length: int = 12) -> None:
        self.length = length
        self.held = [make() for make in KINDS.values()]
        self.unseeded = np.random.default_rng()
        self.late: random.Random | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if self.late is None:
            self.late = Python()
        numbers = [*map(draw, self.held), float(self.unseeded.random()), self.late.random()]
        return {"x": torch.tensor([index, *numbers], dtype=torch.float64)}


def batches(module: DatasetDataModule, epoch: int, start: int = 0) -> list[list[Any]]:
    return [batch["x"].tolist() for batch in Loader(module.train_dataloader, seed=2, stage="train").epoch(epoch, start)]


def test_draws_of_a_dataset_are_the_same_with_any_workers_and_from_any_batch_on() -> None:
    straight = batches(DatasetDataModule(Drawing(), batch_size=2), 1)

    assert batches(DatasetDataModule(Drawing(), batch_size=2, num_workers=2), 1) == straight
    assert batches(DatasetDataModule(Drawing(), batch_size=2, num_workers=1), 1, 2) == straight[2:]
    assert batches(DatasetDataModule(Drawing(), batch_size=2), 1, 4) == straight[4:]
    for column in range(1, 9):
        numbers = [row[column] for batch in straight for row in batch]
        assert len(set(numbers)) == 12
    assert batches(DatasetDataModule(Drawing(), batch_size=2), 2) != straight


def test_generators_that_began_alike_stay_alike() -> None:
    """As those are that turn an image and its mask."""

    class Pairs(Dataset[Any]):
        def __init__(self) -> None:
            self.image, self.mask, self.other = Python(7), Python(7), Python(8)

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            return {"x": torch.tensor([self.image.random(), self.mask.random(), self.other.random()])}

    for workers in (0, 2):
        for rows in batches(DatasetDataModule(Pairs(), batch_size=2, num_workers=workers), 0):
            assert all(image == mask != other for image, mask, other in rows)


def test_reading_leaves_a_datasets_generators_where_they_were() -> None:
    data = Drawing()
    before = [str(get_state(each)) for each in data.held]
    batches(DatasetDataModule(data, batch_size=2), 0)

    assert [str(get_state(each)) for each in data.held] == before


class Shuffled(Sampler[list[int]]):
    """A batch sampler with a generator of numpy's that is never seeded again."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(9)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.rng.permutation(12).reshape(4, 3).tolist())

    def __len__(self) -> int:
        return 4


class Noisy(Dataset[Any]):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        x = torch.full((4,), index / 12) + float(self.rng.random())
        return {"x": x.float(), "y": x.float().sum(0, keepdim=True)}


class NoisyStream(IterableDataset[Any]):
    def __init__(self) -> None:
        self.inner = Noisy()

    def __iter__(self) -> Iterator[Any]:
        return (self.inner[index] for index in range(12))


class StatefulStream(NoisyStream):
    """It goes on from where it was put, once, and begins anew otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.at, self.put = 0, False

    def __iter__(self) -> Iterator[Any]:
        self.at, self.put = (self.at if self.put else 0), False
        while self.at < 12:
            self.at += 1
            yield self.inner[self.at - 1]

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at, self.put = state["at"], True


class Module:
    """A data module that makes its batches itself, and holds what it draws from."""

    def __init__(self) -> None:
        self.rng = Python(3)

    def train_dataloader(self) -> Iterator[Any]:
        given = random_batches(4)
        self.rng.shuffle(given)
        return iter(given)


def seeded_loader() -> DataLoader[Any]:
    return DataLoader(Noisy(), batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(0))


DATA: dict[str, Callable[[], Any]] = {
    "loader": lambda: Batches(seeded_loader(), DataLoader(Noisy(), batch_size=6, shuffle=True)),
    "batch sampler": lambda: Batches(DataLoader(Noisy(), batch_sampler=Shuffled())),
    "workers": lambda: Batches(DataLoader(Noisy(), batch_size=3, num_workers=2)),
    "workers that stay": lambda: Batches(DataLoader(Noisy(), batch_size=3, num_workers=1, persistent_workers=True)),
    "stream": lambda: Batches(DataLoader(NoisyStream(), batch_size=3)),
    "stateful": lambda: DatasetDataModule(StatefulStream(), batch_size=3),
    "ours": lambda: DatasetDataModule(Noisy(), Noisy(), batch_size=3),
    "module": Module,
}


@pytest.mark.parametrize("stop", [1, 4, 6, 8])
@pytest.mark.parametrize("kind", DATA)
def test_a_stopped_run_goes_on_with_the_numbers_of_a_straight_one(kind: str, stop: int, tmp_path: Path) -> None:
    def train(stop_at: int | None, resume_from: str | None) -> list[float]:
        seen: list[float] = []

        class Seeing:
            def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
                seen.extend(batch["x"].flatten().tolist())

        callbacks = [ModelCheckpoint(str(tmp_path)), StopAt(stop_at)]
        run = {"resume_from": resume_from}
        with StopRequest():
            fit(
                small_model(), DATA[kind](), trainer={"max_epochs": 3}, callbacks=callbacks, metrics=[Seeing()], run=run
            )
        return seen

    straight = train(None, None)
    with pytest.raises(TrainingInterrupted):
        train(stop, None)
    rest = train(None, str(tmp_path / "last.pt"))

    assert rest == straight[len(straight) - len(rest) :]
    assert len(rest) >= (12 - stop) * 12
    assert straight[:12] != straight[48:60]


def test_workers_of_somebody_elses_loader_draw_different_numbers() -> None:
    loader = Loader(lambda: DataLoader(Drawing(), batch_size=3, num_workers=2), seed=0, stage="train")
    epochs = [[row for batch in loader.epoch(epoch) for row in batch["x"].tolist()] for epoch in range(2)]

    for column in range(1, 8):
        assert len({row[column] for rows in epochs for row in rows}) == 24
