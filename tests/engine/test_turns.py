"""An error behind the optimizer's step leaves nobody without a turn: those that are left have it after the resume."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.components.sched import SchedulerBundle
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.errors import ConfigError

STEPS, EPOCHS = 5, 2


class Trip:
    """Raises at one of its calls, once: it is no part's state."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.calls = at, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise OSError("broken off")


class Kept:
    """Keeps what it counts, and not what trips it."""

    def __init__(self, trip: Trip | None = None) -> None:
        self.trip, self.rows = trip or Trip(), list[Any]()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": list(self.rows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = list(state["rows"])


class Rows(Kept):
    def log_metrics(self, metrics: Mapping[str, float], *, step: int, stage: str) -> None:
        self.trip()
        self.rows.append((stage, step, dict(metrics)))


class EachStep(Kept):
    def on_train_step_end(self, ctx: Any) -> None:
        self.trip()
        self.rows.append((ctx.state.global_step, float(parameters_of(ctx.model).sum())))


class EachTrainedEpoch(Kept):
    def on_train_epoch_end(self, ctx: Any) -> None:
        self.trip()
        self.rows.append((ctx.state.global_step, float(parameters_of(ctx.model).sum())))


class Schedule:
    """Raises in the middle of a scheduler's step, once it has counted the step."""

    def __init__(self, trip: Trip, make: Callable[..., Any]) -> None:
        self.trip, self.make = trip, make

    def build(self, optimizer: torch.optim.Optimizer, *, registry: Any) -> SchedulerBundle:
        def factor(count: int) -> float:
            if count:
                self.trip()
            return float(0.9**count)

        return SchedulerBundle(self.make(optimizer, factor), interval="step")


def plain(optimizer: torch.optim.Optimizer, factor: Callable[[int], float]) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def chained(optimizer: torch.optim.Optimizer, factor: Callable[[int], float]) -> Any:
    """The first one has changed the learning rate once the second one raises."""
    first = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
    return torch.optim.lr_scheduler.ChainedScheduler([first, plain(optimizer, factor)])


def in_turn(optimizer: torch.optim.Optimizer, factor: Callable[[int], float]) -> Any:
    first = torch.optim.lr_scheduler.ConstantLR(optimizer, 0.5, 2)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [first, plain(optimizer, factor)], [3])


Parts = dict[str, Any]


def ended(folder: Path, make: Callable[[Trip], Parts], trip: Trip, resume: bool = False) -> tuple[Parts, Parts]:
    """Train, and return the last checkpoint's parts and the parts that trained."""
    parts = make(trip)
    callbacks = [*parts.get("callbacks", ()), ModelCheckpoint(str(folder), every_n_steps=3)]
    run = {"definition": "d", **({"resume_from": str(folder / "last.pt")} if resume else {})}
    torch.manual_seed(0)
    fit(
        small_model(),
        Batches(random_batches(STEPS), random_batches(2, seed=5)),
        trainer={"max_epochs": EPOCHS, "log_every_n_steps": 2},
        run=run,
        **{**parts, "callbacks": callbacks},
    )
    return load_checkpoint(folder / "last.pt"), parts


def flat(data: Any) -> Any:
    if isinstance(data, torch.Tensor):
        return data.tolist()
    if isinstance(data, Mapping):
        return {key: flat(value) for key, value in data.items() if key != "meta"}
    return [flat(each) for each in data] if isinstance(data, list | tuple) else data


def check_goes_on(folder: Path, make: Callable[[Trip], Parts], at: int) -> None:
    """Compare a run that was broken off at a call and continued with one that never was."""
    whole, expected = ended(folder / "whole", make, Trip())
    with pytest.raises(OSError, match="broken off"):
        ended(folder / "broken", make, Trip(at))
    continued, parts = ended(folder / "broken", make, Trip(), resume=True)

    assert flat(continued) == flat(whole)
    for section in ("callbacks", "loggers"):
        assert [each.rows for each in parts.get(section, ())] == [each.rows for each in expected.get(section, ())]


@pytest.mark.parametrize("make", [plain, chained, in_turn])
@pytest.mark.parametrize("at", [1, 3, 4])
def test_a_scheduler_that_raised_is_stepped_after_the_resume(tmp_path: Path, make: Any, at: int) -> None:
    def parts(trip: Trip) -> Parts:
        return {"scheduler": Schedule(trip, make), "callbacks": [EachStep()], "loggers": [Rows()]}

    check_goes_on(tmp_path, parts, at)


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_row_is_with_every_logger_once(tmp_path: Path, at: int) -> None:
    """Also the one that an epoch has at its end where it is shorter than the rhythm of logging."""
    check_goes_on(tmp_path, lambda trip: {"loggers": [Rows(), Rows(trip), Rows()], "callbacks": [EachStep()]}, at)


