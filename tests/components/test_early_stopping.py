"""Early stopping says why, and remembers what it waited for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, random_batches, small_model

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError


class Given:
    """A metric with a value for each epoch."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def compute(self) -> dict[str, float]:
        return {"val_given": self.values.pop(0)}


def stopped(callback: EarlyStopping, *values: float) -> None:
    fit(
        small_model(),
        Batches(random_batches(1), random_batches(1)),
        trainer={"max_epochs": 9},
        metrics=[Given(*values, *[0.0] * 9)],
        callbacks=[callback],
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([float("nan")] * 3, "stopped early: val_given was no number (NaN) in 3 validations"),
        ([1.0, 2.0, float("nan"), 3.0], "stopped early: val_given has not improved on 1.0 for 3 validations"),
    ],
)
def test_it_says_what_it_saw(caplog: pytest.LogCaptureFixture, values: list[float], words: str) -> None:
    stopped(EarlyStopping("val_given"), *values)

    assert words in caplog.messages


def test_another_monitor_is_waited_for_anew() -> None:
    first = EarlyStopping("val_given")
    stopped(first, 1.0, 2.0, 2.0, 2.0)
    same, other = EarlyStopping("val_given", patience=9), EarlyStopping("val_loss")
    for each in (same, other):
        each.load_state_dict(first.state_dict())

    assert (same.best, same.waited, other.best, other.waited) == (1.0, 3, None, 0)


FALLING = [5.0, 4.0, 4.5, 3.0, 3.5, 3.2, 3.1, 2.0, 1.0, 0.5]


class Falling:
    """A loss that logs one value after the other, each step."""

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        logs = {"given": FALLING[int(batch["at"])]} if stage == "train" else {}
        return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]), logs)


def train(folder: Path, stopper: EarlyStopping, stop: int | None = None, resume: bool = False) -> int:
    """Train three epochs of ten steps, and return after how many it ended."""
    batches = [{**batch, "at": torch.tensor(at)} for at, batch in enumerate(random_batches(10))]
    run = {"resume_from": str(folder / "last.pt")} if resume else {}
    checkpoints = ModelCheckpoint(str(folder))
    with StopRequest():
        fit(
            small_model(),
            Batches(batches),
            trainer={"max_epochs": 3},
            loss=Falling(),
            callbacks=[stopper, StopAt(stop), checkpoints],
            run={"definition": "d", **run},
        )
    ended: int = load_checkpoint(folder / "last.pt")["train_state"]["global_step"]
    return ended


@pytest.mark.parametrize(
    ("asked", "ended"),
    [
        ({"every": "step", "patience": 3}, 7),
        ({"every": "step", "patience": 4}, 14),
        ({"every": "step", "patience": 2, "mode": "max"}, 3),
        ({"every": "step", "patience": 1, "min_delta": 1.5}, 2),
        ({"every": "epoch", "patience": 1}, 20),
    ],
)
@pytest.mark.parametrize("stop", [None, 2, 6, 7, 13])
def test_it_ends_by_steps_or_epochs_of_training_wherever_it_was_stopped(
    tmp_path: Path, asked: dict[str, Any], ended: int, stop: int | None
) -> None:
    if stop is None or stop >= ended:
        assert train(tmp_path, EarlyStopping("given", **asked)) == ended
        return
    for at in (stop, stop + 1):
        with suppress(TrainingInterrupted):
            train(tmp_path, EarlyStopping("given", **asked), at, resume=at > stop)
    assert train(tmp_path, EarlyStopping("given", **asked), resume=True) == ended


def test_a_value_that_no_step_logs_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failed:
        train(tmp_path, EarlyStopping("givn", every="step"))

    (finding,) = failed.value.findings
    assert finding.suggestions[0] == "given"
    assert finding.config_path == ("callbacks", 0, "monitor")
    with pytest.raises(ValueError, match="every is"):
        EarlyStopping("given", every="batch")
