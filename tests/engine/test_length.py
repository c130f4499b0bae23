"""A run is as long as its config says, by epochs, steps or hours, and ends there whatever happened on the way."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.length import Length, seconds_of
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext, TrainState
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError

BATCHES = 5


class Ends:
    """Notes where epochs ended, and sends a signal after a given step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.epochs: list[tuple[int, int]] = []

    def on_train_step_end(self, ctx: RunContext) -> None:
        if ctx.state.global_step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    def on_epoch_end(self, ctx: RunContext) -> None:
        self.epochs.append((ctx.state.epoch, ctx.state.global_step))

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": list(self.epochs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs = [tuple(each) for each in state["epochs"]]


def by_hand(batches: list[dict[str, torch.Tensor]], steps: int, accumulate: int) -> torch.Tensor:
    """What plain torch makes of so many steps over batches that come in the same order in each epoch."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    epoch = [batches[at : at + accumulate] for at in range(0, len(batches), accumulate)]
    for group in itertools.islice(itertools.cycle(epoch), steps):
        optimizer.zero_grad()
        for batch in group:
            (torch.nn.functional.mse_loss(model(batch["x"]), batch["y"]) / len(group)).backward()
        optimizer.step()
    return parameters_of(model)


def endless(batches: list[dict[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    return itertools.cycle(batches)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("steps", [1, 3, 5, 6, 11])
def test_a_run_of_so_many_steps_is_that_of_plain_torch(steps: int, accumulate: int) -> None:
    batches, ends = random_batches(BATCHES), Ends()
    trainer = {"max_steps": steps, "grad_accum_steps": accumulate}
    model = fit(small_model(), Batches(batches), trainer=trainer, callbacks=[ends])
    assert torch.equal(parameters_of(model), by_hand(batches, steps, accumulate))

    in_epoch = -(-BATCHES // accumulate)
    assert ends.epochs[-1] == ((steps - 1) // in_epoch, steps)
    assert len(ends.epochs) == -(-steps // in_epoch)


def test_what_comes_first_ends_the_run() -> None:
    for trainer, steps in (
        ({"max_steps": 7, "max_epochs": 1}, 5),
        ({"max_steps": 7, "max_epochs": 9}, 7),
        ({}, 5),
        ({"max_epochs": 2}, 10),
        ({"max_time": 1000, "max_steps": 6}, 6),
    ):
        ends = Ends()
        fit(small_model(), Batches(random_batches(BATCHES)), trainer=trainer, callbacks=[ends])
        assert ends.epochs[-1][1] == steps, trainer


def test_endless_data_have_epochs_of_so_many_batches() -> None:
    batches, ends = random_batches(4), Ends()
    model = fit(
        small_model(),
        Batches(lambda: endless(batches), lambda: endless(batches)),
        trainer={"max_epochs": 3, "train_batches": 4, "val_batches": 2},
        callbacks=[ends],
    )
    assert ends.epochs == [(0, 4), (1, 8), (2, 12)]
    assert torch.equal(parameters_of(model), by_hand(batches, 12, 1))


def test_an_epoch_never_has_more_batches_than_its_data() -> None:
    ends = Ends()
    fit(small_model(), Batches(random_batches(3)), trainer={"max_epochs": 2, "train_batches": 9}, callbacks=[ends])
    assert ends.epochs == [(0, 3), (1, 6)]


def test_only_so_many_validation_batches_are_judged() -> None:
    val = random_batches(4, seed=9)
    notes, model = Notes(), small_model()
    data = Batches(random_batches(2), val)
    fit(model, data, trainer={"max_epochs": 1, "val_batches": 3}, loggers=[notes])
    (logged,) = [row["val_loss"] for stage, _, row in notes.rows if stage == "val"]
    losses = [torch.nn.functional.mse_loss(model(batch["x"]), batch["y"]).item() for batch in val[:3]]
    assert logged == pytest.approx(sum(losses) / 3, rel=1e-6)


def stretch(folder: Path, steps: int, *, stop_at: int | None = None, resume: bool = False, **more: Any) -> Any:
    """Train so many steps, or go on from where a folder's run stands."""
    model, ends = small_model(), Ends(stop_at)
    model.insert(1, torch.nn.Dropout(0.3))  # type: ignore[operator]  # it is a Sequential
    with StopRequest():
        fit(
            model,
            Batches(random_batches(BATCHES), random_batches(2, seed=5)),
            trainer={"max_steps": steps, "grad_accum_steps": 2, "log_every_n_steps": 1, **more},
            optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-2}},
            callbacks=[ModelCheckpoint(str(folder)), ends],
            run={"seed": 7, **({"resume_from": str(folder / "last.pt")} if resume else {})},
        )
    return parameters_of(model), ends.epochs


