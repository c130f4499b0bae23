"""What is sure to fail later fails before the first step, and trying it out changes nothing."""

from __future__ import annotations

import contextlib
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.components.io import MappingIO
from otrainer.components.loss import LossOutput
from otrainer.errors import ConfigError

IO = MappingIO({"input": ["x"]}, {"y": ["y"]})


class Mae:
    """A metric that counts how often it was asked, and cannot be copied as a whole."""

    def __init__(self) -> None:
        self.sum, self.count, self.asked, self.lock = 0.0, 0, 0, threading.Lock()

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        if stage == "val":
            self.sum, self.count = self.sum + float((outputs - targets["y"]).abs().mean()), self.count + 1

    def compute(self) -> dict[str, float]:
        self.asked += 1
        return {"mae": self.sum / self.count, "asked": self.asked}

    def reset(self) -> None:
        self.sum, self.count = 0.0, 0


def refused(**options: Any) -> ConfigError:
    """The error with which a run ends before it trained anything."""
    model = small_model()
    before = parameters_of(model)
    data = options.pop("data", None) or Batches(random_batches(3), random_batches(2))
    with pytest.raises(ConfigError) as error:
        fit(model, data, **options)
    assert torch.equal(parameters_of(model), before)
    return error.value


def test_validation_batches_with_another_field_are_found_before_the_first_step() -> None:
    class Named(nn.Module):
        inputs = ("input",)

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the config's name
            return self.layer(input)

    val = [{"image": batch["x"], "y": batch["y"]} for batch in random_batches(2)]
    model = Named()
    before = parameters_of(model)
    with pytest.raises(ConfigError, match="finds nothing in the batch") as error:
        fit(model, Batches(random_batches(3), val), io=IO)
    assert "in validation, tried before the first step" in error.value.findings[0].message
    assert torch.equal(parameters_of(model), before)


def test_a_loss_that_fails_in_validation_is_found() -> None:
    class TrainOnly:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            return LossOutput(
                ((outputs - targets["y"]) ** 2).mean(), {"top": 1.0 if stage == "train" else targets["k"]}
            )

    model = small_model()
    with pytest.raises(KeyError) as error:
        fit(model, Batches(random_batches(3), random_batches(2)), loss=TrainOnly())
    assert any("tried before the first step" in note for note in error.value.__notes__)


@pytest.mark.parametrize("monitor", ["val_los", "train_loss", "mea"])
def test_a_monitor_that_nothing_logs_is_found_with_the_nearest_name(monitor: str) -> None:
    error = refused(callbacks=[EarlyStopping(monitor)], metrics=[Mae()])

    (finding,) = error.findings
    assert finding.config_path == ("callbacks", 0, "monitor")
    assert "`val_loss`, `mae`, `asked`" in finding.message


def test_a_scheduler_s_monitor_is_checked_as_well() -> None:
    scheduler = {"type": "sched_cls.ReduceLROnPlateau", "interval": "metric", "monitor": "val_los"}
    assert refused(scheduler=scheduler).findings[0].config_path == ("scheduler", "monitor")


@pytest.mark.parametrize("val", [None, []])
def test_a_monitor_without_validation_data_is_found(val: Any) -> None:
    error = refused(data=Batches(random_batches(3), val), callbacks=[EarlyStopping()])
    assert "there are no data to validate on" in str(error)


def test_without_validation_data_no_metric_can_log_the_loss_that_is_watched() -> None:
    """What a metric logs of training, which cannot be tried beforehand, does not stand for it."""

    class Seen:
        def compute(self) -> dict[str, float]:
            raise RuntimeError("nothing was seen so far")

    error = refused(data=Batches(random_batches(3)), callbacks=[EarlyStopping()], metrics=[Seen()])
    assert error.findings[0].hint == "Give the run validation data, or leave out what watches `val_loss`."


def test_a_value_that_a_callback_may_still_log_is_told_only(caplog: pytest.LogCaptureFixture) -> None:
    class Score:
        def on_epoch_end(self, ctx: Any) -> None:
            ctx.last_val_logs["score"] = 1.0

    fit(small_model(), Batches(random_batches(3), random_batches(2)), callbacks=[Score(), EarlyStopping("score")])

    assert any("called `score` so far" in text for text in caplog.messages)


