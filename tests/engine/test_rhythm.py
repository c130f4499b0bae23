"""Validation after so many steps leaves training as it is, and is told to all that watch it, also across stops."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.components.loggers import JsonLinesLogger
from otrainer.components.loss import LossOutput, TorchLoss
from otrainer.components.metrics import TorchMetric
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.engine.trainer import DefaultTrainer

BATCHES, STEPS = 5, 12


class Watch:
    """Notes each validation that it is told of; sends a signal after a step, or within a validation, once."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.seen: list[tuple[int, float]] = []

    def on_train_step_end(self, ctx: RunContext) -> None:
        if ctx.state.global_step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    def on_validation_end(self, ctx: RunContext) -> None:
        assert ctx.validated
        self.seen.append((ctx.state.global_step, ctx.last_val_logs["val_loss"]))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": [list(each) for each in self.seen]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = [(step, value) for step, value in state["seen"]]


def train(
    folder: Path, *, stop_at: int | None = None, resume: bool = False, every: int | None = 3, loss: Any = None
) -> tuple[torch.Tensor, Watch, Notes]:
    """A run with all that has a state and watches validation."""
    model, watch, notes = small_model(), Watch(stop_at), Notes()
    model.insert(1, torch.nn.Dropout(0.3))  # type: ignore[operator]  # it is a Sequential
    model.insert(2, torch.nn.BatchNorm1d(16))  # type: ignore[operator]
    trainer = {"max_steps": STEPS, "val_every_n_steps": every, "log_every_n_steps": 1}
    callbacks = [watch, ModelCheckpoint(str(folder), every_n_steps=1, keep_last=None, monitor="val_loss")]
    with StopRequest():
        fit(
            model,
            Batches(random_batches(BATCHES), random_batches(3, seed=5)),
            trainer=trainer,
            loss=loss,
            optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-2}},
            metrics=[TorchMetric("MeanAbsoluteError")],
            callbacks=callbacks,
            loggers=[notes, JsonLinesLogger(str(folder / "rows.jsonl"))],
            run={"seed": 7, **({"resume_from": str(folder / "last.pt")} if resume else {})},
        )
    return parameters_of(model), watch, notes


def rows_of(notes: Notes, stage: str) -> list[tuple[int, Any]]:
    return [(step, row) for told, step, row in notes.rows if told == stage]


def test_validation_within_epochs_changes_nothing_of_what_is_trained_and_logged_of_it(tmp_path: Path) -> None:
    with_it, watch, notes = train(tmp_path / "with")
    without, _, others = train(tmp_path / "without", every=None)

    assert torch.equal(with_it, without)
    assert rows_of(notes, "train") == rows_of(others, "train")
    assert [step for step, _ in watch.seen] == [3, 6, 9, 12]
    trained = [(step, row["train_mean_absolute_error"]) for step, row in rows_of(notes, "metrics")]
    assert trained == [(step, row["train_mean_absolute_error"]) for step, row in rows_of(others, "metrics")]


def test_its_values_are_those_of_the_weights_as_they_were(tmp_path: Path) -> None:
    """Held against the loss of each step's checkpoint, taken by hand."""
    _, watch, notes = train(tmp_path)
    val = random_batches(3, seed=5)
    for step, value in watch.seen[-2:]:
        model = small_model()
        model.insert(1, torch.nn.Dropout(0.3))  # type: ignore[operator]
        model.insert(2, torch.nn.BatchNorm1d(16))  # type: ignore[operator]
        model.load_state_dict(load_checkpoint(tmp_path / f"step_{step}.pt")["model"])
        model.eval()
        with torch.no_grad():
            errors = [model(batch["x"]) - batch["y"] for batch in val]
        assert value == pytest.approx(torch.cat(errors).square().mean().item(), rel=1e-5)
        (row,) = [row for at, row in rows_of(notes, "val") if at == step]
        assert row["val_mean_absolute_error"] == pytest.approx(torch.cat(errors).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 5, 6, 9, 11])
