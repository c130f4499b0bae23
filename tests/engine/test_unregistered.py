"""Parameters that lie in plain lists, objects and functions are told once, by their paths; no others are."""

from __future__ import annotations

import copy
import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Batches, PairIO, fit, random_batches, small_model
from torch import nn

from otrainer.components.loss import LossOutput, TorchLoss


class Holds(nn.Module):
    """A model that has something in an attribute, and does not use it."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.layer, self.held = nn.Linear(4, 1), held

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)


class Bag:
    """A plain object."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


@dataclass(slots=True)
class Slotted:
    weight: torch.Tensor


class Squares:
    """A loss that has something in an attribute."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(((outputs - targets["y"]) ** 2).mean())


class Io(PairIO):
    def __init__(self, held: Any) -> None:
        self.held = held


def told(caplog: pytest.LogCaptureFixture, **options: Any) -> str:
    """What is told of parameters astray; nothing twice."""
    model = options.pop("model", None) or small_model()
    fit(model, Batches(random_batches(2), random_batches(1)), trainer={"max_epochs": 2}, **options)
    lines = [text for text in caplog.messages if "nothing trains" in text]
    assert len(lines) <= 1
    return lines[0] if lines else ""


def layer() -> nn.Linear:
    return nn.Linear(1, 1, bias=False)


def leaf() -> torch.Tensor:
    return torch.ones(1, requires_grad=True)


def enclosing(held: Any) -> Callable[[], Any]:
    return lambda: held


HELD: dict[str, tuple[Callable[[], Any], str]] = {
    "a list": (lambda: [layer()], "held.0.weight"),
    "a tuple": (lambda: (1, layer()), "held.1.weight"),
    "a deque": (lambda: deque([layer()]), "held.0.weight"),
    "a mapping": (lambda: {"a": layer()}, "held.a.weight"),
    "lists of lists": (lambda: [[{"a": [layer()]}]], "held.0.0.a.0.weight"),
    "a leaf tensor": (leaf, "held"),
    "a plain object": (lambda: Bag(inner=Bag(ls=[nn.Parameter(torch.ones(1))])), "held.inner.ls.0"),
    "slots": (lambda: Slotted(leaf()), "held.weight"),
    "a namespace": (lambda: SimpleNamespace(a=layer()), "held.a.weight"),
    "a partial": (lambda: functools.partial(max, key=layer()), "held.keywords.key.weight"),
    "a method": (lambda: layer().forward, "held.__self__.weight"),
    "a function within another": (lambda: enclosing(layer()), "held.held.weight"),
}


@pytest.mark.parametrize("kind", HELD)
def test_what_a_model_holds_astray_is_told_by_its_path(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    make, path = HELD[kind]
    text = told(caplog, model=Holds(make()))

    assert text.startswith(f"nothing trains, moves or saves as parameters `{path}`: ")
    assert "nn.ModuleList" in text


@pytest.mark.parametrize("kind", ["a leaf tensor", "a plain object", "slots", "a method", "a function within another"])
def test_so_is_what_a_loss_holds_and_does_not_train(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    make, path = HELD[kind]
    assert f"`loss.{path}`" in told(caplog, loss=Squares(make()))


@pytest.mark.parametrize("kind", ["a list", "a leaf tensor", "a plain object"])
def test_so_is_what_an_io_holds(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    make, path = HELD[kind]
    assert f"`io.{path}`" in told(caplog, io=Io(make()))


def test_many_are_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    assert "`held.3.weight` and 4 more: " in told(caplog, model=Holds([layer() for _ in range(8)]))


def test_layers_in_a_list_within_layers_of_torch_are_found(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Sequential(Holds([layer()])))
    assert "`0.0.held.0.weight`" in told(caplog, model=model)


class Tied(Holds):
    """Lists what it has registered as well, itself, and a frozen copy."""

    def __init__(self) -> None:
        super().__init__(None)
        teacher = copy.deepcopy(self.layer).requires_grad_(False)
        self.held = [self.layer, self.layer.weight, teacher, self.forward, torch.ones(3)]
        self.held.append(self.held)


class Recurrent(nn.Module):
    """Has modules of torch's that list their own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 3), torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 1))

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.cell(x)[0])


def test_nothing_is_told_of_what_trains_or_is_frozen(caplog: pytest.LogCaptureFixture) -> None:
    model = small_model()
    assert told(caplog, model=Tied()) == ""
    assert told(caplog, model=Recurrent()) == ""
    assert told(caplog, model=model, loss=Squares([model, {"a": nn.Parameter(torch.ones(1))}]), io=Io(model)) == ""
    assert told(caplog, loss=TorchLoss(nn.MSELoss()), io=Io(torch.ones(1))) == ""


def test_nothing_is_told_of_what_a_factory_hands_over(caplog: pytest.LogCaptureFixture) -> None:
    model = Holds([layer()])

    class Factory:
        def build(self, model: Any, *, registry: Any) -> torch.optim.Optimizer:
            return torch.optim.SGD([*model.parameters(), *model.held[0].parameters()], lr=0.1)

    assert told(caplog, model=model, optimizer=Factory()) == ""


def test_long_lists_are_looked_at_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    held = [list(range(5000)), [[number] for number in range(5000)], dict.fromkeys(range(5000), "")]
    assert "`held.3.weight`" in told(caplog, model=Holds([*held, layer()]))
