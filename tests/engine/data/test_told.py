"""What is told of data before training: what cannot be followed, what comes twice, and what is empty."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, random_batches, small_model
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from otrainer.components.data import DatasetDataModule
from otrainer.engine.data.loader import Loader
from otrainer.errors import ConfigError


def told(data: Any, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.WARNING, "otrainer"):
        Loader(lambda: data, seed=0, stage="train")
    return caplog.text


class Whole(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(range(4))


class Marked(Whole):
    splits_among_workers = True


def start(worker: int) -> None:
    """Let a worker's copy of the dataset be its share, which may be written here too."""


def test_a_stream_that_each_worker_reads_whole_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otrainer.engine.data.told.inspect.getsource", lambda _: "def __iter__(self): ...")

    assert "every sample comes 2 times" in told(DataLoader(Whole(), num_workers=2), caplog)
    caplog.clear()
    assert not told(DataLoader(Whole(), num_workers=1), caplog)
    assert not told(DataLoader(Marked(), num_workers=2), caplog)
    assert not told(DataLoader(Whole(), num_workers=2, worker_init_fn=start), caplog)


def test_a_stream_whose_module_asks_which_worker_it_is_in_is_not(caplog: pytest.LogCaptureFixture) -> None:
    assert get_worker_info() is None
    assert not told(DataLoader(Whole(), num_workers=2), caplog)


def test_a_generator_of_the_system_is_told_by_name(caplog: pytest.LogCaptureFixture) -> None:
    class Data(list[int]):
        rng: Any = None

    data = Data(range(4))
    data.rng = random.SystemRandom()

    assert "`dataset.rng` draws from the system" in told(DataLoader(data), caplog)  # type: ignore[arg-type]


def test_a_generator_in_workers_of_somebody_elses_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Foreign:
        def __init__(self) -> None:
            self.num_workers, self.generator = 2, torch.Generator()

        def __iter__(self) -> Iterator[Any]:
            return iter(())

    assert "`generator` is a generator in workers of a `Foreign`" in told(Foreign(), caplog)


def test_workers_that_were_to_stay_are_told(caplog: pytest.LogCaptureFixture) -> None:
    data = DataLoader([1], num_workers=1, persistent_workers=True)  # type: ignore[arg-type]

    assert "started anew each epoch" in told(data, caplog)


@pytest.mark.parametrize(
    "data",
    [
        Batches([]),
        DatasetDataModule([1, 2, 3], batch_size=4, drop_last=True),
        Batches(DataLoader([1, 2], batch_size=4, drop_last=True)),  # type: ignore[arg-type]
    ],
)
def test_training_data_that_are_known_to_be_empty_fail_before_anything_is_built(data: Any) -> None:
    built: list[Any] = []

    class Model(torch.nn.Linear):
        def to(self, *args: Any, **kwargs: Any) -> Any:
            built.append(self)
            return super().to(*args, **kwargs)

    with pytest.raises(ConfigError, match="yielded no batch"):
        fit(Model(4, 1), data)

    assert not built


def test_empty_validation_data_are_told_before_the_first_step(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    with caplog.at_level(logging.WARNING, "otrainer"):
        fit(small_model(), Batches(random_batches(2), []), loggers=[notes])

    assert "the validation data are empty" in caplog.text
    assert not notes.values("val", "val_loss")
