"""Neither the batch that is tried before the first step nor a step that fails half-way leaves a trace."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, fit, random_batches
from torch import nn
from torch.ao.quantization import FusedMovingAvgObsFakeQuantize

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import LossOutput
from otrainer.engine.checkpoint import load_checkpoint

BATCHES = 6
Parts = dict[str, Any]


class Model(nn.Module):
    """Two layers, with something between them that changes with each call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 1)
        self.calls = 0

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.between(self.first(x)))
        self.calls += self.training
        if self.calls == fails.at and self.training and fails.where == "forward":
            raise ValueError("broken in forward")
        return y


class Fails:
    """Where a training is to fail."""

    def __init__(self) -> None:
        self.at, self.where = 0, ""


fails = Fails()


class Quantised(Model):
    def __init__(self) -> None:
        super().__init__()
        self.observer = FusedMovingAvgObsFakeQuantize(quant_min=0, quant_max=255)

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return self.observer(y)


class Momentum(Model):
    """A frozen copy that follows the first layer, as in contrastive learning: by new data, or in place."""

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.key, self.in_place = copy.deepcopy(self.first).requires_grad_(False), in_place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            for its, mine in zip(self.first.parameters(), self.key.parameters(), strict=True):
                if self.in_place:
                    mine.mul_(0.9).add_(its, alpha=0.1)
                else:
                    mine.data = 0.9 * mine.data + 0.1 * its.data
        return super().forward(x) + 0.1 * self.key(x).mean(dim=1, keepdim=True)


class Draws(Model):
    def __init__(self, generator: Any) -> None:
        super().__init__()
        self.generator = generator

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y + 0.1 * drawn(self.generator)


def drawn(generator: Any) -> float:
    """One number of a generator of torch, numpy or Python."""
    if isinstance(generator, torch.Generator):
        return float(torch.randn((), generator=generator))
    return float(generator.normal() if isinstance(generator, np.random.Generator) else generator.gauss(0, 1))


class Uncounted(Model):
    """Buffers that are written so that torch counts no version of theirs."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.norm = norm
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("var", torch.ones(6))

    def between(self, y: torch.Tensor) -> torch.Tensor:
        if self.norm:
            nn.functional.batch_norm(y, self.mean, self.var, training=True)
        else:
            self.mean.data.mul_(0.9).add_(y.detach().mean(dim=0), alpha=0.1)
        return (y - self.mean) / self.var.sqrt()


class Tracker:
    def __init__(self) -> None:
        self.count, self.values = 0, [0.0]


class Helped(Model):
    """An object and a tuple, deep in a mapping, that are changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.held = {"x": (Tracker(), torch.zeros(1), [0])}

    def between(self, y: torch.Tensor) -> torch.Tensor:
        tracker, total, numbers = self.held["x"]
        tracker.count += 1
        tracker.values.append(float(y.detach().mean()))
        total += 1
        numbers[0] += 1
        return y * (1 + tracker.values[-1] + total / 100) + (numbers[0] + tracker.count) / 100


class EverySecond(Model):
    """What changes with every second step only: attributes, and what Python's and numpy's generators give."""

    def between(self, y: torch.Tensor) -> torch.Tensor:
        if self.training and self.calls % 2:
            self.scale = getattr(self, "scale", 1.0) * 0.9
            return y * self.scale + 0.1 * random.gauss(0, 1) + 0.1 * float(np.random.rand())
        return y


class Remembers:
    """A loss that is no module, counts its calls, and draws."""

    def __init__(self) -> None:
        self.calls, self.mean, self.generator = 0, 0.0, np.random.default_rng(3)

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        self.calls += 1
        loss = ((outputs - targets["y"]) ** 2).mean() * (1 + 1 / self.calls + 0.1 * drawn(self.generator))
        self.mean = 0.9 * self.mean + 0.1 * float(loss.detach())
        return LossOutput(loss + self.mean * outputs.mean())


class Noise:
    """An io that adds noise of its own."""

    def __init__(self) -> None:
        self.generator = random.Random(3)  # noqa: S311 - nothing is secret

    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, Any, Any]:
        return ArgsKwargs(args=(batch["x"] + 0.1 * drawn(self.generator),)), {"y": batch["y"]}, None


class FreezesNorm:
    """A callback that sets a norm to eval in the middle of an epoch."""

    def on_train_step_end(self, ctx: Any) -> None:
        if ctx.state.global_step == 3:
            ctx.model[0].eval()


def normed() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.BatchNorm1d(4), Model())


