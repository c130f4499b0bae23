"""Callbacks within a step, before an epoch or a validation, and at saving: when each is called, once whatever stops."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer import protocols
from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.trainer import DefaultTrainer
from otrainer.protocols import StepContext
from otrainer.registry.contracts import breaches

MOMENTS = [
    name for name in protocols.HOOKS if name not in ("on_save", "on_load", "on_exception", "on_fit_start", "on_fit_end")
]


class Diary:
    """Notes each hook that is called, with the step and the epoch; `trip` raises within the call of that number."""

    def __init__(self, trip: int | None = None) -> None:
        self.trip = trip
        self.seen: list[Any] = []

    def note(self, name: str, ctx: Any, *more: Any) -> None:
        if len(self.seen) + 1 == self.trip:
            raise OSError("broken off")
        self.seen.append([name, ctx.state.global_step, ctx.state.epoch, float(parameters_of(ctx.model).sum())])

    def __init_subclass__(cls) -> None:
        for name in MOMENTS:
            setattr(cls, name, lambda self, *given, name=name: self.note(name, *given))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": [list(each) for each in self.seen]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = [list(each) for each in state["seen"]]


class Everything(Diary):
    pass


def train(folder: Path, *callbacks: Any, trainer: Mapping[str, Any] | None = None, resume: bool = False) -> Any:
    torch.manual_seed(0)
    run = {"resume_from": str(folder / "last.pt")} if resume else {}
    asked = {"max_epochs": 2, "grad_accum_steps": 2, **(trainer or {})}
    data = Batches(random_batches(5), random_batches(2, seed=5))
    own = [*callbacks, ModelCheckpoint(str(folder))]
    with StopRequest():
        model = fit(small_model(), data, trainer=asked, callbacks=own, run={"definition": "d", **run})
    return parameters_of(model)


def test_each_hook_comes_at_its_moment(tmp_path: Path) -> None:
    diary = Everything()
    train(tmp_path, diary)

    step = ["on_train_batch_end", "on_train_batch_end", "on_before_optimizer_step", "on_train_step_end"]
    end = ["on_train_epoch_end", "on_validation_start", "on_validation_end", "on_epoch_end"]
    epoch = ["on_epoch_start", *step, *step, *step[1:], *end]
    assert [name for name, *_ in diary.seen] == epoch * 2
    starts = [(at, epoch) for name, at, epoch, _ in diary.seen if name == "on_epoch_start"]
    assert starts == [(0, 0), (3, 1)]


def test_within_an_epoch_validation_has_a_start_too(tmp_path: Path) -> None:
    diary = Everything()
    train(tmp_path, diary, trainer={"val_every_n_steps": 2})

    names = [name for name, *_ in diary.seen if "validation" in name]
    assert names == ["on_validation_start", "on_validation_end"] * 3


@pytest.mark.parametrize("stop", range(1, 6))
@pytest.mark.parametrize("trainer", [{}, {"val_every_n_steps": 2}, {"max_epochs": None, "max_steps": 5}])
def test_two_stops_leave_every_call_as_it_would_have_been(tmp_path: Path, stop: int, trainer: dict[str, Any]) -> None:
    whole = Everything()
    expected = train(tmp_path / "whole", whole, trainer=trainer)
    diary = Everything()
    for number, at in enumerate((stop, stop + 1)):
        diary = Everything()
        try:
            ended = train(tmp_path / "cut", diary, StopAt(at), trainer=trainer, resume=number > 0)
        except TrainingInterrupted:
            continue
    diary = Everything()
    ended = train(tmp_path / "cut", diary, StopAt(None), trainer=trainer, resume=True)

    assert torch.equal(ended, expected)
    assert diary.seen == whole.seen


@pytest.mark.parametrize("hook", ["on_epoch_start", "on_validation_start", "on_validation_end", "on_epoch_end"])
def test_one_that_raises_has_its_turn_after_the_resume_and_the_others_no_second_one(tmp_path: Path, hook: str) -> None:
    whole = [Everything(), Everything()]
    expected = train(tmp_path / "whole", *whole)
    at = next(number for number, (name, step, *_) in enumerate(whole[0].seen, 1) if name == hook and step >= 3)
    with pytest.raises(OSError, match="broken off"):
        train(tmp_path / "cut", Everything(), Everything(trip=at))
    again = [Everything(), Everything()]
    ended = train(tmp_path / "cut", *again, resume=True)

    assert torch.equal(ended, expected)
    assert [each.seen for each in again] == [each.seen for each in whole]


def test_a_validation_that_is_broken_off_by_a_signal_starts_for_nobody_twice(tmp_path: Path) -> None:
    class Loss:
        calls = 0

        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            Loss.calls += stage == "val"
            if Loss.calls == 2 and stage == "val":  # the first one is the rehearsal's
                os.kill(os.getpid(), signal.SIGINT)
            return LossOutput(nn.functional.mse_loss(outputs, targets["y"]))

    diary, data = Everything(), Batches(random_batches(3), random_batches(2, seed=5))
    parts: dict[str, Any] = {"loss": Loss(), "callbacks": [diary, ModelCheckpoint(str(tmp_path))]}
    with StopRequest(), pytest.raises(TrainingInterrupted):
        fit(small_model(), data, run={"definition": "d"}, **parts)
    again = Everything()
    parts["callbacks"] = [again, ModelCheckpoint(str(tmp_path))]
    fit(small_model(), data, run={"definition": "d", "resume_from": str(tmp_path / "last.pt")}, **parts)

    assert [name for name, *_ in again.seen].count("on_validation_start") == 1


def test_a_run_that_fails_in_a_step_that_callbacks_have_seen_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole = Everything()
    expected = train(tmp_path / "whole", whole)
    at = next(n for n, (name, step, *_) in enumerate(whole.seen, 1) if name == "on_before_optimizer_step" and step == 4)
    with pytest.raises(OSError, match="broken off"):
        train(tmp_path / "cut", Everything(trip=at))
    assert load_checkpoint(tmp_path / "cut/last.pt")["train_state"]["global_step"] == 3
    again = Everything()

    assert torch.equal(train(tmp_path / "cut", again, resume=True), expected)
    assert again.seen == whole.seen


class Shrink:
    """Adds noise to the gradients and counts what it saw of their norm, before it is clipped."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_before_optimizer_step(self, ctx: Any, optimizer: torch.optim.Optimizer) -> None:
        gradients = [each.grad for group in optimizer.param_groups for each in group["params"]]
        self.norms.append(float(nn.utils.get_total_norm(gradients)))
        for each in gradients:
            each.add_(torch.randn_like(each), alpha=0.1)


