"""What a run makes after it was built goes on where a resume makes it again, else it is told at the first save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, fit, random_batches, small_model
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from otrainer.components.callbacks import ModelCheckpoint


def train(folder: Path, epochs: int, callback: Any, model: Any = None) -> Any:
    """Train up to an epoch, or from the last checkpoint there."""
    last, model = folder / "last.pt", small_model() if model is None else model
    run = {"resume_from": str(last)} if last.exists() else {}
    callbacks = [callback, ModelCheckpoint(str(folder))]
    fit(model, Batches(random_batches(3)), trainer={"max_epochs": epochs}, callbacks=callbacks, run=run)
    return model


class Averages:
    """An average of the model, made when the run begins."""

    def __init__(self) -> None:
        self.average: Any = None

    def make(self, model: nn.Module) -> None:
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

    def on_fit_start(self, ctx: Any) -> None:
        if self.average is None:
            self.make(ctx.model)

    def on_train_step_end(self, ctx: Any) -> None:
        if self.average is None and ctx.state.epoch > 0:
            self.make(ctx.model)
        if self.average is not None:
            self.average.update_parameters(ctx.model)


class FromSecondEpoch(Averages):
    """A plain mean, as stochastic weight averaging begins it: late."""

    def on_fit_start(self, ctx: Any) -> None:
        pass

    def make(self, model: nn.Module) -> None:
        self.average = AveragedModel(model)


@pytest.mark.parametrize("make", [Averages, FromSecondEpoch])
def test_an_average_goes_on_after_every_stop_and_nothing_is_told(
    make: Callable[[], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, parts = make(), make()
    train(tmp_path / "whole", 4, whole)
    for epochs in (1, 2, 3, 4):
        parts = make()
        train(tmp_path / "parts", epochs, parts)

    assert int(parts.average.n_averaged) == int(whole.average.n_averaged) > 0
    assert all(map(torch.equal, parts.average.state_dict().values(), whole.average.state_dict().values()))
    assert caplog.messages == []


class LateByFunction(FromSecondEpoch):
    def make(self, model: nn.Module) -> None:
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))


class LateOptimizer(Averages):
    def on_fit_start(self, ctx: Any) -> None:
        pass

    def on_train_step_end(self, ctx: Any) -> None:
        self.average = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


@pytest.mark.parametrize(("make", "kind"), [(LateByFunction, "AveragedModel"), (LateOptimizer, "SGD")])
def test_what_no_resume_can_make_again_is_told_once_when_it_is_saved(
    make: Callable[[], Any], kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 3, make())

    (told,) = [message for message in caplog.messages if "after the run had begun" in message]
    assert told.startswith(f"`average` of `{make.__name__}` (callbacks[0]) is a `{kind}` that was made after")  # type: ignore[attr-defined]
    assert not any(".." in message.split(" of ")[0] for message in caplog.messages)


class AddsHead:
    """Gives the model a layer, and the optimizer its parameters."""

    def on_fit_start(self, ctx: Any) -> None:
        ctx.model.append(nn.Linear(1, 1))
        ctx.optimizer.add_param_group({"params": list(ctx.model[3].parameters())})


class Prunes:
    """Has torch put a mask over a weight, which then has another name."""

    def on_epoch_end(self, ctx: Any) -> None:
        from torch.nn.utils import prune

        if ctx.state.epoch == 0:
            prune.l1_unstructured(ctx.model[0], "weight", 0.5)


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (AddsHead(), "The model has `3.bias`, `3.weight`, unlike when it was built. "),
        (Prunes(), "The model has `0.weight_mask`, `0.weight_orig`, unlike "),
    ],
)
def test_weights_that_came_after_the_model_was_built_are_told_at_the_first_save(
    callback: Any, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 3, callback)

    told = caplog.messages[0]
    assert told.startswith(words)
    assert len(caplog.messages) == 1 + isinstance(callback, Prunes)
    assert "no run can go on from this one's checkpoints" in told


class ReturnsNothing:
    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> Any:
        {"count": self.count}  # noqa: B018 - without its `return`

    def load_state_dict(self, state: Any) -> None:
        self.count = state["count"]


def test_a_state_dict_that_returns_none_is_told_when_it_is_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 2, ReturnsNothing())

    (told,) = caplog.messages
    assert told.startswith("`state_dict`, or `on_save`, of `ReturnsNothing` (callbacks[0]) returns None, ")
