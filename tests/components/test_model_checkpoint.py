"""When checkpoints are written, under which names, and what they say."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.errors import ConfigError


class Raise:
    """A callback in which an error comes after a given step, once all is counted."""

    def __init__(self, error: BaseException, step: int) -> None:
        self.error, self.step = error, step

    def on_train_step_end(self, ctx: RunContext) -> None:
        if ctx.state.global_step == self.step:
            raise self.error


class Boundary:
    """Says for the trainer whether the state is that of a whole step."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole

    def on_train_step_end(self, ctx: RunContext) -> None:
        ctx.at_boundary = self.whole


def step_of(path: Path) -> int:
    return sorted_progress(path)["global_step"]


def sorted_progress(path: Path) -> dict[str, Any]:
    parts = load_checkpoint(path)
    return parts["train_state"] if "train_state" in parts else parts["progress"]


ERRORS = [
    ValueError("a bad sample"),
    MemoryError(),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somebody/else"),
    ConfigError("a component's own"),
    RuntimeError("CUDA error: out of memory"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_error_leaves_the_last_whole_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    with pytest.raises(type(error)):
        fit(
            small_model(),
            Batches(random_batches(9)),
            callbacks=[ModelCheckpoint(str(tmp_path)), Boundary(whole=True), Raise(error, 7)],
        )

    assert step_of(tmp_path / "last.pt") == 7
    (said,) = [text for text in caplog.messages if "checkpoint" in text]
    assert said.startswith("checkpoint of step 7, the last whole one before the error, saved: ")
    assert "`doit resume`" in said


@pytest.mark.parametrize(("error", "whole"), [(KeyboardInterrupt(), True), (ValueError("within a step"), False)])
def test_a_second_ctrl_c_and_an_error_within_a_step_leave_what_was_saved_before(
    tmp_path: Path, error: BaseException, whole: bool
) -> None:
    with pytest.raises(type(error)):
        fit(
            small_model(),
            Batches(random_batches(9)),
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=5), Boundary(whole=whole), Raise(error, 7)],
        )

    assert step_of(tmp_path / "last.pt") == 5


def test_a_run_that_fails_before_its_first_step_saves_nothing(tmp_path: Path) -> None:
    class Early:
        def on_fit_start(self, ctx: RunContext) -> None:
            ctx.at_boundary = True
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fit(small_model(), Batches(random_batches(2)), callbacks=[ModelCheckpoint(str(tmp_path)), Early()])

    assert list(tmp_path.iterdir()) == []


def test_a_save_that_failed_is_not_tried_again_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        tries.append(1)
        raise ConfigError("no room", title="checkpoint not saved")

    tries: list[int] = []
    monkeypatch.setattr("otrainer.engine.checkpoint.writer.write_checkpoint", full)
    with pytest.raises(ConfigError, match="no room"):
        fit(
            small_model(),
            Batches(random_batches(9)),
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=2), Boundary(whole=True)],
        )

    assert (len(tries), caplog.messages) == (1, [])


def test_an_epochs_steps_are_on_the_disk_before_validation(tmp_path: Path) -> None:
    class Val:
        """Validation data that look at what is saved when they are asked for."""

        def __iter__(self) -> Any:
            saves._settle(contexts[0])
            seen.append(sorted_progress(tmp_path / "last.pt"))
            return iter(random_batches(1))

    class Keep:
        def on_fit_start(self, ctx: RunContext) -> None:
            contexts.append(ctx)

    contexts: list[RunContext] = []
    seen: list[dict[str, Any]] = []
    saves = ModelCheckpoint(str(tmp_path))
    fit(
        small_model(),
        Batches(random_batches(4), Val()),
        trainer={"max_epochs": 2},
        callbacks=[Keep(), saves],
    )

    assert [(each["global_step"], each["epoch_complete"]) for each in seen] == [(4, False), (8, False)]
    assert sorted_progress(tmp_path / "last.pt")["epoch_complete"] is True


@pytest.mark.parametrize("every", [None, 4, 3])
def test_a_signal_in_validation_saves_no_second_time_what_the_epochs_end_saved(
    tmp_path: Path, every: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otrainer.engine.checkpoint import writer

    def count(state: Any, paths: Any, *rest: Any) -> None:
        written.append(state["rng"] is not None)
        write(state, paths, *rest)

    class Val:
        def __iter__(self) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return iter(random_batches(2))

    written: list[bool] = []
    write = writer.write_checkpoint
    monkeypatch.setattr(writer, "write_checkpoint", count)
    with StopRequest(), pytest.raises(TrainingInterrupted):
        fit(
            small_model(),
            Batches(random_batches(4), Val()),
            callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=every)],
        )

    assert len(written) == {None: 1, 4: 1, 3: 2}[every]
    assert step_of(tmp_path / "last.pt") == 4
