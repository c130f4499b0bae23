"""Modes are the user's: what was in evaluation mode before validation is so after it, and slips are told."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, fit, parameters_of, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint

STEPS, LR = 5, 0.1


def with_norm(frozen: bool = True) -> nn.Sequential:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    if frozen:
        model[1].eval()
    return model


def data() -> Batches:
    return Batches(random_batches(STEPS), random_batches(2, seed=8))


def test_what_was_built_in_evaluation_mode_stays_so() -> None:
    model = with_norm()
    fit(model, data(), trainer={"max_epochs": 2})

    assert float(model[1].running_mean.abs().sum()) == 0.0
    assert [part.training for part in model] == [True, False, True, True]


@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_epoch_end", "on_epoch_end"])
def test_what_a_callback_sets_stays_so_after_validation(hook: str) -> None:
    class Freeze:
        def freeze(self, ctx: Any) -> None:
            ctx.model[1].eval()

    setattr(Freeze, hook, Freeze.freeze)
    model = with_norm(frozen=False)
    fit(model, data(), trainer={"max_epochs": 2}, callbacks=[Freeze()])

    assert not model[1].training
    assert model.training


def test_a_part_whose_modes_do_more_is_switched_and_not_only_marked() -> None:
    """As adapters do, which are merged into the weights for evaluation."""

    class Merging(nn.Linear):
        def train(self, mode: bool = True) -> nn.Module:
            if mode != self.training:
                switches.append(mode)
            return super().train(mode)

    switches: list[bool] = []
    fit(nn.Sequential(Merging(4, 1)), data())

    assert switches == [False, True] * 2  # for the batch that is tried first, and for validation


class Frozen(nn.Sequential):
    """Keeps its normalisation in evaluation mode by its `train()`, as detectors and segmenters do."""

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self[1].eval()
        return self


def frozen() -> Frozen:
    torch.manual_seed(3)
    return Frozen(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_a_model_sets_in_its_train_holds_from_the_first_step_on(wrapped: bool) -> None:
    """As in a loop that calls `model.train()` at its start, with validation and without."""
    whole = frozen()
    whole.train()
    optimizer = torch.optim.SGD(whole.parameters(), lr=0.05)
    for _ in range(2):
        for batch in data().train:
            optimizer.zero_grad()
            nn.functional.mse_loss(whole(batch["x"]), batch["y"]).backward()
            optimizer.step()

    model = frozen()
    fit(nn.Sequential(model) if wrapped else model, data(), trainer={"max_epochs": 2})
    assert torch.equal(parameters_of(model), parameters_of(whole))
    assert [part.training for part in model] == [True, False, True]


def test_a_train_that_an_object_has_is_called_as_that_of_a_class() -> None:
    model = with_norm(frozen=False)
    own = model.train

    def train(mode: bool = True) -> nn.Module:
        own(mode)
        model[1].eval()
        return model

    model.train = train  # type: ignore[method-assign]  # a way to freeze that people use
    fit(model, data())
    assert [part.training for part in model] == [True, False, True, True]


def test_a_part_in_evaluation_mode_stays_so_in_a_model_that_does_more_in_its_train() -> None:
    """Also where that part does more itself: it is not switched back and forth."""

    class Merging(nn.Linear):
        is_merged = False

        def train(self, mode: bool = True) -> nn.Module:
            self.is_merged = not mode
            return super().train(mode)

    model = Frozen(nn.Linear(4, 8), nn.BatchNorm1d(8), Merging(8, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    model[2].eval()
    model[3].eval()
    fit(model, data())
    assert [part.training for part in model] == [True, False, False, False, True]
    assert model[2].is_merged


def test_a_callback_that_leaves_the_model_in_evaluation_mode_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    class Sample:
        def on_epoch_end(self, ctx: Any) -> None:
            ctx.model.eval()

    fit(with_norm(), data(), trainer={"max_epochs": 3}, callbacks=[Sample()])

    (told,) = [text for text in caplog.messages if "evaluation mode" in text]
    assert told.startswith("`on_epoch_end` of ")
    assert "Sample" in told
    assert "ctx.model.train()" in told


class Average(torch.optim.SGD):
    """Trains other weights than those that it gives, as schedule-free optimizers do."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, lr=lr)
        self.mode = "eval"
        self.modes: list[str] = []

    def _swap(self, mode: str) -> None:
        if mode != self.mode:
            self.mode = mode
            self.modes.append(mode)
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data.mul_(0.3 if mode == "eval" else 1 / 0.3)

    def train(self) -> None:
        self._swap("train")

    def eval(self) -> None:
        self._swap("eval")