@pytest.mark.parametrize("at", [1, 3, 5, 7])
def test_each_callback_has_its_turn_after_each_step_once(tmp_path: Path, at: int) -> None:
    check_goes_on(tmp_path, lambda trip: {"callbacks": [EachStep(), EachStep(trip), EachStep()]}, at)


def test_each_callback_has_its_turn_after_a_trained_epoch_once(tmp_path: Path) -> None:
    def parts(trip: Trip) -> Parts:
        return {"callbacks": [EachTrainedEpoch(), EachTrainedEpoch(trip), EachTrainedEpoch()]}

    check_goes_on(tmp_path, parts, 1)


def test_one_that_comes_after_the_checkpoint_has_its_turn_after_a_resume_from_it(tmp_path: Path) -> None:
    class Last(EachStep):
        runs_last = True

    class After(ModelCheckpoint):
        """Stands behind another one, in a folder of its own."""

        def on_epoch_end(self, ctx: Any) -> None:
            trip()
            super().on_epoch_end(ctx)

    trip = Trip()
    for folder, at in (("whole", 0), ("broken", 1), ("broken", 0)):
        trip.at, trip.calls = at, 0
        last = tmp_path / folder / "a/last.pt"
        own = [ModelCheckpoint(str(last.parent)), After(str(tmp_path / folder / "b"), monitor="val_loss"), Last()]
        run = {"resume_from": str(last)} if last.exists() else {}
        with suppress(OSError):
            fit(small_model(), Batches(random_batches(3), random_batches(1)), callbacks=own, run=run)
    whole, broken = (load_checkpoint(tmp_path / folder / "b/best.pt") for folder in ("whole", "broken"))
    assert flat(whole["model"]) == flat(broken["model"])
    assert flat(whole["callbacks"][2]) == flat(broken["callbacks"][2])


def test_turns_that_fail_again_are_still_open(tmp_path: Path) -> None:
    def parts(trip: Trip) -> Parts:
        return {"callbacks": [EachStep(), EachStep(trip), EachStep()]}

    whole, _ = ended(tmp_path / "whole", parts, Trip())
    for resume in (False, True, True):
        with pytest.raises(OSError, match="broken off"):
            ended(tmp_path / "broken", parts, Trip(1 if resume else 4), resume=resume)
    continued, _ = ended(tmp_path / "broken", parts, Trip(), resume=True)
    assert flat(continued) == flat(whole)


class FirstLayer:
    """Trains the first layer, and from the first step on the last one too."""

    def build(self, model: Any, *, registry: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(model[0].parameters(), lr=0.05)

    def on_train_step_end(self, ctx: Any) -> None:
        if ctx.state.global_step == 1:
            ctx.optimizer.add_param_group({"params": list(ctx.model[2].parameters())})


def test_a_row_that_cannot_be_made_is_told_and_left_out_by_a_resume(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def loss(name: str) -> Any:
        def call(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]), logs={name: 1.0})

        return call

    late, rows, data = FirstLayer(), Notes(), Batches(random_batches(4))
    parts = {"trainer": {"log_every_n_steps": 2}, "loggers": [rows], "optimizer": late}
    with pytest.raises(ConfigError, match="lr_1"):
        fit(small_model(), data, loss=loss("lr_1"), callbacks=[late, ModelCheckpoint(str(tmp_path))], **parts)
    with caplog.at_level(logging.WARNING, "otrainer"):
        again = {"callbacks": [late], "run": {"resume_from": str(tmp_path / "last.pt")}}
        fit(small_model(), data, loss=loss("extra"), **again, **parts)

    assert any(text.startswith("the row of step 2 is left out") for text in caplog.messages)
    assert [step for _, step, _ in rows.rows] == [4]


def test_a_learning_rate_that_is_a_tensor_is_put_back_in_its_place(tmp_path: Path) -> None:
    def make(trip: Trip) -> Parts:
        rate = torch.tensor(0.05)
        optimizer = {"type": "optim_cls.SGD", "kwargs": {"lr": rate, "fused": False, "foreach": False}}
        return {"optimizer": optimizer, "scheduler": Schedule(trip, chained), "callbacks": [EachStep()]}

    check_goes_on(tmp_path, make, 3)
