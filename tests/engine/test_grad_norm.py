"""Rows have the norm of the gradients from before it is bounded, where that is asked for, and so have checkpoints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Batches, Notes, StopAt, fit, parameters_of, random_batches, small_model
from torch.nn.utils import clip_grad_norm_, get_total_norm

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.accelerator import Accelerator
from otrainer.engine.clipping import clip, norms_of
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.errors import ConfigError
from otrainer.protocols import LossOutput

LOGS: dict[str, Any] = {"log_grad_norm": True, "log_every_n_steps": 1, "max_epochs": 2}
SGD: dict[str, Any] = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "fused": False}}


def by_hand(bound: float | None, accumulate: int = 1) -> list[float]:
    """The norms of plain torch, before they are clipped."""
    model, batches, norms = small_model(), random_batches(4), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for first in [*range(0, 4, accumulate)] * 2:
        group = batches[first : first + accumulate]
        optimizer.zero_grad()
        for batch in group:
            (torch.nn.functional.mse_loss(model(batch["x"]), batch["y"]) / len(group)).backward()
        norms.append(get_total_norm([each.grad for each in model.parameters() if each.grad is not None]).item())
        if bound is not None:
            clip_grad_norm_(model.parameters(), bound)
        optimizer.step()
    return norms


def logged(**trainer: Any) -> list[float]:
    notes = Notes()
    fit(small_model(), Batches(random_batches(4)), trainer={**LOGS, **trainer}, optimizer=SGD, loggers=[notes])
    return notes.values("train", "grad_norm")


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("bound", [None, 0.05])
def test_the_norm_is_that_of_plain_torch_before_it_is_bounded(bound: float | None, accumulate: int) -> None:
    assert logged(grad_clip_norm=bound, grad_accum_steps=accumulate) == by_hand(bound, accumulate)


def test_it_is_that_from_before_values_are_clipped_too() -> None:
    assert logged(grad_clip_value=1e-9, grad_clip_norm=5.0)[0] == by_hand(None)[0]


def test_nobody_who_did_not_ask_has_a_norm() -> None:
    assert logged(log_grad_norm=False, grad_clip_norm=1.0) == []


def test_a_logged_norm_changes_nothing_that_is_trained() -> None:
    def train(logs: bool) -> torch.Tensor:
        trainer = {**LOGS, "log_grad_norm": logs, "grad_clip_norm": 0.05, "grad_clip_value": 0.02}
        return parameters_of(fit(small_model(), Batches(random_batches(4)), trainer=trainer, optimizer=SGD))

    assert torch.equal(train(True), train(False))


def test_each_of_several_optimizers_has_its_norm_in_the_steps_that_it_takes() -> None:
    several = {
        "weights": {**SGD, "parameters": ["*.weight"], "grad_clip_norm": 0.03},
        "biases": {**SGD, "parameters": ["*.bias"], "every_n_steps": 2},
    }
    notes = Notes()
    fit(small_model(), Batches(random_batches(4)), trainer=LOGS, optimizer=several, loggers=[notes])
    rows = [row for stage, _, row in notes.rows if stage == "train"]
    assert ["grad_norm/biases" in row for row in rows] == [False, True] * 4
    assert all("grad_norm/weights" in row and "grad_norm" not in row for row in rows)

    model, batch = small_model(), random_batches(4)[0]
    torch.nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
    weights = [each.grad for name, each in model.named_parameters() if name.endswith("weight")]
    assert rows[0]["grad_norm/weights"] == get_total_norm([each for each in weights if each is not None]).item()


def test_an_optimizer_that_evaluates_the_loss_again_logs_the_first_norm() -> None:
    notes = Notes()
    optimizer = {"type": "optim_cls.LBFGS", "kwargs": {"max_iter": 3}}
    fit(small_model(), Batches(random_batches(4)), trainer=LOGS, optimizer=optimizer, loggers=[notes])
    assert notes.values("train", "grad_norm")[0] == by_hand(None)[0]


@pytest.mark.parametrize("stop_at", [1, 4, 6])
def test_the_row_of_a_stopped_step_has_it_after_a_resume(tmp_path: Path, stop_at: int) -> None:
    seen: list[float] = []

    class Look(StopAt):
        def on_fit_start(self, ctx: RunContext) -> None:
            seen.extend([ctx.last_train_logs["grad_norm"]] if ctx.last_train_logs else [])

    def train(stop: int | None, **run: Any) -> None:
        callbacks = [ModelCheckpoint(str(tmp_path)), Look(stop)]
        with StopRequest():
            fit(small_model(), Batches(random_batches(4)), trainer=LOGS, optimizer=SGD, callbacks=callbacks, run=run)

    with pytest.raises(TrainingInterrupted):
        train(stop_at)
    train(None, resume_from=str(tmp_path / "last.pt"))
    assert seen == [by_hand(None)[stop_at - 1]]


def test_a_loss_that_logs_its_own_value_by_this_name_is_refused_before_it_trains() -> None:
    def loss(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]), logs={"grad_norm": 1.0})

    with pytest.raises(ConfigError, match="norm of the gradients") as caught:
        fit(small_model(), Batches(random_batches(4)), trainer=LOGS, loss=loss)
    assert caught.value.findings[0].title == "name is taken"


def test_the_scale_for_fp16_is_taken_out_first() -> None:
    class Scaled:
        """A scaler that multiplied the gradients by 1024."""

        def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
            for parameter in optimizer.param_groups[0]["params"]:
                parameter.grad.div_(1024)

    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0]) * 1024
    accelerator: Any = Accelerator()
    accelerator.scaler = Scaled()
    ctx = SimpleNamespace(optimizer=torch.optim.SGD([parameter], lr=0.1), grad_norms={})
    session: Any = SimpleNamespace(accelerator=accelerator, watch=None, ctx=ctx)
    clip(session, 1.0, None, logs=True)

    assert norms_of(session.ctx)["grad_norm"] == 5.0
    assert norms_of(session.ctx) == {}
