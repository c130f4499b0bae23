"""Where a continuation begins to read: at its batch, where the data says it was, or at the beginning, with a word."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.engine.data.loader import Loader
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

from ..test_resume import StopAt

MILLION = 1_000_000


class Counting(Dataset[Any]):
    """A dataset of two million samples that knows which ones were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 2 * MILLION

    def __getitem__(self, index: int) -> torch.Tensor:
        self.asked.append(index)
        return torch.tensor(index)


def test_going_on_at_batch_one_million_reads_no_sample_before_it() -> None:
    data = Counting()
    loader = Loader(DatasetDataModule(data, batch_size=1).train_dataloader, seed=1, stage="train")
    began = next(loader.epoch(3))
    data.asked.clear()
    batches = loader.epoch(3, start=MILLION)
    there, then = next(batches), next(batches)

    assert data.asked == [int(there), int(then)]
    assert int(began) not in data.asked


def test_a_sequence_is_asked_for_the_batches_that_are_left() -> None:
    class Lazy(list[int]):
        asked: list[int] = []  # noqa: RUF012 - this one list is the test's

        def __getitem__(self, index: Any) -> Any:
            self.asked.append(index)
            return super().__getitem__(index)

    data = Lazy(range(5))

    assert list(Loader(lambda: data, seed=0, stage="train").epoch(0, start=3)) == [3, 4]
    assert data.asked == [3, 4]


class Numbers(IterableDataset[Any]):
    """Samples in order, with noise from the global generators; it knows how far it was read if it is `stateful`."""

    def __init__(self, length: int, log: list[int]) -> None:
        self.length, self.log, self.at = length, log, 0

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        while self.at < self.length:
            self.at += 1
            self.log.append(self.at)
            x = torch.full((4,), self.at / self.length) + torch.rand(4) * float(np.random.rand())
            yield {"x": x, "y": x.sum(0, keepdim=True)}
        self.at = 0


class StatefulNumbers(Numbers):
    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


@pytest.mark.parametrize("kind", [Numbers, StatefulNumbers])
@pytest.mark.parametrize("stop", [3, 5, 9])
def test_iterable_data_ends_the_same_and_goes_on_where_it_was_if_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: type[Numbers], stop: int
) -> None:
    def train(folder: Path, read: list[int], stop_at: int | None = None, **run: Any) -> torch.Tensor:
        with StopRequest():
            model = fit(
                small_model(),
                DatasetDataModule(kind(20, read), batch_size=4),
                trainer={"max_epochs": 2},
                callbacks=[ModelCheckpoint(str(folder)), StopAt(stop_at)],
                run=run,
            )
        return parameters_of(model)

    whole_read: list[int] = []
    whole = train(tmp_path / "whole", whole_read)
    read: list[int] = []
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", read, stop)
    before = len(read)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "otrainer"):
        continued = train(tmp_path / "broken", read, resume_from=str(tmp_path / "broken/last.pt"))

    assert torch.equal(continued, whole)
    done = (stop - 1) % 5 + 1  # after an epoch's last step nobody knows yet that it was the last
    again = done * 4 if kind is Numbers else 0
    assert read[before + again :] == whole_read[stop * 4 :]
    said = [record.getMessage() for record in caplog.records if "read again" in record.getMessage()]
    assert len(said) == (1 if again else 0)
    assert not said or f"batches read again to go on from there: {done}." in said[0]


@pytest.mark.parametrize("stops", [(5,), (3, 5), (5, 6), (5, 7, 10)])
def test_an_epoch_whose_smaller_last_batch_ended_the_stream_is_not_read_again(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    """The stream begins its next round as the loader finds no more samples for that batch, before its step is taken."""

    def train(folder: Path, read: list[int], stop_at: int | None = None) -> torch.Tensor:
        last = folder / "last.pt"
        with StopRequest():
            model = fit(
                small_model(),
                DatasetDataModule(StatefulNumbers(18, read), batch_size=4),
                trainer={"max_epochs": 2},
                callbacks=[ModelCheckpoint(str(folder)), StopAt(stop_at)],
                run={"resume_from": str(last) if last.exists() else None},
            )
        return parameters_of(model)

    whole_read: list[int] = []
    whole = train(tmp_path / "whole", whole_read)
    read: list[int] = []
    for stop in stops:
        with pytest.raises(TrainingInterrupted):
            train(tmp_path / "broken", read, stop)

    assert torch.equal(train(tmp_path / "broken", read), whole)
    assert read == whole_read


def test_data_with_a_state_and_data_without_do_not_go_together(tmp_path: Path) -> None:
    def train(data: Any, **run: Any) -> None:
        callbacks = [ModelCheckpoint(str(tmp_path))]
        fit(small_model(), DatasetDataModule(data, batch_size=4), callbacks=callbacks, run=run)

    train(StatefulNumbers(8, []))
    with pytest.raises(ConfigError, match="holds one of the training data's own state") as error:
        train(Numbers(8, []), resume_from=str(tmp_path / "last.pt"))

    assert error.value.config_path == ("data",)


class Troubled(Dataset[Any]):
    """The worker that loads sample 6 is killed, or never gives it."""

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if index == 6 and self.trouble == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 6:
            time.sleep(60)
        return {"x": torch.ones(4), "y": torch.ones(1)}


@pytest.mark.parametrize(
    ("trouble", "words"), [("killed", "is killed by signal|exited unexpectedly"), ("hung", "timed out after 2")]
)
def test_a_worker_that_dies_or_hangs_is_an_error_soon(trouble: str, words: str) -> None:
    last_step = [time.monotonic()]

    class Clock:
        def on_train_step_end(self, ctx: Any) -> None:
            last_step.append(time.monotonic())

    data = DatasetDataModule(Troubled(trouble), batch_size=2, num_workers=2, shuffle=False, timeout=2)
    with pytest.raises(ConfigError, match=words) as error:
        fit(small_model(), data, callbacks=[Clock()])

    assert time.monotonic() - last_step[-1] < (1.0 if trouble == "killed" else 4.0)
    assert error.value.findings[0].title == "data worker failed"
    assert error.value.config_path == ("data",)


def test_a_worker_may_not_take_for_ever_by_default() -> None:
    loader: Any = DatasetDataModule(TensorDataset(torch.ones(4, 1)), num_workers=1).train_dataloader()

    assert loader.loader.timeout == 300


def test_a_users_own_data_loader_is_replayed_and_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    data = TensorDataset(torch.arange(10.0))
    loader = Loader(lambda: DataLoader(data, batch_size=2, shuffle=True), seed=5, stage="train")
    whole = [batch[0].tolist() for batch in loader.epoch(1)]
    with caplog.at_level(logging.WARNING, "otrainer"):
        rest = [batch[0].tolist() for batch in loader.epoch(1, start=3)]

    assert rest == whole[3:]
    assert "batches read again to go on from there: 3." in caplog.text
    assert not Notes().rows
    assert len(list(Loader(Batches(random_batches(2)).train_dataloader, seed=0, stage="train").epoch(0))) == 2


def test_a_worker_that_dies_before_training_begins_is_the_same_error() -> None:
    """A model whose widths come from the first batch takes one before the loop does."""
    model = torch.nn.Sequential(torch.nn.LazyLinear(1))
    model.inputs = ["x"]
    data = DatasetDataModule(Dying(), batch_size=2, num_workers=1)
    with pytest.raises(ConfigError, match=r"is killed by signal|exited unexpectedly") as error:
        fit(model, data)

    assert error.value.findings[0].title == "data worker failed"


class Dying(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        os._exit(3)
