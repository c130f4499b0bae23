"""Stopped at any batch and continued, twice in one epoch, a run comes to the same bits as when it is not stopped.

`python tests/campaigns/exact.py` stops runs of every kind of data and every interval of the schedule at each batch of
three epochs, and exits with 1 where one came to another end.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from support import Batches, fit, small_model
from torch.utils.data import Dataset

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.io import ArgsKwargs
from otrainer.components.loggers import JsonLinesLogger
from otrainer.engine import setup as session
from otrainer.engine.accelerator import Accelerator
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.compare import same
from otrainer.engine.signals import StopRequest, TrainingInterrupted

KINDS = ("workers: 0", "workers: 2", "generator", "scaler")
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
    noise = torch.rand(4) + float(np.random.rand()) + random.random()
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
    workers = int(kind[-1]) if kind.startswith("workers") else 0
    return DatasetDataModule(
        Augmented(TRAIN * SIZE - 1), Augmented(VAL * SIZE), batch_size=SIZE, shuffle=True, num_workers=workers
    )


class Scaling(Accelerator):
    """A device whose losses are scaled, as those of fp16 are; torch has the scaler for the CPU as well."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=2)


class SignallingIO:
    """Notes which samples are trained on, and sends this process a signal when it is asked for one of the batches."""

    def __init__(self, at: int | None, ids: list[int], *, tries: bool) -> None:
        self.at, self.ids, self.stages = at, ids, list[str]()
        self.tries = tries  # a batch of validation before all others, which does not count

    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, Any, Any]:
        if stage == "train":
            self.ids += batch["id"].tolist()
        if self.tries and not self.stages and stage == "val":
            self.tries = False
        else:
            if len(self.stages) == self.at:
                os.kill(os.getpid(), signal.SIGINT)
            self.stages.append(stage)
        return ArgsKwargs(args=(batch["x"],)), {"y": batch["y"]}, None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """It begins anew with each stretch."""


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
    with StopRequest(), devices(kind):
        fit(
            model,
            data(kind),
            io=SignallingIO(at, ids, tries=not goes_on),
            trainer={"max_epochs": EPOCHS, "grad_accum_steps": 2, "log_every_n_steps": 1, "grad_clip_norm": 1.0},
            optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-2}},
            scheduler=SCHEDULERS[interval],
            metrics=[MeanAbsolute()],
            callbacks=[ModelCheckpoint(str(folder), monitor="val_loss")],
            loggers=[JsonLinesLogger(str(folder / "rows.jsonl"))],
            run={"seed": 7, "out_dir": str(folder), **({"resume_from": str(folder / "last.pt")} if goes_on else {})},
        )


@contextmanager
def devices(kind: str) -> Iterator[None]:
    """With the kind `scaler` runs get a scaler."""
    before = session.Accelerator
    session.Accelerator = Scaling if kind == "scaler" else before  # type: ignore[misc]
    try:
        yield
    finally:
        session.Accelerator = before  # type: ignore[misc]


def what_differs(one: Path, other: Path) -> list[str]:
    """The parts in which the last checkpoints differ."""
    first, second = load_checkpoint(one / "last.pt"), load_checkpoint(other / "last.pt")
    assert first.keys() == second.keys()
    return [name for name in first if not same(dict(first)[name], dict(second)[name])]


class Whole:
    """Runs that are never stopped, each trained once: their folders, and the samples in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[tuple[str, str], tuple[Path, list[int]]] = {}

    def __call__(self, kind: str, interval: str) -> tuple[Path, list[int]]:
        if (kind, interval) not in self._known:
            folder, ids = self.folder / f"{len(self._known)}", list[int]()
            folder.mkdir()
            train(folder, kind, interval, ids)
            self._known[kind, interval] = folder, ids
        return self._known[kind, interval]


def differences(folder: Path, whole: Whole, kind: str, interval: str, at: int) -> list[str]:
    """In what a run that is stopped at batch `at`, and then at once again in the same epoch, differs in the end."""
    untouched, ids = whole(kind, interval)
    mine: list[int] = []
    goes_on = False
    for stop in (at, 1):
        with suppress(TrainingInterrupted):
            train(folder, kind, interval, mine, at=stop, goes_on=goes_on)
        goes_on = True
    train(folder, kind, interval, mine, goes_on=True)
    rows = [(each / "rows.jsonl").read_bytes() for each in (folder, untouched)]
    return [
        *what_differs(untouched, folder),
        *(["samples"] if mine != ids else []),
        *(["rows"] if rows[0] != rows[1] else []),
    ]


def main() -> int:
    logging.getLogger("otrainer").setLevel(logging.ERROR)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Whole(Path(folder))
        for kind, interval in itertools.product(KINDS, SCHEDULERS):
            found = {}
            for at in range(CALLS):
                with tempfile.TemporaryDirectory() as mine:
                    found[at] = differences(Path(mine), whole, kind, interval, at)
            bad = {at: parts for at, parts in found.items() if parts}
            print(f"{kind}, schedule by {interval}: {len(found)} runs stopped twice, {len(bad)} differ {bad or ''}")
            wrong += len(bad)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
