"""What a batch counts is one finite number that is not negative, or is refused where it was said, before a step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, fit, parameters_of, random_batches, small_model

from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import LossOutput
from otrainer.engine.loss_check import LossWatch
from otrainer.engine.state import TrainState
from otrainer.engine.weights import checked_weight, read_weights
from otrainer.errors import ConfigError

WRONG = [
    (float("nan"), "is nan"),
    (float("inf"), "is inf"),
    (-3.0, "is -3.0"),
    (torch.tensor(torch.nan), "is nan"),
    (torch.ones(8), r"of shape \(8,\)"),
    (torch.empty(0), r"of shape \(0,\)"),
    (torch.tensor(1j), "complex64"),
    (np.ones(8), "of type ndarray"),
    ("3", "is '3'"),
    (1j, "of type complex"),
    ([1.0], "of type list"),
]


class Weighing:
    """A squared error that says what it counts."""

    def __init__(self, weight: Any) -> None:
        self.weight = weight

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(((outputs - targets["y"]) ** 2).mean(), weight=self.weight)


class WeighingIO:
    def __init__(self, weight: Any) -> None:
        self.weight = weight

    def split(self, batch: Any, *, stage: str) -> Any:
        return ArgsKwargs((batch["x"],)), {"y": batch["y"]}, {"weight": self.weight}


@pytest.mark.parametrize("part", ["loss", "io"])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("weight", "told"), WRONG, ids=[told for _, told in WRONG])
def test_a_weight_that_is_no_number_is_refused_where_it_was_said(
    weight: Any, told: str, accumulate: int, part: str
) -> None:
    model = small_model()
    given: dict[str, Any] = {"loss": Weighing(weight)} if part == "loss" else {"loss": Weighing(None)}
    given |= {"io": WeighingIO(weight)} if part == "io" else {}
    with pytest.raises(ConfigError, match=rf"The `weight` of a batch is .*{told.removeprefix('is ')}") as error:
        fit(model, Batches(random_batches(2)), trainer={"grad_accum_steps": accumulate}, **given)

    assert error.value.config_path == (part,)
    assert torch.equal(parameters_of(model), parameters_of(small_model()))


def test_a_function_that_returns_no_weight_is_refused_once_it_is_called() -> None:
    wrong = Weighing(lambda: float("nan"))
    fit(small_model(), Batches(random_batches(2)), loss=wrong)  # nothing needs it
    for given in ({"trainer": {"grad_accum_steps": 2}}, {}):
        with pytest.raises(ConfigError, match="The `weight` of a batch is nan"):
            fit(small_model(), Batches(random_batches(2), random_batches(1)), loss=wrong, **given)


@pytest.mark.parametrize("weight", [2, 2.0, True, np.float32(2), np.array(2), torch.tensor([2]), torch.tensor(2.0)])
def test_numbers_of_any_kind_are_weights(weight: Any) -> None:
    assert checked_weight(weight) == float(weight)


def test_on_a_device_a_weight_is_told_at_the_next_look_without_one_in_between() -> None:
    on_device = torch.empty((), device="meta")
    assert checked_weight(on_device).device.type == "meta"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="shape"):
        checked_weight(torch.empty(3, device="meta"))

    watch = LossWatch(SimpleNamespace(state=TrainState()), torch.device("meta"))  # type: ignore[arg-type]
    for value in (1.0, torch.tensor(2.0), torch.tensor(-1.0)):
        watch.see_weight(value, 0)
    with pytest.raises(ConfigError, match=r"The `weight` of a batch is -1\.0"):
        watch.look()
    with pytest.raises(ConfigError, match="The `weight` of a batch is nan"):
        read_weights([1.0, torch.tensor(torch.nan)])


def test_a_weight_of_zero_that_nothing_needs_changes_no_step() -> None:
    model, plain = small_model(), small_model()
    fit(model, Batches(random_batches(3)), loss=Weighing(0.0))
    fit(plain, Batches(random_batches(3)), loss=Weighing(None))

    assert torch.equal(parameters_of(model), parameters_of(plain))
