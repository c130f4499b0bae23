"""Each learning rate is logged under a name of its own, which nothing else that is logged takes from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer.components.loss import LossOutput
from otrainer.errors import ConfigError


class Groups:
    """A factory whose groups have these names (None for a group without one) and the rates 0.1, 0.2, ..."""

    def __init__(self, *names: Any, make: Callable[..., Any] = torch.optim.SGD) -> None:
        self.names, self.make = names, make

    def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
        parameters = list(model.parameters())
        groups = [
            {"params": [parameters[at]], "lr": (at + 1) / 10, **({} if name is None else {"name": name})}
            for at, name in enumerate(self.names)
        ]
        optimizer: torch.optim.Optimizer = self.make(groups)
        return optimizer


class Logs:
    """A loss that logs 7 under some name, from some call in training on."""

    def __init__(self, name: str, first: int = 1) -> None:
        self.name, self.first, self.calls = name, first, 0

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        self.calls += stage == "train"
        logs = {self.name: 7.0} if self.calls >= self.first else {}
        return LossOutput(((outputs - targets["y"]) ** 2).mean(), logs)


@pytest.mark.parametrize(
    ("names", "logged"),
    [
        ((None, "head"), ["lr", "lr_head"]),
        ((None, None), ["lr", "lr_1"]),
        (("w", "b", "w2", "b"), ["lr", "lr_b", "lr_w2", "lr_3"]),
        ((None, None, "1"), ["lr", "lr_1", "lr_2"]),
        ((None, "2", None), ["lr", "lr_1", "lr_2"]),
        ((None, 3, None, None), ["lr", "lr_1", "lr_2", "lr_3"]),
    ],
)
def test_the_rates_of_all_groups_are_logged_under_names_of_their_own(names: Any, logged: list[str]) -> None:
    notes = Notes()
    fit(small_model(), Batches(random_batches(1)), optimizer=Groups(*names), loggers=[notes])

    assert [notes.values("train", name) for name in logged] == [[(at + 1) / 10] for at in range(len(names))]


class Climbing(torch.optim.SGD):
    needs_closure = True


@pytest.mark.parametrize("make", [torch.optim.SGD, Climbing])
@pytest.mark.parametrize(("names", "taken"), [((None, None), "lr_1"), ((None, "head"), "lr_head")])
def test_a_log_of_the_loss_under_a_rate_s_name_is_refused_before_the_first_step(
    names: Any, taken: str, make: Any
) -> None:
    model = small_model()
    before = parameters_of(model)
    with pytest.raises(ConfigError, match=f"`{taken}`") as error:
        fit(model, Batches(random_batches(3)), optimizer=Groups(*names, make=make), loss=Logs(taken))

    (finding,) = error.value.findings
    assert (finding.title, finding.config_path) == ("name is taken", ("loss",))
    assert torch.equal(parameters_of(model), before)


def test_one_that_comes_later_is_refused_where_it_would_be_logged() -> None:
    late = Logs("lr_1", first=4)
    with pytest.raises(ConfigError, match="`lr_1`"):
        fit(small_model(), Batches(random_batches(10)), optimizer=Groups(None, None), loss=late, loggers=[Notes()])


def test_what_only_looks_like_a_rate_is_logged() -> None:
    notes = Notes()
    fit(small_model(), Batches(random_batches(1)), optimizer=Groups(None), loss=Logs("lr_1"), loggers=[notes])

    assert notes.values("train", "lr_1") == [7.0]