def test_stopped_after_any_step_it_goes_on_as_if_it_had_not_been(tmp_path: Path, stop_at: int) -> None:
    whole, seen, _ = train(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", stop_at=stop_at)
    continued, watch, _ = train(tmp_path / "broken", resume=True)

    assert torch.equal(continued, whole)
    assert watch.seen == seen.seen
    assert (tmp_path / "broken/rows.jsonl").read_text() == (tmp_path / "whole/rows.jsonl").read_text()
    best = [load_checkpoint(tmp_path / name / "best.pt")["train_state"]["global_step"] for name in ("broken", "whole")]
    assert best[0] == best[1]


def judged(validation: int | None = None) -> Any:
    """The loss, with a signal at the second batch of the validation of that number."""
    loss, calls, ended = TorchLoss(torch.nn.MSELoss()), 0, 0

    def with_a_signal(*, stage: str, **given: Any) -> Any:
        nonlocal calls, ended
        calls = calls + 1 if stage == "val" else 0
        ended += calls == 2
        if calls == 2 and ended == validation:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(stage=stage, **given)

    return with_a_signal


@pytest.mark.parametrize("validation", [1, 2, 4])
def test_a_validation_that_a_signal_ends_is_done_again_from_its_first_batch(tmp_path: Path, validation: int) -> None:
    whole, seen, _ = train(tmp_path / "whole", loss=judged())
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", loss=judged(validation))
    continued, watch, _ = train(tmp_path / "broken", resume=True, loss=judged())
    assert torch.equal(continued, whole)
    assert watch.seen == seen.seen
    assert (tmp_path / "broken/rows.jsonl").read_text() == (tmp_path / "whole/rows.jsonl").read_text()


@pytest.mark.parametrize("step", [3, 6, 12])
def test_a_checkpoint_of_before_a_validation_that_is_due_has_it_first(tmp_path: Path, step: int) -> None:
    """As after a kill in the middle of it: the step's own checkpoint was there already."""
    whole, seen, _ = train(tmp_path / "whole")
    train(tmp_path / "other")
    (tmp_path / "other/last.pt").unlink()
    (tmp_path / f"other/step_{step}.pt").rename(tmp_path / "other/last.pt")
    continued, watch, _ = train(tmp_path / "other", resume=True)
    assert torch.equal(continued, whole)
    assert watch.seen == seen.seen


def test_steps_are_counted_across_epochs(tmp_path: Path) -> None:
    """Also where an epoch has fewer than lie between two validations."""
    _, watch, _ = train(tmp_path, every=7)
    assert [step for step, _ in watch.seen] == [7]


def test_the_best_is_kept_as_it_is_found(tmp_path: Path) -> None:
    _, watch, _ = train(tmp_path)
    step, _ = min(watch.seen, key=lambda each: each[1])
    assert load_checkpoint(tmp_path / "best.pt")["train_state"]["global_step"] == step


def test_training_stops_within_an_epoch_once_a_value_no_longer_improves() -> None:
    """Also where data have no end, and so no epoch has."""

    class Rising:
        """A validation loss that only rises."""

        def on_validation_end(self, ctx: RunContext) -> None:
            ctx.last_val_logs["val_loss"] = float(ctx.state.global_step)

    def endless() -> Any:
        while True:
            yield from random_batches(2)

    watch = Watch()
    trainer = {"max_epochs": 1, "val_every_n_steps": 2}
    callbacks = [Rising(), watch, EarlyStopping(patience=2)]
    fit(small_model(), Batches(endless, lambda: random_batches(1)), trainer=trainer, callbacks=callbacks)
    assert [step for step, _ in watch.seen] == [2, 4, 6]


def test_a_schedule_that_watches_a_value_steps_with_each_validation() -> None:
    """One that never improves halves the rate each time, but for the first."""
    rates: list[float] = []
    loss = TorchLoss(torch.nn.MSELoss())

    class Rates:
        def on_validation_end(self, ctx: RunContext) -> None:
            rates.append(ctx.optimizer.param_groups[0]["lr"])

    def flat_in_validation(*, stage: str, **given: Any) -> Any:
        result = loss(stage=stage, **given)
        return LossOutput(result.loss * 0 + 1) if stage == "val" else result

    plateau = {
        "type": "sched_cls.ReduceLROnPlateau",
        "kwargs": {"patience": 0, "factor": 0.5, "threshold": 0.0},
        "monitor": "val_loss",
    }
    data = Batches(random_batches(6), random_batches(1))
    trainer = {"max_epochs": 1, "val_every_n_steps": 2}
    optimizer = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.08}}
    fit(small_model(), data, trainer=trainer, optimizer=optimizer, scheduler=plateau, loss=flat_in_validation,
        callbacks=[Rates()])  # fmt: skip
    assert rates == [0.08, 0.04, 0.02]


def test_two_rhythms_are_refused() -> None:
    with pytest.raises(ValueError, match="let one of them be null"):
        DefaultTrainer(val_every_n_epochs=1, val_every_n_steps=10)


def test_validation_that_never_comes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    data = Batches(random_batches(3), random_batches(1))
    fit(small_model(), data, trainer={"max_epochs": 2, "val_every_n_steps": 7})
    assert any("`trainer.val_every_n_steps` is 7, and there are 6 steps, so let it be 6 or less" in text
               for text in caplog.messages)  # fmt: skip


