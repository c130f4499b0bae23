"""Data modules of every kind that people have, over the same random samples."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from campaigns.plain.data import Samples, chunks, draw_samples, shape_batch
from campaigns.plain.losses import LOSSES
from campaigns.plain.models import MODELS
from support import Batches
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, WeightedRandomSampler

from otrainer.components.data import DatasetDataModule

from .draw import Experiment


class Rows(Dataset[Any]):
    """Samples by number."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.samples.row(index)


class Jittered(Rows):
    """Samples with noise of a generator that the dataset holds itself."""

    def __init__(self, samples: Samples) -> None:
        super().__init__(samples)
        self.generator = np.random.default_rng(9)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self.samples.row(index)
        if row["x"].is_floating_point():
            row["x"] = row["x"] + self.generator.normal() * 0.1
        return row


class OfEpochs(Rows):
    """Samples that grow with the epochs, of which it is told."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        row = self.samples.row(index)
        return {**row, "x": row["x"] * (1 + self.epoch)} if row["x"].is_floating_point() else row


class ByEpoch(Sampler[int]):
    """An order that depends on the epoch, of which it is told."""

    def __init__(self, count: int) -> None:
        self.count, self.epoch = count, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.count, generator=torch.Generator().manual_seed(self.epoch)).tolist())


class OwnBatches(Sampler[list[int]]):
    """Batches of numbers, shuffled by a `random.Random` of its own."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size, self.random = count, size, random.Random(12)

    def __len__(self) -> int:
        return len(chunks(self.count, self.size))

    def __iter__(self) -> Iterator[list[int]]:
        order = self.random.sample(range(self.count), self.count)
        return iter([[order[i] for i in chunk] for chunk in chunks(self.count, self.size)])


class Read(IterableDataset[Any]):
    """Samples one after the other, shuffled by the global generator."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return map(self.samples.row, torch.randperm(len(self.samples)).tolist())


class Resumable(Read):
    """A stream that knows how far it was read, over the ends of epochs too."""

    def __init__(self, samples: Samples) -> None:
        super().__init__(samples)
        self.at = self.round = 0

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        count = len(self.samples)
        while self.at < count:
            index = (self.at * 5 + self.round) % count if count % 5 else self.at
            self.at += 1
            yield self.samples.row(index)
        self.at, self.round = 0, self.round + 1

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at, "round": self.round}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at, self.round = state["at"], state["round"]


DATASETS = {
    "data.dataset": Rows,
    "data.dataset, two workers": Rows,
    "iterable": Read,
    "iterable with state": Resumable,
    "dataset with a generator": Jittered,
    "dataset of epochs": OfEpochs,
}


def samples_of(drawn: Experiment, stage: str) -> Samples:
    """The samples of a stage; validation has fewer, or so many that its last batch is small."""
    count = {"train": drawn.samples, "val": 8 if drawn.val == "as training" else 7}[stage]
    takes, targets = MODELS[drawn.model].takes, LOSSES[drawn.loss].targets
    return draw_samples(takes, targets, count, drawn.seed * 2 + (stage == "val"), drawn.dtype)


def data_module(drawn: Experiment) -> Any:
    """What hands out the batches of an experiment: new, as for each stretch of a training."""
    train = samples_of(drawn, "train")
    val = None if drawn.val == "none" else samples_of(drawn, "val")
    collate = partial(shape_batch, form=drawn.batch, time_first=drawn.time_first)
    kind, size = drawn.loader, drawn.batch_size
    if kind in DATASETS:
        cls: Any = DATASETS[kind]
        workers = 2 if kind.endswith("workers") else 0
        held = None if val is None else Rows(val)
        return DatasetDataModule(cls(train), held, batch_size=size, num_workers=workers, collate=collate)
    listed = None if val is None else [collate([val.row(i) for i in chunk]) for chunk in chunks(len(val), size)]
    if kind == "list":
        return Batches([collate([train.row(i) for i in chunk]) for chunk in chunks(len(train), size)], listed)
    if kind == "generator":
        return Batches(lambda: generated(train, size, collate), None if listed is None else lambda: iter(listed))
    return Batches(DataLoader(Rows(train), collate_fn=collate, **options_of(kind, len(train), size)), listed)


def options_of(kind: str, count: int, size: int) -> dict[str, Any]:
    """What torch's DataLoader is told of the order, with generators that are its own."""
    if kind == "DataLoader, own batches":
        return {"batch_sampler": OwnBatches(count, size)}
    options: dict[str, Any] = {"batch_size": size, "shuffle": True}
    if kind == "DataLoader, own generator":
        options["generator"] = torch.Generator().manual_seed(21)
    if kind == "DataLoader, own sampler":
        chances, generator = [1.0 + i % 3 for i in range(count)], torch.Generator().manual_seed(22)
        options.update(shuffle=False, sampler=WeightedRandomSampler(chances, count, generator=generator))
    if kind == "DataLoader, epochs' sampler":
        options.update(shuffle=False, sampler=ByEpoch(count))
    return options


def generated(samples: Samples, size: int, collate: Any) -> Iterator[Any]:
    order = torch.randperm(len(samples)).tolist()
    for chunk in chunks(len(samples), size):
        yield collate([samples.row(order[i]) for i in chunk])
