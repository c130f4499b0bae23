"""Early stopping says why, and remembers what it waited for."""

from __future__ import annotations

import pytest
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import EarlyStopping


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
