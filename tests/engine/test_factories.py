"""A factory that returns something else than its part is told so at the part, before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model
from torch.optim.lr_scheduler import ExponentialLR

from otrainer.engine.optimizer import build_optimizer
from otrainer.engine.parts import Parts
from otrainer.engine.schedule import build_schedule
from otrainer.errors import ConfigError
from otrainer.protocols import SchedulerBundle


class Returning:
    """A factory that returns what a function makes of its argument, and notes what it was given."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def build(self, given: Any, *, registry: Any) -> Any:
        return self.make(given)


def sgd(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda model: [sgd(model)], r"returned a list of 1 \(`SGD`\), not an optimizer"),
        (lambda model: ([sgd(model)], []), r"returned a tuple of 2 \(`list`\), not an optimizer"),
        (lambda model: {"optimizer": sgd(model)}, "returned a value of type `dict`, not an optimizer"),
        (lambda model: None, "returned None, not an optimizer"),
        (lambda model: torch.optim.SGD, "returned the class `SGD` itself, not an optimizer"),
    ],
)
def test_what_is_no_optimizer_is_told_at_the_optimizer(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        fit(small_model(), Batches(random_batches(1)), optimizer=Returning(make))

    assert error.value.config_path == ("optimizer",)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda it: ExponentialLR(it, 0.9), "returned a value of type `ExponentialLR`, not a scheduler and when"),
        (lambda it: {"scheduler": ExponentialLR(it, 0.9)}, "returned a value of type `dict`, not a scheduler and when"),
        (lambda it: [ExponentialLR(it, 0.9)], r"returned a list of 1 \(`ExponentialLR`\), not a scheduler and when"),
        (lambda it: None, "returned None, not a scheduler and when"),
        (lambda it: SchedulerBundle(None), "returned SchedulerBundle with None, which is no scheduler"),
        (lambda it: SchedulerBundle(ExponentialLR), "SchedulerBundle with the class `ExponentialLR` itself"),
    ],
)
def test_what_is_no_scheduler_with_its_rhythm_is_told_at_the_scheduler(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        build_schedule(Returning(make), sgd(small_model()), None)

    assert error.value.config_path == ("scheduler",)


def test_an_optimizer_that_only_acts_like_one_is_one() -> None:
    class Around:
        """It holds another optimizer, and inherits from nothing."""

        def __init__(self, inner: torch.optim.Optimizer) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    model = small_model()
    parts: Any = {"datamodule": None, "io": None, "loss": None}
    built = build_optimizer(Parts(model, optimizer_factory=Returning(lambda it: Around(sgd(it))), **parts))

    assert type(built) is Around
