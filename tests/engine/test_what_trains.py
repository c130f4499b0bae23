"""What the optimizer holds is what is cleared, clipped, looked at and trained; parameters of the loss are among it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model
from torch import nn

from otrainer.components.loss import LossOutput, TorchLoss
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.errors import ConfigError

SGD = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1}}


class HeadAlone:
    """A factory that trains the last layer only."""

    def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(model[2].parameters(), lr=0.1)


class Norms:
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_step_end(self, ctx: Any) -> None:
        held = [each.grad for group in ctx.optimizer.param_groups for each in group["params"]]
        self.seen.append(float(torch.nn.utils.get_total_norm(held)))


class Balanced:
    """A loss with a learned variance, in a plain class, and a centre that moves in training mode."""

    def __init__(self) -> None:
        self.scale = Scale()

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(self.scale((outputs - targets["y"]) ** 2))


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log_var = nn.Parameter(torch.zeros(()))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, errors: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls += 1
        return (errors.mean() * torch.exp(-self.log_var)) + self.log_var


def test_the_norm_is_that_of_what_the_optimizer_holds() -> None:
    norms, batches, model = Norms(), random_batches(6), small_model()
    fit(model, Batches(batches), trainer={"grad_clip_norm": 0.1}, optimizer=HeadAlone(), callbacks=[norms])

    plain = small_model()
    optimizer = torch.optim.SGD(plain[2].parameters(), lr=0.1)
    for batch in batches:
        optimizer.zero_grad()
        nn.functional.mse_loss(plain(batch["x"]), batch["y"]).backward()
        torch.nn.utils.clip_grad_norm_(plain[2].parameters(), 0.1)
        optimizer.step()
    assert norms.seen == pytest.approx([0.1] * 6, rel=1e-4)
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), plain.parameters(), strict=True))


def test_parameters_that_nothing_trains_are_told_once_by_name(caplog: pytest.LogCaptureFixture) -> None:
    fit(small_model(), Batches(random_batches(2)), optimizer=HeadAlone(), trainer={"max_epochs": 2})

    (told,) = [text for text in caplog.messages if "does not hold" in text]
    assert "`0.weight`, `0.bias`" in told
    assert "2.weight" not in told


def test_frozen_parameters_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    model = small_model()
    model[0].requires_grad_(False)
    fit(model, Batches(random_batches(2)), optimizer=HeadAlone())

    assert not [text for text in caplog.messages if "does not hold" in text]


def test_a_group_that_is_added_later_is_cleared_and_clipped_with_the_others() -> None:
    class Thaw:
        def on_train_step_end(self, ctx: Any) -> None:
            if ctx.state.global_step == 3:
                ctx.optimizer.add_param_group({"params": list(ctx.model[0].parameters())})

    norms, model = Norms(), small_model()
    before = model[0].weight.detach().clone()
    callbacks = [norms, Thaw()]
    fit(model, Batches(random_batches(6)), trainer={"grad_clip_norm": 0.1}, optimizer=HeadAlone(), callbacks=callbacks)

    assert norms.seen == pytest.approx([0.1] * 6, rel=1e-4)
    assert not torch.equal(model[0].weight, before)


def test_parameters_of_a_loss_train_as_they_would_beside_the_model() -> None:
    loss, model, batches = Balanced(), small_model(), random_batches(5)
    fit(model, Batches(batches, random_batches(2, seed=9)), optimizer=SGD, loss=loss)

    plain, scale = small_model(), Scale()
    optimizer = torch.optim.SGD([*plain.parameters(), scale.log_var], lr=0.1)
    for batch in batches:
        optimizer.zero_grad()
        scale((plain(batch["x"]) - batch["y"]) ** 2).backward()
        optimizer.step()
    assert float(scale.log_var.detach()) != 0.0
    assert torch.equal(loss.scale.log_var, scale.log_var)
    assert torch.equal(model[0].weight, plain[0].weight)


def test_a_loss_is_in_evaluation_mode_for_validation_and_no_longer() -> None:
    loss = Balanced()
    fit(small_model(), Batches(random_batches(5), random_batches(4)), loss=loss, trainer={"max_epochs": 2})

    assert float(loss.scale.calls) == 10.0
    assert loss.scale.training


def test_lbfgs_trains_the_loss_s_parameters_too() -> None:
    loss = Balanced()
    optimizer = {"type": "optim_cls.LBFGS", "kwargs": {"lr": 0.5}}
    fit(small_model(), Batches(random_batches(2)), optimizer=optimizer, loss=loss)

    assert float(loss.scale.log_var.detach()) != 0.0


def test_a_loss_that_looks_at_the_model_trains_its_parameters_once() -> None:
    class Penalty:
        def __init__(self, model: nn.Module) -> None:
            self.model = model

        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            return LossOutput(((outputs - targets["y"]) ** 2).mean() + self.model[0].weight.pow(2).sum())

    groups: list[int] = []

    class Count:
        def on_fit_start(self, ctx: Any) -> None:
            groups.extend(len(group["params"]) for group in ctx.optimizer.param_groups)

    model = small_model()
    fit(model, Batches(random_batches(2)), optimizer=SGD, loss=Penalty(model), callbacks=[Count()])

    assert groups == [4]


class Table(nn.Module):
    """Rows that are looked up by the functional form, whose gradients are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(20, 1, generator=torch.Generator().manual_seed(1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding((x[:, 0].abs() * 5).long().clamp(max=19), self.rows, sparse=True)


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("kind", ["SGD", "Adagrad"])
def test_sparse_gradients_train_as_in_plain_torch(kind: str, clip: float | None) -> None:
    batches, model = random_batches(4), Table()
    optimizer = {"type": f"optim_cls.{kind}", "kwargs": {"lr": 0.1}}
    fit(model, Batches(batches), optimizer=optimizer, trainer={"grad_clip_norm": clip})

    plain = Table()
    by_hand = getattr(torch.optim, kind)(plain.parameters(), lr=0.1)
    for batch in batches:
        by_hand.zero_grad()
        nn.functional.mse_loss(plain(batch["x"]), batch["y"]).backward()
        if clip is not None:
            norm = plain.rows.grad.to_dense().norm()
            plain.rows.grad = plain.rows.grad.coalesce() * min(1.0, clip / (float(norm) + 1e-6))
        by_hand.step()
    assert torch.allclose(model.rows, plain.rows, atol=1e-7)


def test_complex_parameters_are_not_stepped_by_fused_kernels() -> None:
    class Phase(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn = nn.Parameter(torch.ones(4, dtype=torch.complex64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * self.turn).real.sum(1, keepdim=True)

    model = Phase()
    fit(model, Batches(random_batches(3)), optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 0.1}})

    assert model.turn.isfinite().all()


def test_an_optimizer_that_wants_a_closure_says_so() -> None:
    class Sam(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            assert closure is not None, "a closure is needed"
            return super().step(closure)

    class Factory:
        def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
            return Sam(model.parameters(), lr=0.1)

    with pytest.raises(ConfigError, match="without a closure") as error:
        fit(small_model(), Batches(random_batches(2)), optimizer=Factory())
    assert "needs_closure = True" in error.value.findings[0].hint


@pytest.mark.parametrize("count", [1, 2])
def test_a_sharpness_aware_optimizer_trains_as_in_plain_torch(count: int) -> None:
    """It climbs by the gradient that it finds, and asks for another one there (Foret et al., 2021)."""

    class Sam(torch.optim.SGD):
        needs_closure = True

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            parameters = [each for group in self.param_groups for each in group["params"]]
            norm = torch.nn.utils.get_total_norm([each.grad for each in parameters])
            moves = [0.05 * each.grad / (norm + 1e-12) for each in parameters]
            for parameter, move in zip(parameters, moves, strict=True):
                parameter.add_(move)
            loss = closure()
            for parameter, move in zip(parameters, moves, strict=True):
                parameter.sub_(move)
            super().step()
            return loss

    class Factory:
        def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
            return Sam(model.parameters(), lr=0.1)

    batches, model = random_batches(4), small_model()
    fit(model, Batches(batches), optimizer=Factory(), trainer={"grad_accum_steps": count})

    plain = small_model()
    sam = Sam(plain.parameters(), lr=0.1)
    for start in range(0, 4, count):
        whole = {key: torch.cat([batch[key] for batch in batches[start : start + count]]) for key in ("x", "y")}

        def closure(whole: Any = whole) -> torch.Tensor:
            with torch.enable_grad():
                sam.zero_grad()
                loss = nn.functional.mse_loss(plain(whole["x"]), whole["y"])
                loss.backward()
            return loss

        closure()
        sam.step(closure)
    assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(model.parameters(), plain.parameters(), strict=True))


def test_lbfgs_gets_its_loss_in_double_precision() -> None:
    batches = [{name: value.double() for name, value in batch.items()} for batch in random_batches(1)]
    losses: list[torch.dtype] = []

    class Seen(torch.optim.LBFGS):
        def step(self, closure: Any) -> Any:
            def watched() -> Any:
                loss = closure()
                losses.append(loss.dtype)
                return loss

            return super().step(watched)

    class Factory:
        def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
            exact = {"tolerance_grad": 1e-12, "tolerance_change": 1e-18}
            return Seen(model.parameters(), lr=1.0, max_iter=50, line_search_fn="strong_wolfe", **exact)

    model = nn.Linear(4, 1).double()
    fit(model, Batches(batches), optimizer=Factory(), trainer={"max_epochs": 4})

    nn.functional.mse_loss(model(batches[0]["x"]), batches[0]["y"]).backward()
    assert set(losses) == {torch.float64}
    assert float(model.weight.grad.norm()) < 1e-8


def test_the_factory_knows_whether_it_chose_fused_kernels() -> None:
    factory = TorchOptimizerFactory("optim_cls.AdamW", kwargs={"fused": False})
    from otrainer.registry import build_registry

    factory.build(small_model(), registry=build_registry())
    assert not factory.chose_fused
    assert TorchLoss(nn.MSELoss()).reduction == "mean"


class FreezesAtStart:
    """Freezes one layer before the first step, and hands another to the optimizer."""

    def on_fit_start(self, ctx: Any) -> None:
        ctx.model[0].requires_grad_(False)


def test_what_a_callback_freezes_before_the_first_step_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class LastLayer:
        def build(self, model: Any, *, registry: Any) -> torch.optim.Optimizer:
            return torch.optim.SGD(model[2].parameters(), lr=0.1)

    for callbacks, told in (([FreezesAtStart()], False), ([], True)):
        caplog.clear()
        fit(small_model(), Batches(random_batches(1)), optimizer=LastLayer(), callbacks=callbacks)
        assert any("does not hold `0.weight`, `0.bias`" in text for text in caplog.messages) is told