def test_validation_that_never_comes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    trainer = {"max_epochs": 2, "val_every_n_epochs": 5}
    data = Batches(random_batches(2), random_batches(1))
    fit(small_model(), data, trainer=trainer, callbacks=[EarlyStopping()])

    (told,) = [
        text
        for text in caplog.messages
        if "nothing is validated: `trainer.val_every_n_epochs` is 5, and there are 2 epochs" in text
    ]
    assert "`val_loss`, which is watched" in told


def test_a_metric_that_needs_more_than_a_batch_is_no_reason_to_refuse() -> None:
    class TwoBatches(Mae):
        def compute(self) -> dict[str, float]:
            if self.count < 2:
                raise ValueError("too few")
            return {"late": 1.0}

    notes = Notes()
    data = Batches(random_batches(3), random_batches(2))
    fit(small_model(), data, metrics=[TwoBatches()], callbacks=[EarlyStopping("late", mode="max")], loggers=[notes])
    assert notes.values("val", "late") == [1.0]


@pytest.mark.parametrize("names", [("val_loss",), ("twice", "twice"), ("step",), ("stage",)])
def test_two_values_of_one_name_are_refused_at_the_later_one(names: tuple[str, ...]) -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.logs = name

        def compute(self) -> dict[str, float]:
            return {self.logs: 1.0}

    (finding,) = refused(metrics=[Named(name) for name in names]).findings
    assert (finding.title, finding.config_path) == ("name is taken", ("metrics", len(names) - 1))