class Clock:
    """A callback by which each step takes ten seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.now += 10.0

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def by_minutes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stops: Sequence[int | None] = (), loss: Any = None
) -> tuple[Watch, dict[str, Any]]:
    """A run that validates each half minute and lets the rate go by every second of these; stopped after each stop."""
    plateau = {"type": "sched_cls.ReduceLROnPlateau", "interval": "metric", "monitor": "val_loss", "frequency": 2}
    resume = None
    for stop in (*stops, None):
        watch = Watch(stop)
        try:
            with StopRequest():
                fit(
                    small_model(),
                    Batches(random_batches(BATCHES), random_batches(3, seed=5)),
                    trainer={"max_steps": 16, "val_every_n_minutes": 0.5},
                    loss=loss,
                    scheduler={**plateau, "kwargs": {"factor": 0.5, "patience": 0, "threshold": 10.0}},
                    callbacks=[Clock(monkeypatch), watch, ModelCheckpoint(str(folder))],
                    run={"resume_from": resume},
                )
        except TrainingInterrupted:
            resume = str(folder / "last.pt")
    return watch, load_checkpoint(folder / "last.pt")


def test_validation_by_minutes_comes_after_the_step_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, saved = by_minutes(tmp_path, monkeypatch)

    assert [step for step, _ in watch.seen] == [4, 7, 10, 13, 16]
    assert saved["train_state"]["validations"] == 5
    assert saved["scheduler"]["last_epoch"] == 2


@pytest.mark.parametrize(("stops", "steps"), [((4, 5), [4, 9, 12, 15]), ((6, 8), [4, 8, 12, 15])])
def test_a_run_that_goes_on_validates_no_second_time_and_counts_on(
    stops: tuple[int, ...], steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step at which an attempt ends is not counted; a validation that comes with it is made after the resume."""
    watch, saved = by_minutes(tmp_path, monkeypatch, stops)

    assert [step for step, _ in watch.seen] == steps
    assert saved["train_state"]["validations"] == len(steps)
    assert saved["scheduler"]["last_epoch"] == len(steps) // 2


def test_a_validation_by_minutes_that_a_signal_ends_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = by_minutes(tmp_path / "whole", monkeypatch)
    broken, saved = by_minutes(tmp_path / "broken", monkeypatch, (None,), loss=judged(1))

    assert broken.seen[:1] == whole.seen[:1]
    assert len(broken.seen) == len(dict(broken.seen)) == saved["train_state"]["validations"]


def test_validation_has_one_rhythm() -> None:
    with pytest.raises(ValueError, match="by val_every_n_steps or by val_every_n_minutes: let one of them"):
        DefaultTrainer(val_every_n_steps=3, val_every_n_minutes=1)
    with pytest.raises(ValueError, match="val_every_n_minutes is a number above 0"):
        DefaultTrainer(val_every_n_minutes=0)


def logged(folder: Path, monkeypatch: pytest.MonkeyPatch, stops: Sequence[int] = (), **trainer: Any) -> list[int]:
    """The steps of the rows of a run of three epochs of five steps, of ten seconds each, as a file has them."""
    resume = None
    for stop in (*stops, None):
        try:
            with StopRequest():
                fit(
                    small_model(),
                    Batches(random_batches(BATCHES), random_batches(1)),
                    trainer={"max_epochs": 3, **trainer},
                    loggers=[JsonLinesLogger(str(folder / "metrics.jsonl"))],
                    callbacks=[Clock(monkeypatch), Watch(stop), ModelCheckpoint(str(folder))],
                    run={"resume_from": resume},
                )
        except TrainingInterrupted:
            resume = str(folder / "last.pt")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows if row["stage"] == "train"]


@pytest.mark.parametrize(
    ("trainer", "steps"),
    [
        ({"log_every_n_steps": 4}, [4, 8, 12]),
        ({"log_every_n_steps": 10}, [5, 10, 15]),
        ({"log_every_n_steps": None, "log_every_n_epochs": 1}, [5, 10, 15]),
        ({"log_every_n_steps": None, "log_every_n_epochs": 2}, [10]),
        ({"log_every_n_steps": 4, "log_every_n_epochs": 3}, [4, 8, 12, 15]),
        ({"log_every_n_steps": None, "log_every_n_epochs": 1, "max_steps": 7}, [5]),
        ({"log_every_n_steps": None}, []),
    ],
)
def test_rows_come_by_steps_or_by_epochs_the_same_ones_across_stops(
    trainer: Any, steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stops in ((), (4, 5), (5, 6), (10, 11)):
        folder = tmp_path / str(stops)
        if not stops or max(stops) < trainer.get("max_steps", 15):
            assert logged(folder, monkeypatch, stops, **trainer) == steps


def test_rows_come_by_minutes_of_training_also_across_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a step that an attempt ends with is not counted, as that of `max_time` is not."""
    by_minutes = {"log_every_n_steps": None, "log_every_n_minutes": 0.5}
    assert logged(tmp_path / "whole", monkeypatch, **by_minutes) == [4, 7, 10, 13]
    assert logged(tmp_path / "cut", monkeypatch, (4, 5), **by_minutes) == [4, 9, 12, 15]
    both = {"log_every_n_steps": 6, "log_every_n_minutes": 0.5}
    assert logged(tmp_path / "both", monkeypatch, **both) == [4, 6, 7, 10, 12, 13]
