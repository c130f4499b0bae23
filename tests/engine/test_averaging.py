"""Averages of the weights: those of torch's `swa_utils` to the bit, validated and saved, exact across stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, StopAt, fit, parameters_of, random_batches, same_leaves
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.averaging import Averaging
from otrainer.engine.checkpoint import load_checkpoint, load_model_state, load_trained
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

BATCHES, EPOCHS, FROM = 4, 3, 5
EMA = {"decay": 0.9, "from_step": FROM}
SWA = {"from_step": FROM, "every_n_steps": 2}


def warming_up(averages: Any, trained: Any, number: Any) -> None:
    n = int(number)
    for average, value in zip(averages, trained, strict=True):
        average.lerp_(value, 1 - min(0.9, (1 + n) / (10 + n)))


KINDS: dict[str, tuple[dict[str, Any], Callable[..., Any], int]] = {
    "ema": ({"ema": EMA}, get_ema_multi_avg_fn(0.9), 1),
    "swa": ({"swa": SWA}, get_swa_multi_avg_fn(), 2),
    "swa with buffers": ({"swa": {**SWA, "buffers": "averaged"}}, get_swa_multi_avg_fn(), 2),
    "ema with a warm-up": ({"ema": {**EMA, "warm_up": True}}, warming_up, 1),
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh())
        self.head = nn.Linear(8, 1)
        self.tied = nn.Linear(8, 1, bias=False)
        self.tied.weight = self.head.weight
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.body(x)) + self.tied(self.body(x))
        return y


OPTIMIZER = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.05, "momentum": 0.9}}


def data() -> Batches:
    return Batches(random_batches(BATCHES), random_batches(2, seed=5))


def train(
    folder: Path, options: dict[str, Any], stops: tuple[int, ...] = (), **more: Any
) -> tuple[torch.Tensor, Notes, dict[str, Any]]:
    """Train, stopped after each of `stops` and continued; return parameters, rows of the last stretch, checkpoint."""
    last: str | None = None
    for stop in (*stops, None):
        model, notes = Net(), Notes()
        try:
            with StopRequest():
                fit(
                    model,
                    data(),
                    trainer={"max_epochs": EPOCHS, **options},
                    optimizer=OPTIMIZER,
                    loggers=[notes],
                    callbacks=[StopAt(stop), ModelCheckpoint(str(folder))],
                    run={"resume_from": last},
                    **more,
                )
        except TrainingInterrupted:
            last = str(folder / "last.pt")
    return parameters_of(model), notes, load_checkpoint(folder / "last.pt")


def by_hand(average: Callable[..., Any], every: int, *, buffers: bool) -> tuple[nn.Module, nn.Module, list[float]]:
    """The same in torch alone: the model, its average, and the loss of validation with it."""
    model = Net()
    averaged = AveragedModel(model, multi_avg_fn=average)  # whose `use_buffers` fails over a count of batches
    trains = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(trains, lr=0.05, momentum=0.9, fused=True)
    step, losses = 0, []
    for _ in range(EPOCHS):
        for batch in random_batches(BATCHES):
            step += 1
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
            optimizer.step()
            if step >= FROM and (step - FROM) % every == 0:
                before, number = [each.clone() for each in averaged.module.buffers()], averaged.n_averaged.clone()
                averaged.update_parameters(model)  # which copies the buffers
                for own, own_before in zip(averaged.module.buffers(), before, strict=True):
                    if buffers and step > FROM and own.is_floating_point():
                        average([own_before], [own.clone()], number)
                        own.copy_(own_before)
        used = averaged.module if step >= FROM else model
        for name, buffer in used.named_buffers():
            if not buffers or not buffer.is_floating_point():
                buffer.copy_(model.get_buffer(name))
        used.eval()
        with torch.no_grad():
            each = [nn.functional.mse_loss(used(batch["x"]), batch["y"]).item() for batch in random_batches(2, seed=5)]
        losses.append(sum(each) / len(each))
        used.train()
    return model, averaged.module, losses


@pytest.mark.parametrize("kind", KINDS)
def test_the_averages_are_those_of_torch_and_training_is_as_without_them(kind: str, tmp_path: Path) -> None:
    options, average, every = KINDS[kind]
    trained, notes, saved = train(tmp_path, options)
    model, averaged, losses = by_hand(average, every, buffers="buffers" in kind)

    assert torch.equal(trained, parameters_of(model))
    loaded = Net()
    load_model_state(loaded, saved)
    assert torch.equal(parameters_of(loaded), parameters_of(averaged))
    assert torch.equal(loaded.body[1].running_var, averaged.get_buffer("body.1.running_var"))
    assert not torch.equal(parameters_of(loaded), trained)
    load_trained(loaded, saved)
    assert torch.equal(parameters_of(loaded), trained)
    assert torch.equal(loaded.body[1].running_var, model.get_buffer("body.1.running_var"))
    assert notes.values("val", "val_loss") == pytest.approx(losses, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "first"),
    [*((kind, first) for kind in ("ema", "swa") for first in range(3, 10)), *((kind, 5) for kind in [*KINDS][2:])],
)
def test_two_stops_about_the_start_of_the_averages_change_nothing(kind: str, first: int, tmp_path: Path) -> None:
    options, _, _ = KINDS[kind]
    whole, notes, saved = train(tmp_path / "whole", options)
    continued, later, again = train(tmp_path / "cut", options, (first, first + 1))

    assert torch.equal(whole, continued)
    assert notes.rows[-1] == later.rows[-1]
    for name, value in saved["model"].items():
        assert torch.equal(value, again["model"][name]), name
    assert all(torch.equal(*pair) for pair in zip(saved["trained"], again["trained"], strict=True))


def test_nothing_is_averaged_before_its_step(tmp_path: Path) -> None:
    _, _, saved = train(tmp_path, {"ema": {"decay": 0.5, "from_step": 100}})

    assert "trained" not in saved


def test_validation_may_see_what_is_trained_while_the_averages_are_saved(tmp_path: Path) -> None:
    _, seen, saved = train(tmp_path / "own", {"ema": {**EMA, "validate": "trained"}})
    _, plain, _ = train(tmp_path / "plain", {})

    assert seen.values("val", "val_loss") == plain.values("val", "val_loss")
    assert "trained" in saved


def test_a_run_without_averages_goes_on_from_what_was_trained(tmp_path: Path) -> None:
    fit(
        Net(),
        data(),
        trainer={"max_epochs": 2, "ema": {**EMA, "buffers": "averaged"}},
        optimizer=OPTIMIZER,
        callbacks=[ModelCheckpoint(str(tmp_path))],
    )
    without = fit(
        Net(),
        data(),
        trainer={"max_epochs": EPOCHS},
        optimizer=OPTIMIZER,
        run={"resume_from": str(tmp_path / "last.pt")},
    )
    whole = fit(Net(), data(), trainer={"max_epochs": EPOCHS}, optimizer=OPTIMIZER)
    assert torch.equal(parameters_of(without), parameters_of(whole))
    assert torch.equal(without.body[1].running_var, whole.body[1].running_var)


def test_the_loss_s_own_parameters_are_trained_on_and_saved_as_they_are(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            return LossOutput(nn.functional.mse_loss(outputs * self.scale, targets["y"]))

    whole, cut = Scaled(), Scaled()
    train(tmp_path / "whole", {"ema": EMA}, loss=whole)
    for stop in (6, None):
        try:
            with StopRequest():
                fit(
                    Net(), data(), trainer={"max_epochs": EPOCHS, "ema": EMA}, optimizer=OPTIMIZER, loss=cut,
                    callbacks=[StopAt(stop), ModelCheckpoint(str(tmp_path / "cut"))],
                    run={"resume_from": None if stop else str(tmp_path / "cut/last.pt")},
                )  # fmt: skip
        except TrainingInterrupted:
            cut = Scaled()
    assert torch.equal(whole.scale, cut.scale)


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        ({"ema": {"from_step": 1}}, ("trainer", "ema"), "`ema` is a mapping such as `ema: {decay"),
        ({"ema": {"decay": 1.0}}, ("trainer", "ema", "decay"), "between 0 and 1"),
        ({"ema": {"decay": 0.9, "from_steps": 3}}, ("trainer", "ema", "from_steps"), "no key `from_steps`"),
        ({"swa": {"every_n_steps": 0}}, ("trainer", "swa", "every_n_steps"), "from 1 on"),
        ({"swa": {"validate": "average"}}, ("trainer", "swa", "validate"), "averaged or trained"),
        ({"swa": {"buffers": True}}, ("trainer", "swa", "buffers"), "averaged or trained"),
        ({"ema": {"decay": 0.9, "warm_up": 5}}, ("trainer", "ema", "warm_up"), "true or false"),
        ({"swa": {}, "ema": {"decay": 0.9}}, ("trainer", "swa"), "not both"),
        ({"swa": {"from_epoch": 0}}, ("trainer", "swa", "from_epoch"), "from 1 on"),
        ({"swa": {"from_epoch": 2, "every_n_steps": 2}}, ("trainer", "swa", "every_n_steps"), "steps or by epochs"),
        ({"swa": {"update_bn": False}}, ("trainer", "swa", "update_bn"), "how many training batches"),
        ({"swa": {"update_bn": 1, "buffers": "averaged"}}, ("trainer", "swa", "buffers"), "would average"),
    ],
)
def test_what_is_no_averaging_is_refused_at_its_place(given: dict[str, Any], path: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Averaging.of(**{"ema": None, "swa": None, **given})

    assert caught.value.config_path == path
    assert said in str(caught.value)


def test_averages_in_half_precision_are_told_to_be_rounded_away(caplog: pytest.LogCaptureFixture) -> None:
    model = Net().bfloat16()
    Averaging("ema", {"decay": 0.999}).begin(torch.optim.SGD(model.parameters(), lr=0.1), model)

    assert "rounded away" in caplog.text


def test_norms_cannot_see_data_that_nothing_splits() -> None:
    with pytest.raises(ConfigError, match="calls the model by what `io` makes") as caught:
        Averaging("swa", {"update_bn": 3}).begin(None, Net(), has_io=False)
    assert caught.value.config_path == ("io",)


def test_validation_with_the_averages_changes_no_version_of_a_parameter() -> None:
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    averaging = Averaging("ema", {"decay": 0.5})
    averaging.update(optimizer, 1)
    with torch.no_grad():
        model.head.weight.add_(1.0)
    before, versions = parameters_of(model), [each._version for each in model.parameters()]
    with averaging.in_use(optimizer):
        assert not torch.equal(parameters_of(model), before)

    assert torch.equal(parameters_of(model), before)
    assert [each._version for each in model.parameters()] == versions


def epochs_by_hand(first: int, every: int, most: int | None) -> tuple[nn.Module, nn.Module, list[float]]:
    """Averages by epochs, whose norms see training data anew before they are used: torch's own recipe."""
    model = Net()
    averaged = AveragedModel(model, multi_avg_fn=get_swa_multi_avg_fn())
    trains = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(trains, lr=0.05, momentum=0.9, fused=True)
    losses = []
    for epoch in range(1, EPOCHS + 1):
        for batch in random_batches(BATCHES):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
            optimizer.step()
        if epoch >= first and (epoch - first) % every == 0:
            averaged.update_parameters(model)
            update_bn([batch["x"] for batch in random_batches(BATCHES)][:most], averaged)
        used = (averaged if epoch >= first else model).eval()
        with torch.no_grad():
            each = [nn.functional.mse_loss(used(batch["x"]), batch["y"]).item() for batch in random_batches(2, seed=5)]
        losses.append(sum(each) / len(each))
        model.train()
    return model, averaged.module, losses


