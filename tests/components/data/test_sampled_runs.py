"""Training on split and sampled data: as a plain torch program trains on them, and the same across two stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import StopAt, fit, parameters_of, small_model
from torch.utils.data import WeightedRandomSampler

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.data.samplers import BucketSampler, WeightedSampler
from otrainer.engine.seed import derive_seed
from otrainer.engine.signals import StopRequest, TrainingInterrupted

EPOCHS, SIZE, SEED = 3, 4, 7
LABELS = [0] * 17 + [1] * 5


def samples() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(22, 4, generator=generator), torch.randn(22, 1, generator=generator)
    return [{"x": x[index], "y": y[index], "label": label, "n": index % 6} for index, label in enumerate(LABELS)]


def train(folder: Path, data: DatasetDataModule, *, stop_at: int | None = None, resume: bool = False) -> torch.Tensor:
    with StopRequest():
        model = fit(
            small_model(),
            data,
            trainer={"max_epochs": EPOCHS},
            callbacks=[ModelCheckpoint(str(folder)), StopAt(stop_at)],
            run={"seed": SEED, **({"resume_from": str(folder / "last.pt")} if resume else {})},
        )
    return parameters_of(model)


def weighted() -> DatasetDataModule:
    return DatasetDataModule(samples(), batch_size=SIZE, sampler=WeightedSampler(by="label"))


def bucketed_fold() -> DatasetDataModule:
    fold = {"of": 3, "index": 1, "by": "label"}
    return DatasetDataModule(samples(), batch_size=SIZE, sampler=BucketSampler("n", pool=2), fold=fold)


def test_weighted_classes_train_as_a_plain_torch_program_does(tmp_path: Path) -> None:
    rows, model = samples(), small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    weights = [1 / LABELS.count(label) for label in LABELS]
    for epoch in range(EPOCHS):
        seed = derive_seed(derive_seed(SEED, "data", "train"), epoch, "order")
        order = list(WeightedRandomSampler(weights, len(rows), generator=torch.Generator().manual_seed(seed)))
        for first in range(0, len(order), SIZE):
            batch = [rows[index] for index in order[first : first + SIZE]]
            optimizer.zero_grad()
            x, y = (torch.stack([row[name] for row in batch]) for name in ("x", "y"))
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()

    assert torch.equal(train(tmp_path, weighted()), parameters_of(model))


@pytest.mark.parametrize("make", [weighted, bucketed_fold])
@pytest.mark.parametrize("stops", [(1, 2), (2, 5), (3, 4), (4, 8), (5, 6), (6, 7), (7, 11)])
def test_a_run_that_is_stopped_twice_ends_as_if_it_had_not_been(
    tmp_path: Path, make: Any, stops: tuple[int, int]
) -> None:
    whole = train(tmp_path / "whole", make())
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", make(), stop_at=stops[0])
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", make(), stop_at=stops[1], resume=True)

    assert torch.equal(train(tmp_path / "broken", make(), resume=True), whole)