CASES: dict[str, Callable[[], Parts]] = {
    "torch's observer": lambda: {"model": Quantised()},
    "a momentum encoder": lambda: {"model": Momentum(in_place=False)},
    "a momentum encoder in place": lambda: {"model": Momentum(in_place=True)},
    "a generator of torch": lambda: {"model": Draws(torch.Generator().manual_seed(3))},
    "a generator of numpy": lambda: {"model": Draws(np.random.default_rng(3))},
    "a generator of Python": lambda: {"model": Draws(random.Random(3))},  # noqa: S311 - nothing is secret
    "a buffer by its data": lambda: {"model": Uncounted(norm=False)},
    "statistics by a function": lambda: {"model": Uncounted(norm=True)},
    "helpers": lambda: {"model": Helped()},
    "every second step": lambda: {"model": EverySecond()},
    "a loss": lambda: {"model": Model(), "loss": Remembers()},
    "an io": lambda: {"model": Model(), "io": Noise()},
    "a norm that is frozen meanwhile": lambda: {"model": normed(), "callbacks": [FreezesNorm()]},
}


def train(folder: Path, parts: Parts, resume: Path | None = None) -> dict[str, torch.Tensor]:
    """Train two epochs, or what is left of them; the weights at the end."""
    if resume is None:
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)
    model, callbacks = parts.pop("model"), [*parts.pop("callbacks", ()), ModelCheckpoint(str(folder))]
    data = Batches(random_batches(BATCHES), random_batches(1, seed=7))
    run = {"resume_from": str(resume)} if resume else {}
    fit(model, data, trainer={"max_epochs": 2}, callbacks=callbacks, run=run, **parts)
    return load_checkpoint(folder / "last.pt")["model"]


@pytest.fixture(autouse=True)
def no_failure() -> None:
    fails.at, fails.where = 0, ""


@pytest.mark.parametrize("case", CASES)
def test_trying_a_batch_changes_no_bit(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = train(tmp_path / "tried", CASES[case]())
    monkeypatch.setattr("otrainer.engine.trainer.rehearse", lambda *_, **__: None)
    untried = train(tmp_path / "untried", CASES[case]())

    assert all(torch.equal(tried[name], value) for name, value in untried.items())


@pytest.mark.parametrize("step", [4, 6, 8])
@pytest.mark.parametrize("case", CASES)
def test_a_step_that_fails_half_way_changes_no_bit(case: str, step: int, tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", CASES[case]())
    fails.at, fails.where = step, "forward"
    with pytest.raises(ValueError, match="broken in forward"):
        train(tmp_path / "broken", CASES[case]())
    fails.at = 0

    last = tmp_path / "broken/last.pt"
    assert load_checkpoint(last)["train_state"]["global_step"] == step - 1
    went_on = train(tmp_path / "on", CASES[case](), last)
    assert all(torch.equal(went_on[name], value) for name, value in straight.items())


class BeginsLate(Model):
    """Changes a part, for the first time, long after steps were learnt from."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Identity()

    def between(self, y: torch.Tensor) -> torch.Tensor:
        if self.training and self.calls == 4:
            self.part.scale = 0.5
        return y * getattr(self.part, "scale", 1.0)


def test_what_changed_nobody_knows_when_is_never_saved_as_the_step_before(tmp_path: Path) -> None:
    fails.at, fails.where = 5, "forward"
    with pytest.raises(ValueError, match="broken in forward"):
        train(tmp_path, {"model": BeginsLate()})

    assert not (tmp_path / "last.pt").exists()


def test_large_buffers_are_tried_as_small_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bank(Model):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("bank", torch.zeros(5_000_000))

        def between(self, y: torch.Tensor) -> torch.Tensor:
            self.bank[: y.numel()] += y.detach().reshape(-1)
            return y + self.bank[:6] / 100

    tried = train(tmp_path / "tried", {"model": Bank()})
    monkeypatch.setattr("otrainer.engine.trainer.rehearse", lambda *_, **__: None)
    assert torch.equal(tried["bank"], train(tmp_path / "untried", {"model": Bank()})["bank"])


class Counted(torch.utils.data.Dataset[Any]):
    """Data that go by how often they were read."""

    def __init__(self) -> None:
        self.reads, self.seen = 0, {"rows": [0]}
        self.fixed = np.zeros(3)
        self.fixed.flags.writeable = False

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        self.reads += 1
        self.seen["rows"].append(index)
        return {"x": torch.full((4,), self.reads / 10), "y": torch.ones(1) * len(self.seen["rows"])}


def test_nor_do_validation_data_know_that_they_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> list[float]:
        data, seen = torch.utils.data.DataLoader(Counted(), batch_size=4), list[float]()

        class Look:
            def on_epoch_end(self, ctx: Any) -> None:
                seen.append(ctx.last_val_logs["val_loss"])

        fit(Model(), Batches(random_batches(2), data), trainer={"max_epochs": 2}, callbacks=[Look()])
        return seen

    tried = trained()
    monkeypatch.setattr("otrainer.engine.trainer.rehearse", lambda *_, **__: None)
    assert tried == trained()
