"""Validation may differentiate where that is asked for, and torch tells which gradient is no number where it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches, small_model

from otrainer.engine.state import RunContext
from otrainer.protocols import LossOutput


class Forces(torch.nn.Module):
    """A model of an energy that returns its slopes, as those of molecules do."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = small_model()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.requires_grad_()
        (slopes,) = torch.autograd.grad(self.energy(x).sum(), x, create_graph=self.training)
        return slopes.sum(1, keepdim=True)


class Gradients:
    """Notes whether parameters' gradients are the very ones after validation that they were before it."""

    def __init__(self) -> None:
        self.before: list[Any] = []
        self.same: list[bool] = []

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.before = [(each.grad, None if each.grad is None else each.grad.clone()) for each in ctx.model.parameters()]

    def on_epoch_end(self, ctx: RunContext) -> None:
        pairs = zip(self.before, ctx.model.parameters(), strict=True)
        self.same += [each.grad is kept and (kept is None or torch.equal(kept, copy)) for (kept, copy), each in pairs]


class BackwardInValidation:
    """A loss that leaves gradients behind wherever it can."""

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        loss = torch.nn.functional.mse_loss(outputs, targets["y"])
        if stage == "val" and loss.requires_grad:
            loss.backward()
        return LossOutput(loss)


def test_a_model_that_differentiates_is_validated_and_trains_as_without() -> None:
    notes = Notes()
    validated = fit(
        Forces(),
        Batches(random_batches(3), random_batches(2, seed=9)),
        trainer={"max_epochs": 2, "val_gradients": True},
        loggers=[notes],
    )
    alone = fit(Forces(), Batches(random_batches(3)), trainer={"max_epochs": 2})
    assert torch.equal(parameters_of(validated), parameters_of(alone))

    validated.eval()
    losses = [
        torch.nn.functional.mse_loss(validated(each["x"]), each["y"]).item() for each in random_batches(2, seed=9)
    ]
    assert notes.values("val", "val_loss")[-1] == pytest.approx(sum(losses) / 2, rel=1e-6)


def test_without_it_such_a_model_fails_before_training() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        fit(Forces(), Batches(random_batches(3), random_batches(2)), trainer={"max_epochs": 1})


@pytest.mark.parametrize("rhythm", [{}, {"val_every_n_steps": 1}])
def test_the_gradients_of_training_stay_the_very_same(rhythm: dict[str, int]) -> None:
    seen = Gradients()
    data = Batches(random_batches(3), random_batches(2, seed=9))
    trainer = {"max_epochs": 2, "val_gradients": True, **rhythm}
    model = fit(small_model(), data, trainer=trainer, loss=BackwardInValidation(), callbacks=[seen])
    assert len(seen.same) == 8
    assert all(seen.same)

    plain = fit(small_model(), Batches(random_batches(3)), trainer={"max_epochs": 2}, loss=BackwardInValidation())
    assert torch.equal(parameters_of(model), parameters_of(plain))


class Root(torch.nn.Module):
    """A model whose gradient is no number while its outputs are numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.inner(x) + torch.sqrt(self.inner(x) * 0))


def test_the_operation_whose_gradient_is_no_number_first_is_named_where_asked_for() -> None:
    with pytest.warns(UserWarning, match="MulBackward0"), pytest.raises(RuntimeError, match="MulBackward0"):
        fit(Root(), Batches(random_batches(2)), trainer={"detect_anomaly": True})
    assert not torch.is_anomaly_enabled()


def test_looking_for_anomalies_changes_no_bit_and_ends_with_the_run() -> None:
    looked: list[bool] = []

    class Look:
        def on_train_step_end(self, ctx: RunContext) -> None:
            looked.append(torch.is_anomaly_enabled())

    ours = fit(small_model(), Batches(random_batches(3)), trainer={"detect_anomaly": True}, callbacks=[Look()])
    assert looked == [True] * 3
    assert not torch.is_anomaly_enabled()
    assert torch.equal(parameters_of(ours), parameters_of(fit(small_model(), Batches(random_batches(3)))))