@pytest.mark.parametrize(
    ("options", "rhythm"),
    [
        ({"from_epoch": 2, "update_bn": True}, (2, 1, None)),
        ({"from_epoch": 1, "every_n_epochs": 2, "update_bn": 3}, (1, 2, 3)),
    ],
)
def test_averages_by_epochs_have_the_statistics_that_torch_makes_for_them(
    options: dict[str, Any], rhythm: tuple[int, int, int | None], tmp_path: Path
) -> None:
    trained, notes, saved = train(tmp_path, {"swa": options})
    model, averaged, losses = epochs_by_hand(*rhythm)
    loaded = Net()
    load_model_state(loaded, saved)

    assert torch.equal(trained, parameters_of(model))
    assert torch.equal(parameters_of(loaded), parameters_of(averaged))
    for name, value in loaded.named_buffers():
        kept = model if name.endswith("num_batches_tracked") else averaged
        assert torch.equal(value, kept.get_buffer(name)), name
    assert notes.values("val", "val_loss") == pytest.approx(losses, abs=1e-12)
    load_trained(loaded, saved)
    assert torch.equal(loaded.body[1].running_var, model.get_buffer("body.1.running_var"))


BY_EPOCHS = {"swa": {"from_epoch": 1, "update_bn": 3}}
BY_STEPS = {"swa": {"from_step": 3, "update_bn": True}, "val_every_n_steps": 3}


