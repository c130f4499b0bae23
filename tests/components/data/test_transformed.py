"""transform and train_transform of data.dataset: samples as a plain program makes them, whoever reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import StopAt, fit, parameters_of, small_model
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.data.samplers import WeightedSampler
from otrainer.engine.data.loader import Loader
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

SEED = 7


def samples() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(22, 4, generator=generator), torch.randn(22, 1, generator=generator)
    return [{"x": x[index], "y": y[index], "label": index % 3} for index in range(22)]


def halved(x: torch.Tensor) -> torch.Tensor:
    return x / 2


def data(**options: Any) -> DatasetDataModule:
    given: dict[str, Any] = {
        "batch_size": 4,
        "transform": {"x": halved},
        "train_transform": {"x": [nn.Dropout(0.5)]},
        "split": {"val": 5},
    }
    return DatasetDataModule(samples(), **{**given, **options})


def epoch_of(module: DatasetDataModule, epoch: int = 0) -> list[Any]:
    return list(Loader(module.train_dataloader, seed=SEED, stage="train").epoch(epoch))


def train(folder: Path, *, stop_at: int | None = None, resume: bool = False, workers: int = 0) -> torch.Tensor:
    with StopRequest():
        model = fit(
            small_model(),
            data(num_workers=workers),
            trainer={"max_epochs": 2},
            callbacks=[ModelCheckpoint(str(folder)), StopAt(stop_at)],
            run={"seed": SEED, **({"resume_from": str(folder / "last.pt")} if resume else {})},
        )
    return parameters_of(model)


def test_training_samples_go_through_both_in_order_and_the_others_through_one() -> None:
    rows, whole = samples(), epoch_of(data())
    (judged,) = data(val_batch_size=30).batches_of("val") or ()
    x, y = (torch.cat([batch[name] for batch in whole]) for name in ("x", "y"))
    by_target = {float(row["y"]): row["x"] for row in rows}
    plain = torch.stack([by_target[float(value)] for value in y])

    assert torch.equal(judged["x"] * 2, torch.stack([by_target[float(value)] for value in judged["y"]]))
    assert torch.equal(x, torch.where(x == 0, x, plain))  # doubled by Dropout, then halved
    assert 0.3 < float((x == 0).float().mean()) < 0.7


def test_random_numbers_differ_by_epoch_and_sample_and_not_by_workers() -> None:
    first, second, by_workers = epoch_of(data()), epoch_of(data(), 1), epoch_of(data(num_workers=2))

    assert all(torch.equal(one["x"], other["x"]) for one, other in zip(first, by_workers, strict=True))
    masks = [tuple((row == 0).tolist()) for batch in (*first, *second) for row in batch["x"]]
    assert len(set(masks)) > 8


@pytest.mark.parametrize("stops", [(1, 2), (4, 5), (5, 8)])
def test_a_run_that_is_stopped_twice_ends_with_the_same_bits(tmp_path: Path, stops: tuple[int, int]) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", stop_at=stops[0])
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", stop_at=stops[1], resume=True, workers=1)

    assert torch.equal(train(tmp_path / "broken", resume=True), whole)


def test_whole_samples_are_given_to_a_transform_and_samplers_go_by_what_was_there_before() -> None:
    def without_label(sample: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in sample.items() if name != "label"}

    options = {"train_transform": None, "transform": [without_label], "sampler": WeightedSampler(by="label")}

    assert epoch_of(data(**options))[0].keys() == {"x", "y"}


def test_what_cannot_be_transformed_is_told() -> None:
    for workers in (0, 1):
        with pytest.raises(ConfigError, match="has no field `z`; it has `x`, `y`, `label`") as told:
            epoch_of(data(transform={"z": halved}, num_workers=workers))
        assert told.value.findings[0].title == "unknown field"
    with pytest.raises(ValueError, match=r"transform\.x is a spec of what is called with a sample"):
        data(transform={"x": 3})
    with pytest.raises(ValueError, match="transform is for map-style datasets"):
        DatasetDataModule(iter(samples()), transform=halved)