class Factory:
    def __init__(self) -> None:
        self.made: Any = None

    def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
        self.made = Average(model.parameters(), LR)
        return self.made


def test_an_optimizer_with_modes_is_switched_for_validation_and_the_end() -> None:
    factory, notes, batches = Factory(), Notes(), data()
    torch.manual_seed(1)
    model = nn.Linear(4, 1)
    start = parameters_of(model)
    fit(model, batches, optimizer=factory, loggers=[notes])

    plain = nn.Linear(4, 1)
    plain.weight.data, plain.bias.data = start[:4].reshape(1, 4) / 0.3, start[4:] / 0.3
    optimizer = torch.optim.SGD(plain.parameters(), lr=LR)
    for batch in batches.train:
        optimizer.zero_grad()
        nn.functional.mse_loss(plain(batch["x"]), batch["y"]).backward()
        optimizer.step()
    given = nn.Linear(4, 1)
    given.weight.data, given.bias.data = plain.weight.data * 0.3, plain.bias.data * 0.3
    expected = sum(float(nn.functional.mse_loss(given(batch["x"]), batch["y"])) for batch in batches.val) / 2
    assert notes.values("val", "val_loss") == [pytest.approx(expected, rel=1e-5)]
    assert torch.allclose(parameters_of(model), parameters_of(given), rtol=1e-5)
    assert factory.made.mode == "eval"


def test_validation_does_not_round_the_weights_of_such_an_optimizer() -> None:
    """Back and forth is not the same to the bit, so that what is trained would depend on when it is validated."""
    models = []
    for every in (1, 3):
        torch.manual_seed(1)
        model = nn.Linear(4, 1)
        fit(model, data(), trainer={"max_epochs": 3, "val_every_n_epochs": every}, optimizer=Factory())
        models.append(parameters_of(model))
    assert torch.equal(*models)


def test_a_checkpoint_has_the_weights_for_use_and_goes_on_with_those_that_are_trained(tmp_path: Path) -> None:
    """Stopped within an epoch and continued to the same bits, though each save would round them."""

    class Stop:
        def __init__(self, step: int) -> None:
            self.step = step

        def on_train_step_end(self, ctx: Any) -> None:
            if ctx.state.global_step == self.step:
                raise KeyError("stop")

    def trained(folder: Path, stop: int = 0, resume: str | None = None) -> dict[str, Any]:
        torch.manual_seed(1)
        callbacks = [Stop(stop), ModelCheckpoint(str(folder))]
        run = {"resume_from": resume} if resume else {}
        options = {"trainer": {"max_epochs": 2}, "callbacks": callbacks, "run": run}
        with contextlib.suppress(KeyError):
            fit(nn.Linear(4, 1), data(), optimizer=Factory(), **options)
        return load_checkpoint(folder / "last.pt")

    stopped = trained(tmp_path / "a", stop=3)
    assert torch.allclose(stopped["model"]["weight"], stopped["trained"][0] * 0.3)
    went_on, straight = trained(tmp_path / "a", resume=str(tmp_path / "a/last.pt")), trained(tmp_path / "b")
    assert all(torch.equal(*pair) for pair in zip(went_on["trained"], straight["trained"], strict=True))
    assert torch.equal(went_on["model"]["weight"], straight["model"]["weight"])
