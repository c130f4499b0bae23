"""Judging a checkpoint: validation's own numbers to the bit, those of plain torch, and nothing of the run changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, Notes, PairIO, fit, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.loss import LossOutput, TorchLoss
from otrainer.components.metrics import TorchMetric
from otrainer.engine.evaluation import Evaluation, evaluate_checkpoint
from otrainer.engine.parts import Parts
from otrainer.engine.predictions import Arrays
from otrainer.engine.state import RunSettings
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError

RUN = {"name": "test", "out_dir": "runs/test"}


class Net(nn.Module):
    """Normalisation and dropout, which act otherwise in training."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Dropout(0.3))
        self.head = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.body(x))
        return y


def data() -> Batches:
    """Two validation batches of another size each, so that their mean is a weighted one."""
    return Batches(random_batches(4), [*random_batches(1, seed=5), *random_batches(1, size=3, seed=6)])


def metrics() -> list[Any]:
    return [TorchMetric("MeanAbsoluteError")]


def trained(folder: Path, **more: Any) -> tuple[Notes, Path]:
    """The rows of a small training, and its last checkpoint."""
    notes, where = Notes(), ModelCheckpoint(str(folder))
    torch.manual_seed(3)
    more = {"metrics": metrics(), "data": data(), "trainer": {"max_epochs": 3}, **more}
    fit(Net(), loggers=[notes], callbacks=[where], run=dict(RUN), **more)
    return notes, folder / "last.pt"


def judged(checkpoint: Path, **more: Any) -> Evaluation:
    """The evaluation of a new model with the weights of a checkpoint; `more` are parts, or arguments of the call."""
    how = {name: more.pop(name) for name in ("split", "keeps") if name in more}
    trainer = more.pop("trainer", DefaultTrainer())
    parts: dict[str, Any] = {
        "model": Net(),
        "datamodule": data(),
        "io": PairIO(),
        "loss": TorchLoss(nn.MSELoss()),
        "optimizer_factory": None,
        "metrics": metrics(),
    }
    return evaluate_checkpoint(trainer, Parts(**{**parts, **more}), RunSettings.of(RUN), checkpoint, **how)


def last_values(notes: Notes) -> dict[str, float]:
    return [row for stage, _, row in notes.rows if stage == "val"][-1]


@pytest.mark.parametrize("averaging", [{}, {"ema": {"decay": 0.8}}, {"swa": {"from_step": 5}}])
def test_it_comes_to_what_validation_came_to_when_the_checkpoint_was_taken(tmp_path: Path, averaging: Any) -> None:
    """Averages, where the run takes some, are what is for use."""
    notes, checkpoint = trained(tmp_path, trainer={"max_epochs": 3, **averaging})
    found = judged(checkpoint)

    assert found.values == last_values(notes)
    assert set(found.values) == {"val_loss", "val_mean_absolute_error"}
    assert (found.step, found.epoch, found.batches, found.samples) == (12, 2, 2, 11)


def test_a_checkpoint_of_the_weights_alone_comes_to_the_same_values(tmp_path: Path) -> None:
    fit(
        Net(),
        data(),
        metrics=metrics(),
        trainer={"max_epochs": 3, "ema": {"decay": 0.8}},
        callbacks=[ModelCheckpoint(str(tmp_path), every_n_epochs=3, weights_only=True)],
        run=dict(RUN),
    )
    alone, whole = judged(tmp_path / "step_12.pt"), judged(tmp_path / "last.pt")
    assert (alone.values, alone.step, alone.samples) == (whole.values, whole.step, whole.samples)


def test_it_comes_to_what_plain_torch_comes_to(tmp_path: Path) -> None:
    _, checkpoint = trained(tmp_path)
    model = Net().eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    with torch.no_grad():
        losses = [(nn.functional.mse_loss(model(each["x"]), each["y"]).item(), len(each["x"])) for each in data().val]
        outputs = torch.cat([model(each["x"]) for each in data().val])
    arrays = Arrays()
    found = judged(checkpoint, keeps=arrays)

    assert found.values["val_loss"] == sum(loss * count for loss, count in losses) / 11
    kept = arrays.arrays()
    assert set(kept) == {"outputs", "targets.y"}
    assert np.array_equal(kept["outputs"], outputs.numpy())
    assert np.array_equal(kept["targets.y"], torch.cat([each["y"] for each in data().val]).numpy())


