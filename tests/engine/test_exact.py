"""Stopped at any point and continued, twice in one epoch, a run comes to the same bits as when it is not stopped."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, fit, small_model
from torch.utils.data import Dataset

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.io import ArgsKwargs
from otrainer.components.loggers import JsonLinesLogger
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.interrupt import StopRequest, TrainingInterrupted
from otrainer.engine.parts import same

EPOCHS, TRAIN, VAL, SIZE = 3, 5, 2, 4
CALLS = EPOCHS * (TRAIN + VAL)  # how often `split` is asked in a whole run
SCHEDULERS = {
    "step": {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": 9}, "interval": "step"},
    "epoch": {"type": "sched_cls.StepLR", "kwargs": {"step_size": 1, "gamma": 0.5}, "interval": "epoch"},
    "metric": {
        "type": "sched_cls.ReduceLROnPlateau",
        "kwargs": {"patience": 0, "factor": 0.5},
        "interval": "metric",
        "monitor": "val_loss",
    },
}


def augmented(number: int) -> dict[str, torch.Tensor]:
    """A sample that draws from each of the three global generators."""
    noise = torch.rand(4) + float(np.random.rand()) + random.random()  # noqa: S311 - what augmentations do
    x = torch.full((4,), number / 20) + noise
    return {"id": torch.tensor(number), "x": x, "y": x.sum(0, keepdim=True)}


class Augmented(Dataset[Any]):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return augmented(index)


def generated(count: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of a loader that is a plain generator: a shuffled order, and noise."""
    for number in torch.randperm(count).tolist():
        rows = [augmented(number * SIZE + index) for index in range(SIZE)]
        yield {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def data(kind: str) -> Any:
    if kind == "generator":
        return Batches(lambda: generated(TRAIN), lambda: generated(VAL))
    workers = int(kind[-1])
    return DatasetDataModule(
        Augmented(TRAIN * SIZE - 1), Augmented(VAL * SIZE), batch_size=SIZE, shuffle=True, num_workers=workers
    )


class SignallingIO:
    """Notes which samples are trained on, and sends this process a signal when it is asked for one of the batches."""

    def __init__(self, at: int | None, ids: list[int]) -> None:
        self.at, self.ids, self.calls = at, ids, 0

    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, Any, Any]:
        if stage == "train":
            self.ids += batch["id"].tolist()
        if self.calls == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        self.calls += 1
        return ArgsKwargs(args=(batch["x"],)), {"y": batch["y"]}, None


class MeanAbsolute:
    """A metric whose state is a running sum, kept by its plain attributes."""

    def __init__(self) -> None:
        self.reset()

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        self.sums[stage] = self.sums.get(stage, 0.0) + float((outputs - targets["y"]).abs().mean())

    def compute(self) -> dict[str, float]:
        return {f"{stage}_mae": value for stage, value in self.sums.items()}

    def reset(self) -> None:
        self.sums: dict[str, float] = {}


def train(
    folder: Path, kind: str, interval: str, ids: list[int], *, at: int | None = None, goes_on: bool = False
) -> None:
    """One stretch of training with everything in it that has state."""
    model = small_model()
    model.insert(1, torch.nn.Dropout(0.3))  # type: ignore[operator]  # it is a Sequential
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    with StopRequest():
        fit(
            model,
            data(kind),
            io=SignallingIO(at, ids),
            trainer={"max_epochs": EPOCHS, "grad_accum_steps": 2, "log_every_n_steps": 1, "grad_clip_norm": 1.0},
            optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-2}},
            scheduler=SCHEDULERS[interval],
            metrics=[MeanAbsolute()],
            callbacks=[ModelCheckpoint(str(folder), monitor="val_loss")],
            loggers=[JsonLinesLogger(str(folder / "rows.jsonl"))],
            run={"seed": 7, **({"resume_from": str(folder / "last.pt")} if goes_on else {})},
        )


def what_differs(one: Path, other: Path) -> list[str]:
    """The parts in which the last checkpoints differ."""
    first, second = load_checkpoint(one / "last.pt"), load_checkpoint(other / "last.pt")
    assert first.keys() == second.keys()
    return [name for name in first if not same(dict(first)[name], dict(second)[name])]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs that are never stopped, each trained once: their folders, and the samples in their order."""
    known: dict[tuple[str, str], tuple[Path, list[int]]] = {}

    def run(kind: str, interval: str) -> tuple[Path, list[int]]:
        if (kind, interval) not in known:
            folder, ids = tmp_path_factory.mktemp(f"{kind}-{interval}"), list[int]()
            train(folder, kind, interval, ids)
            known[kind, interval] = folder, ids
        return known[kind, interval]

    return run


def check(tmp_path: Path, whole: Any, kind: str, interval: str, at: int) -> None:
    folder, ids = whole(kind, interval)
    mine: list[int] = []
    goes_on = False
    for stop in (at, 1):  # then at once again, in the same epoch
        with suppress(TrainingInterrupted):
            train(tmp_path, kind, interval, mine, at=stop, goes_on=goes_on)
        goes_on = True
    train(tmp_path, kind, interval, mine, goes_on=True)

    assert what_differs(folder, tmp_path) == []
    assert mine == ids
    assert (tmp_path / "rows.jsonl").read_bytes() == (folder / "rows.jsonl").read_bytes()


@pytest.mark.parametrize("at", range(CALLS))
@pytest.mark.parametrize("interval", SCHEDULERS)
def test_a_signal_at_any_batch_changes_nothing(tmp_path: Path, whole: Any, interval: str, at: int) -> None:
    """Also in the middle of an accumulated step, at the edges of epochs, and in validation."""
    check(tmp_path, whole, "dataset, workers: 0", interval, at)


@pytest.mark.parametrize("at", range(CALLS))
def test_nor_does_it_where_the_data_are_a_generator(tmp_path: Path, whole: Any, at: int) -> None:
    check(tmp_path, whole, "generator", list(SCHEDULERS)[at % len(SCHEDULERS)], at)


@pytest.mark.parametrize("at", range(0, CALLS, 4))
def test_nor_does_it_with_data_workers(tmp_path: Path, whole: Any, at: int) -> None:
    check(tmp_path, whole, "dataset, workers: 2", "step", at)


def test_the_number_of_workers_changes_nothing(whole: Any) -> None:
    here, there = whole("dataset, workers: 0", "step"), whole("dataset, workers: 2", "step")

    assert what_differs(here[0], there[0]) == []
    assert here[1] == there[1]
