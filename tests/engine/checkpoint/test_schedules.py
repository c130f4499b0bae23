"""A resume under another schedule is refused, or takes the learning rate that the new one has at that point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.sched import SchedulerBundle, TorchSchedulerFactory
from otrainer.engine.state import RunContext
from otrainer.errors import ConfigError

STEPS = 3


class Rates:
    """The learning rates and momenta that each step was taken with."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_train_step_end(self, ctx: RunContext) -> None:
        group = ctx.optimizer.param_groups[0]
        self.seen.append((group["lr"], group["momentum"]))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def train(folder: Path, epochs: int, scheduler: dict[str, Any] | None, lr: float = 0.1) -> Rates:
    rates, last = Rates(), folder / "last.pt"
    fit(
        small_model(),
        Batches(random_batches(STEPS), random_batches(1)),
        trainer={"max_epochs": epochs},
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": lr, "momentum": 0.9}},
        scheduler=scheduler,
        callbacks=[rates, ModelCheckpoint(str(folder))],
        run={"resume_from": str(last) if last.exists() else None},
    )
    return rates


def schedule(kind: str, interval: str = "step", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"sched_cls.{kind}", "kwargs": kwargs, "interval": interval}


def by_torch(kind: str, kwargs: dict[str, Any], turns: int, lr: float = 0.1) -> list[tuple[float, float]]:
    """What torch's own scheduler gives after each of its steps, in a loop of its own."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr, momentum=0.9)
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **kwargs)
    found = []
    for _ in range(turns):
        optimizer.step()
        scheduler.step()
        found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
    return found


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("CosineAnnealingLR", {"T_max": 6}, {"T_max": 12}),
        ("OneCycleLR", {"max_lr": 0.5, "total_steps": 7}, {"max_lr": 0.5, "total_steps": 13}),
        ("LinearLR", {"total_iters": 6}, {"total_iters": 12}),
        ("StepLR", {"step_size": 2}, {"step_size": 5}),
        ("MultiStepLR", {"milestones": [2, 4]}, {"milestones": [3, 8]}),
        ("CosineAnnealingWarmRestarts", {"T_0": 3}, {"T_0": 5, "T_mult": 2}),
        (
            "CyclicLR",
            {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2},
            {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 4},
        ),
    ],
)
def test_more_epochs_take_the_rates_of_the_longer_schedule_when_asked_to(
    tmp_path: Path, kind: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    train(tmp_path, 2, schedule(kind, **before))
    with pytest.raises(ConfigError, match="learning rate depends on both") as error:
        train(tmp_path, 4, schedule(kind, **after))
    assert "`on_resume: recompute`" in str(error.value.findings[0].hint)
    found = train(tmp_path, 4, {**schedule(kind, **after), "on_resume": "recompute"})

    assert found.seen == by_torch(kind, after, 4 * STEPS)[2 * STEPS :]


def test_also_under_another_learning_rate_or_rhythm(tmp_path: Path) -> None:
    train(tmp_path / "a", 2, schedule("ExponentialLR", gamma=0.9))
    train(tmp_path / "b", 2, schedule("ExponentialLR", gamma=0.9))
    rate = train(tmp_path / "a", 3, {**schedule("ExponentialLR", gamma=0.9), "on_resume": "recompute"}, lr=0.2)
    rhythm = train(tmp_path / "b", 4, {**schedule("ExponentialLR", "epoch", gamma=0.5), "on_resume": "recompute"})

    assert rate.seen == by_torch("ExponentialLR", {"gamma": 0.9}, 3 * STEPS, lr=0.2)[2 * STEPS :]
    by_epoch = by_torch("ExponentialLR", {"gamma": 0.5}, 3)
    assert rhythm.seen == [by_epoch[1]] * STEPS + [by_epoch[2]] * STEPS


def test_an_unchanged_schedule_goes_on_as_it_was_though_it_might_be_recomputed(tmp_path: Path) -> None:
    asked = {**schedule("CosineAnnealingLR", T_max=9), "on_resume": "recompute"}
    whole = train(tmp_path / "whole", 3, asked)
    train(tmp_path / "parts", 1, asked)

    assert train(tmp_path / "parts", 3, asked).seen == whole.seen[STEPS:]


@pytest.mark.parametrize(
    "change",
    [{"interval": "epoch"}, {"frequency": 2}, {"kwargs": {"step_size": 3}}],
    ids=lambda change: next(iter(change)),
)
def test_another_rhythm_is_another_schedule(tmp_path: Path, change: dict[str, Any]) -> None:
    train(tmp_path, 1, schedule("StepLR", step_size=2))
    with pytest.raises(ConfigError, match="learning rate depends on both") as error:
        train(tmp_path, 2, {**schedule("StepLR", step_size=2), **change})

    assert error.value.config_path == ("scheduler",)


def test_what_cannot_be_recomputed_is_refused(tmp_path: Path) -> None:
    plateau = {**schedule("ReduceLROnPlateau", "metric", patience=1), "monitor": "val_loss"}
    train(tmp_path / "a", 1, plateau)
    with pytest.raises(ConfigError, match="has not seen"):
        train(tmp_path / "a", 2, {**plateau, "kwargs": {"patience": 2}, "on_resume": "recompute"})

    train(tmp_path / "b", 2, schedule("OneCycleLR", max_lr=0.5, total_steps=7))
    with pytest.raises(ConfigError, match="after 6 of its steps"):
        train(tmp_path / "b", 3, {**schedule("OneCycleLR", max_lr=0.5, total_steps=4), "on_resume": "recompute"})


def test_a_choice_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="refuse or recompute, not `recompte`") as error:
        TorchSchedulerFactory("sched_cls.StepLR", on_resume="recompte")

    assert error.value.findings[0].suggestions == ("recompute",)
    assert SchedulerBundle(None).on_resume == "refuse"
