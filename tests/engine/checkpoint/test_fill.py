"""What an optimizer holds beside a component is the same object after a resume, and goes on being trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput


class Weighted:
    """A loss with a weight that is learned, which `place` puts somewhere and `find` finds there."""

    place: Callable[[nn.Parameter], Any]
    find: Callable[[Any], nn.Parameter]

    def __init__(self) -> None:
        self.held = type(self).place(nn.Parameter(torch.zeros(())))
        self.calls = 0

    def __call__(self, *, outputs: Any, targets: Any, **_: Any) -> LossOutput:
        self.calls += 1
        log_var = type(self).find(self.held)
        return LossOutput(torch.exp(-log_var) * ((outputs - targets["y"]) ** 2).mean() + log_var)


class Bare(Weighted):
    place = staticmethod(lambda parameter: parameter)
    find = staticmethod(lambda held: held)


class InList(Weighted):
    place = staticmethod(lambda parameter: [parameter])
    find = staticmethod(lambda held: held[0])


class InTuple(Weighted):
    place = staticmethod(lambda parameter: (1, (parameter,)))
    find = staticmethod(lambda held: held[1][0])


class InMapping(Weighted):
    place = staticmethod(lambda parameter: {"a": {"log_var": parameter}})
    find = staticmethod(lambda held: held["a"]["log_var"])


def train(folder: Path, epochs: int, model: Any = None, **parts: Any) -> Any:
    """Train up to an epoch, or from the last checkpoint there."""
    last, model = folder / "last.pt", small_model() if model is None else model
    callbacks = [*parts.pop("callbacks", ()), ModelCheckpoint(str(folder))]
    run = {"resume_from": str(last)} if last.exists() else {}
    fit(model, Batches(random_batches(3)), trainer={"max_epochs": epochs}, callbacks=callbacks, run=run, **parts)
    return model


def plain(loss: Weighted, epochs: int) -> Any:
    """Train by a loop that is written by hand."""
    model = small_model()
    optimizer = torch.optim.SGD([*model.parameters(), type(loss).find(loss.held)], lr=0.05)
    for batch in random_batches(3) * epochs:
        optimizer.zero_grad()
        loss(outputs=model(batch["x"]), targets=batch).loss.backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("make", [Bare, InList, InTuple, InMapping])
def test_a_parameter_of_a_loss_is_trained_on_after_every_stop(make: type[Weighted], tmp_path: Path) -> None:
    by_hand, whole, parts = make(), make(), make()
    expected = plain(by_hand, 3)

    train(tmp_path / "whole", 3, loss=whole)
    for epochs in (1, 2, 3):
        parts = make()
        model = train(tmp_path / "parts", epochs, loss=parts)

    assert torch.equal(make.find(parts.held), make.find(whole.held))
    assert torch.allclose(make.find(parts.held), make.find(by_hand.held), rtol=1e-6)
    assert torch.allclose(next(model.parameters()), next(expected.parameters()), rtol=1e-5)


class Leaves(nn.Module):
    """A model that keeps a parameter in a list, and a leaf that is none; the optimizer is given both."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_model()
        self.scales, self.shift = [nn.Parameter(torch.ones(1))], torch.zeros(1, requires_grad=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.net(x) * self.scales[0] + self.shift
        return y


class AllLeaves:
    chose_fused = False

    def build(self, model: Any, *, registry: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([*model.parameters(), *model.scales, model.shift], lr=0.05, momentum=0.9)


def test_leaves_that_a_model_keeps_unregistered_are_trained_on(tmp_path: Path) -> None:
    whole, parts = Leaves(), Leaves()
    train(tmp_path / "whole", 3, whole, optimizer=AllLeaves())
    for epochs in (1, 2, 3):
        parts = Leaves()
        train(tmp_path / "parts", epochs, parts, optimizer=AllLeaves())

    assert torch.equal(parts.scales[0], whole.scales[0])
    assert torch.equal(parts.shift, whole.shift)
    assert all(map(torch.equal, parts.state_dict().values(), whole.state_dict().values()))


class Coefficient:
    """A callback that trains a coefficient with an optimizer of its own, which holds the object."""

    def __init__(self) -> None:
        self.log_alpha = nn.Parameter(torch.zeros(()))
        self.optimizer = torch.optim.Adam([self.log_alpha], lr=0.1)

    def on_train_step_end(self, ctx: Any) -> None:
        self.optimizer.zero_grad()
        (self.log_alpha.exp() * 0.3 + self.log_alpha**2).backward()
        self.optimizer.step()


def test_a_coefficient_of_a_callback_is_the_one_that_its_optimizer_holds(tmp_path: Path) -> None:
    whole, parts = Coefficient(), Coefficient()
    train(tmp_path / "whole", 3, callbacks=[whole])
    for epochs in (1, 3):
        parts = Coefficient()
        train(tmp_path / "parts", epochs, callbacks=[parts])

    assert parts.optimizer.param_groups[0]["params"][0] is parts.log_alpha
    assert torch.equal(parts.log_alpha, whole.log_alpha)
