"""A step that fails half-way leaves nothing behind: what is saved then goes on as if it had not been tried."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, fit, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.errors import ConfigError

FAILS_AT = 5


class Drawing(nn.Module):
    """Draws from every global generator, and has buffers that move: by normalisation, and by hand."""

    def __init__(self, break_in: str | None = None) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.layer, self.norm, self.drop = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3)
        self.out = nn.Linear(6, 1)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mask", torch.zeros(6))
        self.register_buffer("mean", torch.zeros(()))
        self.break_in, self.calls, self.scale = break_in, 0, 1.0
        self.recent: deque[float] = deque(maxlen=3)
        self.by_name = {"sizes": [0], "sum": torch.zeros(6)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        y = self.drop(self.norm(self.layer(x)))
        if self.training:
            self.seen += y.detach().mean()
            self.mean = 0.9 * self.mean + y.detach().mean()  # another tensor, not the one that was registered
            self.recent.append(float(y.detach().sum()))
            self.by_name["sizes"][0] += 1
            self.by_name["sum"] += y.detach().sum(dim=0)
            self.scale = 0.9 * self.scale + 0.01 * self.by_name["sizes"][0]
            y = y * self.scale + sum(self.recent) / 100 + self.by_name["sum"] / 100 + self.mean
            y = y + 0.01 * float(np.random.rand()) + 0.01 * random.gauss(0, 1)
        self.fail("forward")
        return self.out(y)

    def fail(self, where: str) -> None:
        if self.break_in == where and self.training and self.calls == FAILS_AT:
            raise ValueError(f"broken in {where}")


class Breaking:
    """A loss, metric and callback that fails where it is told to."""

    def __init__(self, model: Drawing) -> None:
        self.model = model

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        self.model.fail("loss")
        loss = ((outputs - targets["y"]) ** 2).mean()
        if self.model.training and self.model.break_in == "backward" and self.model.calls == FAILS_AT:
            outputs.register_hook(lambda _: self.model.fail("backward"))
        return LossOutput(loss)


class Data(Batches):
    """Batches, one of which cannot be read."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken

    def train_dataloader(self) -> Any:
        for number, batch in enumerate(random_batches(8), 1):
            if self.broken and number == FAILS_AT:
                raise ValueError("broken in data")
            yield batch

    def val_dataloader(self) -> Any:
        return random_batches(2, seed=6)


def run(folder: Path, break_in: str | None, resume: str | None = None) -> dict[str, Any]:
    model = Drawing(break_in)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    run = {"resume_from": resume} if resume else {}
    data = Data(broken=break_in == "data")
    fit(model, data, loss=Breaking(model), trainer={"max_epochs": 2}, callbacks=[ModelCheckpoint(str(folder))], run=run)
    return load_checkpoint(folder / "last.pt")


@pytest.mark.parametrize("place", ["data", "forward", "loss", "backward"])
def test_a_run_that_failed_within_a_step_goes_on_to_the_bits_of_one_that_did_not(tmp_path: Path, place: str) -> None:
    with pytest.raises(ValueError, match=f"broken in {place}"):
        run(tmp_path / "broken", place)
    saved = load_checkpoint(tmp_path / "broken/last.pt")
    assert saved["train_state"]["global_step"] == FAILS_AT - 1

    went_on = run(tmp_path / "on", None, str(tmp_path / "broken/last.pt"))
    straight = run(tmp_path / "straight", None)
    for name, value in straight["model"].items():
        assert torch.equal(went_on["model"][name], value), name
    assert torch.equal(went_on["rng"]["torch"], straight["rng"]["torch"])
    assert torch.equal(went_on["rng"]["python"]["words"], straight["rng"]["python"]["words"])
    assert torch.equal(went_on["rng"]["numpy"]["words"], straight["rng"]["numpy"]["words"])


@pytest.mark.parametrize("where", ["val_dataloader", "metric", "monitor", "hook"])
def test_whatever_fails_at_an_epoch_s_end_its_steps_are_saved(tmp_path: Path, where: str) -> None:
    class Late:
        """Fails after the batch that is tried out."""

        def __init__(self) -> None:
            self.trained = False

        def on_train_step_end(self, ctx: Any) -> None:
            self.trained = True

        def update(self, *, stage: str, **_: Any) -> None:
            if where == "metric" and stage == "val" and self.trained:
                raise ValueError("broken")

        def on_epoch_end(self, ctx: Any) -> None:
            if where == "hook":
                raise ValueError("broken")
            if where == "monitor":
                raise ConfigError("broken")

        def val(self) -> Any:
            first, second = random_batches(2)
            yield first
            if where == "val_dataloader" and self.trained:
                raise ValueError("broken")
            yield second

    late = Late()
    with pytest.raises((ValueError, ConfigError), match="broken"):
        fit(
            Drawing(),
            Batches(random_batches(8), late.val),
            metrics=[late],
            callbacks=[late, ModelCheckpoint(str(tmp_path))],
        )

    progress = load_checkpoint(tmp_path / "last.pt")["train_state"]
    assert (progress["global_step"], progress["micro_step_in_epoch"], progress["epoch_complete"]) == (8, 8, False)


def test_a_gradient_that_is_no_number_behind_a_finite_loss_is_told_at_its_own_step(tmp_path: Path) -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.layer(x) * x.abs().sum(1, keepdim=True)).pow(2).sqrt()

    batches = random_batches(6)
    batches[3]["x"][0] = 0.0
    for clip in (None, 1.0):
        with pytest.raises(ConfigError, match="The loss of step 4") as error:
            fit(Root(), Batches(batches), trainer={"grad_clip_norm": clip}, callbacks=[ModelCheckpoint(str(tmp_path))])
        assert "`layer.weight`" in error.value.findings[0].message
        assert error.value.findings[0].title == "gradient is not finite"
    assert load_checkpoint(tmp_path / "last.pt")["train_state"]["global_step"] == 3


class CountsAll:
    """A metric that counts what it sees, and fails once where it is told to."""

    def __init__(self, name: str, fails_at: int | None = None) -> None:
        self.name, self.fails_at, self.sizes = name, fails_at, list[int]()

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        if len(self.sizes) == self.fails_at:
            raise ValueError("broken metric")
        self.sizes.append(len(outputs))

    def compute(self) -> dict[str, float]:
        return {f"train_{self.name}": float(len(self.sizes))}


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_metrics_that_saw_a_step_that_failed_see_none_of_it_twice(tmp_path: Path, accumulate: int) -> None:
    def counted(folder: Path, fails_at: int | None = None, resume: str | None = None) -> list[list[int]]:
        metrics = [CountsAll("before"), CountsAll("failing", fails_at), CountsAll("after")]
        callbacks, run = [ModelCheckpoint(str(folder))], {"resume_from": resume} if resume else {}
        trainer = {"max_epochs": 1, "grad_accum_steps": accumulate}
        batches = random_batches(4) + random_batches(2, size=5)
        fit(Drawing(), Batches(batches), trainer=trainer, metrics=metrics, callbacks=callbacks, run=run)
        return [metric.sizes for metric in metrics]

    with pytest.raises(ValueError, match="broken metric"):
        counted(tmp_path / "broken", fails_at=4)

    went_on = counted(tmp_path / "on", resume=str(tmp_path / "broken/last.pt"))
    assert went_on == counted(tmp_path / "straight") == [[8, 8, 8, 8, 5, 5]] * 3