def test_gradients_that_a_callback_changes_are_those_that_are_clipped_and_stepped_with(tmp_path: Path) -> None:
    shrink = Shrink()
    trained = train(tmp_path, shrink, trainer={"grad_clip_norm": 0.1, "grad_accum_steps": 1})

    model, norms = small_model(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for batch in random_batches(5) * 2:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        norms.append(float(nn.utils.get_total_norm(gradients)))
        for each in gradients:
            each.add_(torch.randn_like(each), alpha=0.1)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    assert torch.equal(trained, parameters_of(model))
    assert shrink.norms == norms
    assert max(norms) > 0.1


def test_a_micro_batch_comes_with_what_its_loss_returned_and_no_graph(tmp_path: Path) -> None:
    class Loss:
        def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
            loss = nn.functional.mse_loss(outputs, targets["y"])
            return LossOutput(loss, logs={"root": loss.sqrt()}, weight=lambda: len(batch["x"]))

    class Look:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_train_batch_end(self, ctx: Any, batch: Any, output: LossOutput) -> None:
            assert callable(output.weight)
            assert not output.loss.requires_grad
            assert not output.logs["root"].requires_grad
            self.seen.append((len(batch["x"]), output.weight(), float(output.loss), float(output.logs["root"])))

    look = Look()
    fit(small_model(), Batches(random_batches(3)), trainer={"grad_accum_steps": 2}, loss=Loss(), callbacks=[look])

    assert [each[:2] for each in look.seen] == [(8, 8)] * 3
    assert [loss**0.5 for *_, loss, _ in look.seen] == pytest.approx([root for *_, root in look.seen])


def test_of_several_optimizers_each_is_seen_before_its_own_step() -> None:
    class Own(DefaultTrainer):
        def training_step(self, ctx: StepContext, batch: Any) -> dict[str, Any]:
            for name in ("first", "last"):
                loss = ctx.forward(batch["x"]).square().mean()
                ctx.backward(loss)
                ctx.step(name)
            return {"final": loss}

    class Look:
        def __init__(self) -> None:
            self.rates: list[float] = []
            self.logs: list[str] = []

        def on_before_optimizer_step(self, ctx: Any, optimizer: torch.optim.Optimizer) -> None:
            self.rates.append(optimizer.param_groups[0]["lr"])

        def on_train_batch_end(self, ctx: Any, batch: Any, output: LossOutput) -> None:
            assert output.loss.isnan()
            self.logs += output.logs

    rates = {"first": 0.1, "last": 0.2}
    patterns = {"first": ["0.*"], "last": ["2.*"]}
    several = {
        name: {"type": "optim_cls.SGD", "kwargs": {"lr": rate}, "parameters": patterns[name]}
        for name, rate in rates.items()
    }
    for trainer, times in ((Own(), 1), (DefaultTrainer(), 0)):
        look = Look()
        if not times:
            look.on_train_batch_end = lambda *_: None  # type: ignore[method-assign]
        fit(small_model(), Batches(random_batches(2)), trainer=trainer, optimizer=several, callbacks=[look])
        assert look.rates == [0.1, 0.2] * 2
        assert look.logs == ["final", "final"] * times


def test_an_optimizer_that_evaluates_the_loss_itself_is_seen_once_a_step() -> None:
    diary = Everything()
    optimizer = {"type": "optim_cls.LBFGS", "kwargs": {"max_iter": 4}}
    fit(small_model(), Batches(random_batches(2)), optimizer=optimizer, callbacks=[diary])

    within = [name for name, *_ in diary.seen if name in ("on_train_batch_end", "on_before_optimizer_step")]
    assert within == ["on_train_batch_end", "on_before_optimizer_step"] * 2


class Remembers:
    """Keeps, by hooks that see the run, how far its weights have gone and what a generator of its own drew."""

    def __init__(self) -> None:
        self.drawn: list[torch.Tensor] = []
        self.loaded: Any = None

    def on_train_step_end(self, ctx: Any) -> None:
        self.drawn.append(torch.randn(2))

    def on_save(self, ctx: Any) -> dict[str, Any]:
        return {"drawn": list(self.drawn), "step": ctx.state.global_step, "sum": float(parameters_of(ctx.model).sum())}

    def on_load(self, ctx: Any, saved: dict[str, Any]) -> None:
        torch.randn(7)  # what it draws is none of training's
        assert (ctx.state.global_step, float(parameters_of(ctx.model).sum())) == (saved["step"], saved["sum"])
        self.drawn, self.loaded = saved["drawn"], saved


def test_what_is_saved_by_hooks_comes_back_once_all_else_has(tmp_path: Path) -> None:
    whole = Remembers()
    expected = train(tmp_path / "whole", whole)
    for resume, stop in ((False, 2), (True, 4)):
        with pytest.raises(TrainingInterrupted):
            train(tmp_path / "cut", Remembers(), StopAt(stop), resume=resume)
    again = Remembers()
    ended = train(tmp_path / "cut", again, StopAt(None), resume=True)

    assert torch.equal(ended, expected)
    assert again.loaded["step"] == 4
    assert torch.equal(torch.stack(again.drawn), torch.stack(whole.drawn))


def test_half_a_way_of_keeping_state_and_two_of_them_are_refused() -> None:
    class Half:
        def on_save(self, ctx: Any) -> dict[str, Any]:
            return {}

    class Both(Remembers):
        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            return

    assert ["no `on_load`" in each.message for each in breaches("cb.half", Half)] == [True]
    assert ["in one of two ways" in each.message for each in breaches("cb.both", Both)] == [True]
    assert not [*breaches("cb.whole", Remembers)]


def test_what_is_inherited_from_the_protocol_is_no_hook(tmp_path: Path) -> None:
    class Counts(protocols.Callback):
        def __init__(self) -> None:
            self.steps = 0

        def on_train_step_end(self, ctx: Any) -> None:
            self.steps += 1
            assert ctx.turns.begun == {}

    callback = Counts()
    train(tmp_path, callback)
    assert load_checkpoint(tmp_path / "last.pt")["callbacks"][0]["state"]["attributes"] == {"steps": callback.steps}
