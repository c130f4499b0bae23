"""What a loss logs is a number each, or is refused by its name: in training at the first step, else before it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.components.loss import LossOutput
from otrainer.engine.logs import one_number
from otrainer.errors import ConfigError

WRONG = [torch.ones(16), torch.empty(0), torch.tensor(1j), "warm", "3.5", None, 1j, np.ones(3), {"a": 1.0}, [1.0]]


class Logging:
    def __init__(self, logs: Any, stage: str) -> None:
        self.logs, self.stage = logs, stage

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        loss = ((outputs - targets["y"]) ** 2).mean()
        return LossOutput(loss, logs=self.logs if stage == self.stage else {})


@pytest.mark.parametrize("stage", ["train", "val"])
@pytest.mark.parametrize("value", WRONG, ids=lambda value: f"{type(value).__name__} {value}")
def test_a_log_that_is_no_number_is_refused_by_name_before_a_parameter_changes(value: Any, stage: str) -> None:
    model = small_model()
    with pytest.raises(ConfigError, match=r"The loss logs `per_class`, a .*, which is no number") as error:
        fit(
            model,
            Batches(random_batches(3), random_batches(1)),
            loss=Logging({"per_class": value}, stage),
            trainer={"log_every_n_steps": 3},
        )

    assert error.value.config_path == ("loss",)
    assert torch.equal(parameters_of(model), parameters_of(small_model()))


@pytest.mark.parametrize("logs", [[1.0], torch.ones(2), "text"])
def test_logs_without_names_are_refused(logs: Any) -> None:
    with pytest.raises(ConfigError, match="The loss logs `logs`"):
        fit(small_model(), Batches(random_batches(1)), loss=Logging(logs, "train"))


@pytest.mark.parametrize("value", [1, 1.0, True, Decimal(1), np.float32(1), np.ones(1), torch.ones(1, 1)])
def test_numbers_of_any_kind_are_logged(value: Any) -> None:
    notes = Notes()
    fit(small_model(), Batches(random_batches(1)), loss=Logging({"a": value}, "train"), loggers=[notes])

    assert notes.values("train", "a") == [1.0]


def test_a_log_on_a_device_is_not_waited_for() -> None:
    assert one_number("a", torch.empty((), device="meta")).device.type == "meta"
    with pytest.raises(ConfigError, match="shape"):
        one_number("a", torch.empty(3, device="meta"))
