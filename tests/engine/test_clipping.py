"""Gradients are clipped as torch clips them, to the bit: each value, then the norm, of each optimizer by itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from engine.test_freezing import StopAt
from support import Batches, fit, parameters_of, random_batches, small_model
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.accelerator import Accelerator
from otrainer.engine.clipping import clip, clip_norm, clip_value
from otrainer.engine.signals import StopRequest, TrainingInterrupted

VALUE = 0.02
SGD: dict[str, Any] = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "momentum": 0.9, "fused": False}}


def by_hand(value: float | None, norm: float | None, accumulate: int = 1, epochs: int = 3) -> torch.Tensor:
    """Plain torch, which clips each value and then the norm."""
    model, batches = small_model(), random_batches(4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for first in [*range(0, len(batches), accumulate)] * epochs:
        group = batches[first : first + accumulate]
        optimizer.zero_grad()
        for batch in group:
            (torch.nn.functional.mse_loss(model(batch["x"]), batch["y"]) / len(group)).backward()
        if value is not None:
            clip_grad_value_(model.parameters(), value)
        if norm is not None:
            clip_grad_norm_(model.parameters(), norm)
        optimizer.step()
    return parameters_of(model)


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("norm", [None, 0.05])
@pytest.mark.parametrize("value", [None, VALUE, 1e9])
def test_a_run_clips_values_and_then_the_norm_as_plain_torch_does(
    value: float | None, norm: float | None, accumulate: int
) -> None:
    trainer = {"max_epochs": 3, "grad_accum_steps": accumulate, "grad_clip_value": value, "grad_clip_norm": norm}
    trained = parameters_of(fit(small_model(), Batches(random_batches(4)), trainer=trainer, optimizer=SGD))

    assert torch.equal(trained, by_hand(value, norm, accumulate))
    assert torch.equal(trained, by_hand(None, None, accumulate)) is (value in (None, 1e9) and norm is None)


@pytest.mark.parametrize("stop_at", [1, 4, 6])
def test_a_stopped_run_clips_on_as_one_that_was_not(tmp_path: Path, stop_at: int) -> None:
    def train(stop: int | None, **run: Any) -> torch.Tensor:
        trainer = {"max_epochs": 3, "grad_clip_value": VALUE, "grad_clip_norm": 0.05}
        callbacks = [ModelCheckpoint(str(tmp_path)), StopAt(stop)]
        data = Batches(random_batches(4))
        with StopRequest():
            return parameters_of(fit(small_model(), data, trainer=trainer, optimizer=SGD, callbacks=callbacks, run=run))

    with pytest.raises(TrainingInterrupted):
        train(stop_at)
    assert torch.equal(train(None, resume_from=str(tmp_path / "last.pt")), by_hand(VALUE, 0.05))


def test_an_optimizer_that_evaluates_the_loss_itself_has_each_evaluation_clipped() -> None:
    def moved(value: float | None) -> float:
        optimizer = {"type": "optim_cls.LBFGS", "kwargs": {"max_iter": 1}}
        trainer = {"grad_clip_value": value}
        model = fit(small_model(), Batches(random_batches(1)), optimizer=optimizer, trainer=trainer)
        return float((parameters_of(model) - parameters_of(small_model())).abs().max())

    assert moved(1e-6) < 1.1e-6 < moved(None)


def test_each_of_several_optimizers_has_its_values_clipped_before_its_own_norm() -> None:
    several = {
        "weights": {**SGD, "parameters": ["*.weight"], "grad_clip_norm": 0.03},
        "biases": {**SGD, "parameters": ["*.bias"]},
    }
    trainer = {"max_epochs": 2, "grad_clip_value": VALUE}
    ours = fit(small_model(), Batches(random_batches(4)), trainer=trainer, optimizer=several)

    model = small_model()
    weights, biases = ([p for name, p in model.named_parameters() if name.endswith(end)] for end in ("weight", "bias"))
    optimizers = [torch.optim.SGD(each, lr=0.1, momentum=0.9) for each in (weights, biases)]
    for batch in random_batches(4) * 2:
        model.zero_grad()
        torch.nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        clip_grad_value_(model.parameters(), VALUE)
        clip_grad_norm_(weights, 0.03)
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(parameters_of(ours), parameters_of(model))


def test_values_of_a_sparse_gradient_are_clipped_once_they_are_summed_up() -> None:
    table = torch.nn.Embedding(5, 2, sparse=True)
    (table(torch.tensor([1, 1, 3])) * torch.tensor([[2.0], [3.0], [0.5]])).sum().backward()
    clip_value([table.weight], 4.0)

    assert table.weight.grad is not None
    assert table.weight.grad.to_dense()[:, 0].tolist() == [0.0, 4.0, 0.0, 0.5, 0.0]


def test_an_infinite_value_becomes_the_bound_and_one_that_is_no_number_stays() -> None:
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([torch.inf, -torch.inf, torch.nan])
    clip_value([parameter, torch.nn.Parameter(torch.zeros(1))], 2.0)

    assert parameter.grad[:2].tolist() == [2.0, -2.0]
    assert parameter.grad[2].isnan()


@pytest.mark.parametrize("norm", [0.5, 1e9])
def test_gradients_are_clipped_to_the_bits_that_torch_clips_them_to(norm: float) -> None:
    ours, torch_s = ([torch.nn.Parameter(each) for each in (torch.ones(3), torch.ones(2, 2).half())] for _ in "ab")
    for parameters in (ours, torch_s):
        generator = torch.Generator().manual_seed(1)
        for each in parameters:
            each.grad = torch.randn(each.shape, generator=generator).to(each.dtype)
    expected = torch.nn.utils.clip_grad_norm_(torch_s, norm)
    seen: list[torch.Tensor] = []
    clip_norm(ours, norm, seen.append)

    assert torch.equal(seen[0], expected)
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(ours, torch_s, strict=True))


def test_the_norm_is_seen_before_any_gradient_is_changed_by_it() -> None:
    fine, wrong = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    fine.grad, wrong.grad = torch.ones(2), torch.tensor([1.0, torch.nan])
    seen: list[list[float]] = []
    clip_norm([fine, wrong], 0.1, lambda _norm: seen.append(fine.grad.tolist()))

    assert seen == [[1.0, 1.0]]


@pytest.mark.parametrize(("slope", "left"), [(3.0, 0.5), (float("inf"), 1.0)])
def test_gradients_are_clipped_without_the_scale_for_fp16_and_an_overflow_is_no_mistake(
    slope: float, left: float
) -> None:
    """With the scaler of fp16, which torch has for the CPU as well."""
    accelerator, weight = Accelerator(), torch.nn.Parameter(torch.ones(1))
    accelerator.scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD([weight], lr=1.0)
    accelerator.backward((weight * slope).sum())
    seen: list[torch.Tensor] = []
    ctx, watch = SimpleNamespace(optimizer=optimizer), SimpleNamespace(see_norm=seen.append)
    session: Any = SimpleNamespace(accelerator=accelerator, watch=watch, ctx=ctx)
    clip(session, 9.0, 0.5)
    accelerator.step(optimizer)

    assert weight.tolist() == [left]
    assert not seen