@pytest.mark.parametrize("train_batches", [None, 3])
@pytest.mark.parametrize("stop_at", range(1, 7))
def test_stopped_after_any_step_it_ends_at_the_same_step_with_the_same_weights(
    tmp_path: Path, stop_at: int, train_batches: int | None
) -> None:
    whole = stretch(tmp_path / "whole", 7, train_batches=train_batches)
    with pytest.raises(TrainingInterrupted):
        stretch(tmp_path / "broken", 7, stop_at=stop_at, train_batches=train_batches)
    continued = stretch(tmp_path / "broken", 7, resume=True, train_batches=train_batches)
    assert torch.equal(continued[0], whole[0])
    assert continued[1] == whole[1]


@pytest.mark.parametrize("first", range(1, 8))
def test_a_run_that_is_given_more_steps_goes_on_in_the_epoch_that_was_cut(tmp_path: Path, first: int) -> None:
    """Its weights are those of a run that had as many from the start."""
    whole, _ = stretch(tmp_path / "whole", 8)
    stretch(tmp_path / "more", first)
    continued, ends = stretch(tmp_path / "more", 8, resume=True)
    assert torch.equal(continued, whole)
    assert ends[-1] == (2, 8)
    assert [each for each in ends if each[1] == 6] == [(1, 6)]  # an epoch that was at its end is not ended twice


def test_an_epoch_of_unknown_length_that_was_at_its_end_is_not_ended_again(tmp_path: Path) -> None:
    def train(steps: int, **settings: Any) -> list[tuple[int, int]]:
        ends = Ends()
        data = Batches(lambda: iter(random_batches(3)))
        checkpoint = ModelCheckpoint(str(tmp_path))
        fit(small_model(), data, trainer={"max_steps": steps}, callbacks=[checkpoint, ends], run=settings)
        return ends.epochs

    assert train(3) == [(0, 3)]
    assert train(5, resume_from=str(tmp_path / "last.pt")) == [(0, 3), (1, 5)]


def test_a_checkpoint_of_more_steps_than_are_asked_for_is_refused(tmp_path: Path) -> None:
    stretch(tmp_path, 4)
    with pytest.raises(ConfigError, match="The checkpoint has 4 steps, and `max_steps` is 3") as caught:
        stretch(tmp_path, 3, resume=True)
    assert caught.value.findings[0].config_path == ("trainer", "max_steps")


class Clock:
    """A clock on which each step takes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.now += 1.0

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def test_a_run_ends_once_it_was_trained_for_so_long_all_attempts_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(stop_at: int | None, **settings: Any) -> list[tuple[int, int]]:
        ends = Ends(stop_at)
        with StopRequest():
            fit(
                small_model(),
                Batches(random_batches(BATCHES)),
                trainer={"max_time": "7s"},
                callbacks=[Clock(monkeypatch), ends, ModelCheckpoint(str(tmp_path))],
                run=settings,
            )
        return ends.epochs

    with pytest.raises(TrainingInterrupted):
        train(3)
    ends = train(None, resume_from=str(tmp_path / "last.pt"))
    assert ends[-1] in ((1, 7), (1, 8))  # the last second before the stop was not counted, or was
    assert len(ends) == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("2h30m", 9000), ("1d", 86400), ("1d 2h", 93600), ("45s", 45), ("01:30:00", 5400),
     ("1-12:00:00", 129600), (30, 30), (0.5, 0.5)],
)  # fmt: skip
def test_a_time_is_read_as_people_write_it(text: str | float, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "2 hours", "30m2h", "0s", 0, -1, True, float("inf"), float("nan"), "1:2", []]
)
def test_what_is_no_time_is_told(text: Any) -> None:
    with pytest.raises(ValueError, match="max_time is a time such as"):
        DefaultTrainer(max_time=text)


@given(
    batches=st.integers(1, 9),
    accumulate=st.integers(1, 4),
    epochs=st.none() | st.integers(1, 4),
    steps=st.none() | st.integers(1, 20),
    most=st.none() | st.integers(1, 9),
)
def test_the_steps_that_are_foretold_are_those_that_are_taken(
    batches: int, accumulate: int, epochs: int | None, steps: int | None, most: int | None
) -> None:
    length = Length.of(epochs, steps, None, most, accumulate)
    state = TrainState()
    while not length.is_reached(state):
        for _ in length.cut(iter([[]] * -(-length.batches_in(batches) // accumulate)), state):  # type: ignore[operator]
            state.global_step += 1
        state.epoch_complete = True
        ended = copy.copy(state)
        state.epoch += 1
        state.epoch_complete = False
    assert length.total_steps(batches) == ended.global_step
    assert length.total_epochs(batches) == ended.epochs_done