def test_trying_it_out_changes_nothing() -> None:
    """Random states, metrics, buffers, what parts count, and validation data that run through once."""

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.calls = nn.Linear(4, 1), 0
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("mean", torch.zeros(()))
            self.rows: list[int] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.seen += 1
            self.mean = self.mean + 1
            self.rows.append(len(x))
            return self.layer(x) + 0.1 * torch.randn(len(x), 1)

    def trained(**options: Any) -> tuple[Any, ...]:
        torch.manual_seed(4)
        model, metric, notes = Noisy(), Mae(), Notes()
        once = iter(random_batches(2, seed=7))
        data = Batches(random_batches(3), lambda: once)
        fit(model, data, metrics=[metric], loggers=[notes], **options)
        return (
            parameters_of(model),
            model.calls,
            float(model.seen),
            float(model.mean),
            model.rows,
            notes.rows,
            metric.asked,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("otrainer.engine.trainer.rehearse", lambda *_, **__: None)
        wanted = trained()
    found = trained()
    assert torch.equal(found[0], wanted[0])
    assert found[1:] == wanted[1:]
    assert found[1] == 5


def test_a_cycle_that_is_one_step_short_is_refused_with_the_right_number() -> None:
    scheduler = {"type": "sched_cls.OneCycleLR", "kwargs": {"max_lr": 0.1, "total_steps": 5}, "interval": "step"}
    error = refused(scheduler=scheduler, trainer={"max_epochs": 2})
    assert "6 times" in str(error)


def test_an_epoch_shorter_than_the_log_interval_logs_its_last_step() -> None:
    notes = Notes()
    fit(small_model(), Batches(random_batches(4)), trainer={"max_epochs": 4, "log_every_n_steps": 6}, loggers=[notes])

    assert [step for stage, step, _ in notes.rows if stage == "train"] == [4, 6, 12, 16]


def test_validation_that_is_no_number_is_told_with_its_batch(caplog: pytest.LogCaptureFixture) -> None:
    val = random_batches(3)
    val[1]["y"][0] = float("nan")
    fit(small_model(), Batches(random_batches(2), val), trainer={"max_epochs": 3})

    (told,) = [text for text in caplog.messages if "val_loss" in text]
    assert "after step 2 `val_loss` is nan, first in batch 1" in told


@pytest.mark.parametrize("returned", [None, torch.ones(()), LossOutput(torch.ones(3))])
def test_what_is_no_loss_is_told_before_the_first_step(returned: Any) -> None:
    class Wrong:
        def __call__(self, **_: Any) -> Any:
            return returned

    assert refused(loss=Wrong()).findings[0].title == "not a loss"


@pytest.mark.parametrize("stop", [3, 4, 5, 8])
def test_rows_of_short_epochs_are_the_same_after_a_stop(tmp_path: Path, stop: int) -> None:
    """Four steps an epoch and a row each six: also where the last step of an epoch is the one that is stopped after."""

    class Stop:
        def on_train_step_end(self, ctx: Any) -> None:
            if ctx.state.global_step == stop:
                raise KeyError("stop")

    def rows(*callbacks: Any, resume: str | None = None) -> list[Any]:
        notes = Notes()
        options = {"max_epochs": 3, "log_every_n_steps": 6}
        saves = ModelCheckpoint(str(tmp_path / str(len(callbacks) or bool(resume))))
        run = {"resume_from": resume} if resume else {}
        data = Batches(random_batches(4))
        with contextlib.suppress(KeyError):
            fit(small_model(), data, trainer=options, callbacks=[*callbacks, saves], loggers=[notes], run=run)
        return notes.rows

    straight = rows()
    assert [step for _, step, _ in straight] == [4, 6, 12]
    rows(Stop())
    assert rows(resume=str(tmp_path / "1/last.pt")) == straight  # the logger has its earlier rows back


def test_what_warns_of_a_batch_that_is_only_tried_is_not_heard(recwarn: pytest.WarningsRecorder) -> None:
    class Warns:
        def update(self, **_: Any) -> None:
            warnings.warn("few samples", UserWarning, stacklevel=1)

        def compute(self) -> dict[str, float]:
            return {"val_one": 1.0}

    class Stop:
        def on_fit_start(self, ctx: Any) -> None:
            recwarn.clear()

        def on_train_step_end(self, ctx: Any) -> None:
            heard.append(len(recwarn))

    heard: list[int] = []
    data = Batches(random_batches(1), random_batches(1))
    fit(small_model(), data, metrics=[Warns()], callbacks=[Stop()])
    assert heard == [1]  # that of the training batch


def noting(sizes: list[int], fails_at: int | None = None) -> Any:
    """The loss, which notes the sizes of validation batches before the first step, where nothing puts that back."""
    trained: list[bool] = []

    def loss(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        if stage == "train":
            trained.append(True)
        elif not trained:
            sizes.append(len(outputs))
            if len(outputs) == fails_at:
                raise ArithmeticError
        return LossOutput(((outputs - targets["y"]) ** 2).mean())

    return loss


def in_sizes(*sizes: int) -> list[dict[str, torch.Tensor]]:
    return [random_batches(1, size=size, seed=size)[0] for size in sizes]


ASKED = [({"sanity_batches": number}, [4, 5, 6][:number]) for number in (0, 1, 2, 9)]


@pytest.mark.parametrize(("asked", "tried"), [({}, [4]), *ASKED])
@pytest.mark.parametrize("once", [False, True])
def test_as_many_batches_are_tried_as_asked_for_and_all_come_again(asked: Any, tried: list[int], once: bool) -> None:
    """However many there are, the rows and weights of the run are those of a run that tries none."""
    found = []
    for number in (asked, {"sanity_batches": 0}):
        sizes, model, notes = list[int](), small_model(), Notes()
        data = Batches(random_batches(3), (lambda: iter(in_sizes(4, 5, 6))) if once else in_sizes(4, 5, 6))
        trainer = {"max_epochs": 2, **number}
        fit(model, data, loss=noting(sizes), loggers=[notes], metrics=[Mae()], trainer=trainer, run={"seed": 3})
        rows = [(stage, step, {**row, "asked": 0}) for stage, step, row in notes.rows]
        found.append((sizes, parameters_of(model), rows))
    assert (found[0][0], found[1][0]) == (tried, [])
    assert torch.equal(found[0][1], found[1][1])
    assert found[0][2] == found[1][2]


def test_a_later_batch_that_fails_is_found_where_as_many_are_tried() -> None:
    data = Batches(random_batches(3), in_sizes(4, 5, 6))
    with pytest.raises(ArithmeticError) as error:
        fit(small_model(), data, loss=noting([], fails_at=6), trainer={"sanity_batches": 3})
    assert "in validation, tried before the first step, batch 2 (counted from 0)" in error.value.__notes__


@pytest.mark.parametrize("number", [-1, True, 1.5])
def test_a_number_of_batches_to_try_is_a_whole_one(number: Any) -> None:
    with pytest.raises(ValueError, match="sanity_batches"):
        fit(small_model(), Batches(random_batches(1)), trainer={"sanity_batches": number})