def test_keeping_outputs_changes_no_value_and_evaluating_changes_no_checkpoint(tmp_path: Path) -> None:
    _, checkpoint = trained(tmp_path)
    before = hashlib.sha256(checkpoint.read_bytes()).hexdigest()

    assert judged(checkpoint).values == judged(checkpoint, keeps=Arrays()).values
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_what_draws_in_evaluation_draws_the_same_each_time(tmp_path: Path) -> None:
    class Noisy(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + torch.randn(())

    _, checkpoint = trained(tmp_path)
    first = judged(checkpoint, model=Noisy()).values
    torch.randn(7)

    assert judged(checkpoint, model=Noisy()).values == first


class Scaled(nn.Module):
    """A loss with a parameter that trains."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(self.scale * nn.functional.mse_loss(outputs, targets["y"]), {"scale": self.scale})


def test_a_loss_is_as_training_left_it(tmp_path: Path) -> None:
    notes, checkpoint = trained(tmp_path, loss=Scaled())

    assert last_values(notes)["val_scale"] != 2.0
    assert judged(checkpoint, loss=Scaled()).values == last_values(notes)


class OwnTrainer(DefaultTrainer):
    def validation_step(self, ctx: Any, batch: Any) -> Any:
        outputs = ctx.forward(batch["x"])
        ctx.update_metrics(outputs, {"y": batch["y"]}, batch)
        return {"error": (outputs - batch["y"]).abs().mean()}


def test_a_trainer_judges_by_its_own_step(tmp_path: Path) -> None:
    notes, checkpoint = trained(tmp_path, trainer=OwnTrainer(max_epochs=2))
    kept = Arrays()
    found = judged(checkpoint, trainer=OwnTrainer(), keeps=kept)

    assert found.values == last_values(notes)
    assert set(found.values) == {"val_error", "val_mean_absolute_error"}
    assert kept.arrays()["outputs"].shape == (11, 1)


def samples(count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    return [{name: each[name][0] for name in each} for each in random_batches(count, size=1, seed=seed)]


def test_each_split_of_the_data_can_be_judged_by(tmp_path: Path) -> None:
    """In order, whole and without shuffling, the training data too."""
    parts = {"train": samples(10, 1), "val": samples(5, 2), "test": samples(7, 3)}
    whole = DatasetDataModule(**parts, batch_size=4, drop_last=True)
    _, checkpoint = trained(tmp_path, data=whole)

    for split, own in parts.items():
        arrays = Arrays()
        found = judged(checkpoint, datamodule=DatasetDataModule(**parts, batch_size=4), split=split, keeps=arrays)
        assert found.samples == len(own)
        kept = arrays.arrays()["targets.y"]
        assert np.array_equal(kept, torch.stack([each["y"] for each in own]).numpy())


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_split_that_the_data_do_not_have_is_told(tmp_path: Path, split: str) -> None:
    _, checkpoint = trained(tmp_path)
    with pytest.raises(ConfigError, match=f"no `{split}` to judge by") as caught:
        judged(checkpoint, datamodule=Batches(random_batches(2)), split=split)
    assert caught.value.findings[0].config_path == ("data",)


def test_the_checkpoint_of_another_model_is_refused_by_what_does_not_fit(tmp_path: Path) -> None:
    _, checkpoint = trained(tmp_path)
    with pytest.raises(ConfigError, match=r"body\.0\.weight") as caught:
        judged(checkpoint, model=Net(width=5))
    assert caught.value.findings[0].config_path[:1] == ("model",)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    _, checkpoint = trained(tmp_path)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        judged(checkpoint)


def test_outputs_that_cannot_be_laid_one_after_the_other_are_left_out_and_told(caplog: Any) -> None:
    """What is not by samples, what changes its shape, and what is not there each time."""
    kept = Arrays()
    for length, also in ((3, {"once": torch.zeros(2)}), (4, {})):
        outputs = {"by_length": torch.zeros(2, length), "mean": torch.tensor(1.0), "half": torch.ones(2).bfloat16()}
        kept.update(outputs={**outputs, **also}, targets=None, batch=None, stage="val")
        kept.end_batch(2)

    assert {name: each.tolist() for name, each in kept.arrays().items()} == {"outputs.half": [1.0] * 4}
    assert all(f"`outputs.{name}` is not among" in caplog.text for name in ("by_length", "mean", "once"))