@pytest.mark.parametrize(("options", "first"), [(each, first) for each in (BY_EPOCHS, BY_STEPS) for first in (3, 4, 8)])
def test_two_stops_about_a_pass_for_the_norms_change_nothing(
    options: dict[str, Any], first: int, tmp_path: Path
) -> None:
    whole, notes, saved = train(tmp_path / "whole", options)
    continued, later, again = train(tmp_path / "cut", options, (first, first + 1))

    assert torch.equal(whole, continued)
    assert notes.rows[-1] == later.rows[-1]
    for name in saved.keys() - {"callbacks", "meta", "loggers"}:
        assert same_leaves(again[name], saved[name]), name


def test_a_pass_for_the_norms_leaves_training_as_it_is(tmp_path: Path) -> None:
    plain, _, without = train(tmp_path / "plain", {"val_every_n_steps": 3})
    trained, _, saved = train(tmp_path / "swa", BY_STEPS)

    assert torch.equal(plain, trained)
    assert same_leaves(saved["rng"], without["rng"])
    assert same_leaves(saved["data"], without["data"])
    model = Net()
    load_model_state(model, saved)
    load_trained(model, saved)
    assert same_leaves(dict(model.named_buffers()), {name: without["model"][name] for name, _ in Net().named_buffers()})
