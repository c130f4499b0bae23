"""Matrices and curves of metrics are kept as arrays of each validation, the same across stops, and never as columns."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, Notes, PairIO, StopAt, fit
from torch import nn
from torchmetrics.classification import MulticlassConfusionMatrix

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loggers import JsonLinesLogger
from otrainer.components.loss import TorchLoss
from otrainer.components.metrics import TorchMetric
from otrainer.engine.arrays import Array
from otrainer.engine.evaluation import evaluate_checkpoint
from otrainer.engine.parts import Parts
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunSettings
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError

CLASSES = {"num_classes": 3}


def batches(count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {"x": torch.randn(8, 4, generator=generator), "y": torch.randint(0, 3, (8,), generator=generator)}
        for _ in range(count)
    ]


def classifier() -> nn.Module:
    torch.manual_seed(2)
    return nn.Linear(4, 3)


def metrics() -> list[Any]:
    kinds = {"confusion": "classification.MulticlassConfusionMatrix", "accuracy": "classification.MulticlassAccuracy"}
    curve = {"metric": "classification.MulticlassROC", "kwargs": {**CLASSES, "average": "micro"}}
    return [TorchMetric(kind, kwargs=CLASSES, name=name) for name, kind in kinds.items()] + [TorchMetric(**curve)]


def train(folder: Path, *, stop_at: int | None = None, val: Any = None, **run: Any) -> tuple[nn.Module, Notes]:
    model, notes = classifier(), Notes()
    with StopRequest():
        fit(
            model,
            Batches(batches(4, 1), batches(2, 5) if val is None else val),
            loss=TorchLoss(nn.CrossEntropyLoss()),
            optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.5}},
            trainer={"max_epochs": 2, "val_every_n_steps": 2},
            metrics=metrics(),
            callbacks=[StopAt(stop_at), ModelCheckpoint(str(folder / "saved"), every_n_steps=1)],
            loggers=[notes, JsonLinesLogger(str(folder / "rows.jsonl"))],
            run={"name": "test", "out_dir": str(folder), "seed": 7, **run},
        )
    return model, notes


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """All arrays in a run's folder, as lists."""
    found = {}
    for path in sorted((folder / "arrays").iterdir()):
        with np.load(path) as arrays:
            found[path.name] = {name: arrays[name].tolist() for name in arrays.files}
    return found


def test_a_matrix_is_that_of_torchmetrics_itself_and_no_column(tmp_path: Path) -> None:
    model, notes = train(tmp_path)
    files = kept(tmp_path)
    assert list(files) == ["metrics-4.npz", "metrics-8.npz", *(f"val-{step}.npz" for step in (2, 4, 6, 8))]

    plain = MulticlassConfusionMatrix(**CLASSES)
    with torch.no_grad():
        for batch in batches(2, 5):
            plain.update(model(batch["x"]), batch["y"])
    assert files["val-8.npz"]["val_confusion"] == plain.compute().tolist()
    assert set(files["val-8.npz"]) == {"val_confusion", *(f"val_multiclass_roc_{at}" for at in range(3))}
    columns = {name for _, _, row in notes.rows for name in row}
    assert columns == {"loss", "lr", "val_loss", "val_accuracy", "train_accuracy"}


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 5, 6])
def test_they_are_the_same_where_training_was_stopped_and_went_on(tmp_path: Path, stop_at: int) -> None:
    train(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", stop_at=stop_at)
    train(tmp_path / "broken", resume_from=str(tmp_path / "broken/saved/last.pt"))
    assert kept(tmp_path / "broken") == kept(tmp_path / "whole")


def test_each_of_several_validation_sets_has_its_own(tmp_path: Path) -> None:
    train(tmp_path, val={"a": batches(1, 5), "b": batches(1, 6)})
    found = {name: np.array(value) for name, value in kept(tmp_path)["val-8.npz"].items() if "confusion" in name}
    assert list(found) == ["val_confusion/a", "val_confusion/b", "val_confusion"]
    assert (found["val_confusion"] == found["val_confusion/a"] + found["val_confusion/b"]).all()


def test_an_evaluation_has_them_as_json_takes_them(tmp_path: Path) -> None:
    train(tmp_path)
    parts: dict[str, Any] = {
        "model": classifier(),
        "datamodule": Batches(batches(4, 1), batches(2, 5)),
        "io": PairIO(),
        "loss": TorchLoss(nn.CrossEntropyLoss()),
        "optimizer_factory": None,
        "metrics": metrics(),
    }
    run = RunSettings.of({"name": "test", "out_dir": str(tmp_path)})
    found = evaluate_checkpoint(DefaultTrainer(), Parts(**parts), run, tmp_path / "saved/last.pt")
    assert found.arrays["val_confusion"].listed() == kept(tmp_path)["val-8.npz"]["val_confusion"]
    assert "val_confusion" not in found.values
    assert json.dumps(Array([1.0, math.inf, math.nan]).listed(), allow_nan=False) == "[1.0, null, null]"


def test_one_that_no_logger_keeps_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "otrainer"):
        fit(
            classifier(),
            Batches(batches(1, 1), batches(1, 5)),
            loss=TorchLoss(nn.CrossEntropyLoss()),
            trainer={"max_epochs": 2},
            metrics=metrics()[:1],
        )
    assert caplog.text.count("no logger keeps arrays") == 1


def test_an_array_cannot_be_watched() -> None:
    with pytest.raises(ConfigError, match="val_confusion` names a value that validation did not log"):
        fit(
            classifier(),
            Batches(batches(1, 1), batches(1, 5)),
            loss=TorchLoss(nn.CrossEntropyLoss()),
            metrics=metrics()[:1],
            callbacks=[ModelCheckpoint("unused", monitor="val_confusion")],
        )
