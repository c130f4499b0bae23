"""A parameter that is not finite is told with the step that made it so, and with what did: its gradient or the step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Batches, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.components.sched import SchedulerBundle
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.finite import after_last_step, before_this_step, extremes, is_finite
from otrainer.engine.loss_check import LossWatch
from otrainer.engine.state import TrainState
from otrainer.errors import ConfigError

EPOCH = 10
ADAM = {"type": "optim_cls.Adam", "kwargs": {"lr": 0.1}}
SGD = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1}}


class NoSlope(nn.Module):
    """A network whose output asks for the slope of a root at 0 in one step: of its last bias, or of `extra`."""

    def __init__(self, step: int, *, extra: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 1)
        self.extra = nn.Parameter(torch.zeros(1)) if extra else None
        self.step, self.steps = step, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        y: torch.Tensor = self.head(torch.tanh(self.body(x)))
        if self.training and self.steps == self.step:
            y = y + torch.sqrt((self.head.bias if self.extra is None else self.extra) * 0).sum()
        return y


def error_of(model: nn.Module, **given: Any) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        fit(model, Batches(random_batches(EPOCH)), **{"trainer": {"max_epochs": 2}, **given})
    return error.value


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
@pytest.mark.parametrize("step", [3, EPOCH])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_is_named_in_any_step(optimizer: Any, step: int, clip: float | None) -> None:
    error = error_of(NoSlope(step), optimizer=optimizer, trainer={"max_epochs": 2, "grad_clip_norm": clip})

    assert f"The loss of step {step}, in epoch 0, is finite, and its gradient for `head.bias` is not." in str(error)
    assert error.findings[0].title == "gradient is not finite"


def test_the_last_step_of_an_epoch_is_looked_at_before_anything_is_saved_or_validated(tmp_path: Path) -> None:
    error = error_of(NoSlope(EPOCH), callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=4, background=False)])

    assert f"The loss of step {EPOCH}, in epoch 0, is finite, and its gradient for `head.bias` is not." in str(error)
    assert load_checkpoint(tmp_path / "last.pt")["train_state"]["global_step"] == 8


@pytest.mark.parametrize("every", [None, 4])
def test_what_ended_the_run_is_told_once_and_what_is_kept_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, every: int | None
) -> None:
    """Saving what is spoilt is refused; that it is, the error says already."""
    error = error_of(NoSlope(6), callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=every, background=False)])

    assert error.findings[0].title == "gradient is not finite"
    (told,) = [text for text in caplog.messages if "not finite" in text or "failed" in text]
    kept = f"the steps after step 4 (checkpoint: {tmp_path / 'last.pt'}) are not saved: their"
    assert told == (f"{kept} parameters" if every else "nothing is saved: the parameters") + " are not finite"


def test_a_parameter_that_no_later_loss_sees_is_told_at_the_end_of_the_epoch() -> None:
    error = error_of(NoSlope(4, extra=True))

    assert f"After step {EPOCH}, `extra` of the model is not finite. The last step had no gradient" in str(error)


def test_a_finite_gradient_is_not_blamed_for_what_the_optimizer_s_step_does() -> None:
    model = small_model()
    model.register_parameter("still", nn.Parameter(torch.zeros(2)))
    model.register_forward_hook(lambda module, _, output: output + (module.still * 0).sum())
    error = error_of(model, optimizer={"type": "optim_cls.Adam", "kwargs": {"lr": 0.1, "eps": 0.0}})

    assert "After step 1, `still` of the model is not finite, though its gradient is" in str(error)
    assert error.config_path == ("optimizer",)


@pytest.mark.parametrize("step", [3, EPOCH - 1])
def test_a_learning_rate_that_is_no_number_is_named(step: int) -> None:
    class Wrong:
        def build(self, optimizer: Any, *, registry: Any) -> SchedulerBundle:
            rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: float("nan") if n == step else 1.0)
            return SchedulerBundle(rates, interval="step")

    error = error_of(small_model(), scheduler=Wrong())

    assert f"After step {step + 1}, `0.weight` of the model is not finite" in str(error)
    assert "the learning rate of that step was nan" in str(error)
    assert error.config_path == ("scheduler",)


def test_a_parameter_that_was_never_set_is_told_as_such() -> None:
    model = small_model()
    with torch.no_grad():
        model.get_parameter("2.bias").fill_(torch.nan)
    error = error_of(model)

    assert "Before the first step, `2.bias` of the model is not finite." in str(error)


class Masked(nn.Module):
    """A network with a mask that is a frozen parameter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Linear(4, 1)
        self.mask = nn.Parameter(torch.tensor([0.0, -torch.inf, 0.0, 0.0]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(torch.softmax(x + self.mask, 1))
        return out


class AllParameters:
    def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.1)


def test_a_frozen_parameter_may_hold_anything_in_any_optimizer(tmp_path: Path) -> None:
    model, plain = Masked(), Masked()
    fit(model, Batches(random_batches(3)), optimizer=AllParameters(), callbacks=[ModelCheckpoint(str(tmp_path))])
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for batch in random_batches(3):
        optimizer.zero_grad()
        nn.functional.mse_loss(plain(batch["x"]), batch["y"]).backward()
        optimizer.step()

    assert torch.equal(parameters_of(model), parameters_of(plain))
    assert load_checkpoint(tmp_path / "last.pt")["model"]["mask"].isinf().any()


def test_a_frozen_mask_is_not_blamed_for_a_batch_that_is_wrong() -> None:
    batches = random_batches(EPOCH)
    batches[6]["x"][0, 0] = torch.nan
    with pytest.raises(ConfigError, match="The loss of step 7 is nan: batch 6 of epoch 0"):
        fit(Masked(), Batches(batches), optimizer=AllParameters())


def context(step: int, weight: float, gradient: float | None = None) -> Any:
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(weight)
    model.weight.grad = None if gradient is None else torch.full((1, 1), gradient)
    state = TrainState()
    state.global_step = step
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    parts = {"model": model, "loss": None, "optimizer": optimizer, "last_train_logs": {}, "scheduler": None}
    return SimpleNamespace(state=state, device=torch.device("cpu"), **parts)


def test_on_a_device_the_parameters_are_read_with_the_losses_in_one_go() -> None:
    for ctx, title in ((context(3, torch.nan, torch.inf), "gradient"), (context(3, torch.nan, 1.0), "parameters")):
        watch = LossWatch(ctx, torch.device("meta"))  # any but the CPU
        watch.see_parameters()
        with pytest.raises(ConfigError, match="step 3") as error:
            watch.look()
        assert error.value.findings[0].title.startswith(title)
    watch = LossWatch(context(3, 1.0), torch.device("meta"))
    watch.see_parameters()
    watch.look()


def test_on_a_device_the_gradient_of_the_step_that_is_looked_at_is_named() -> None:
    ctx = context(2, 1.0, torch.nan)
    watch = LossWatch(ctx, torch.device("meta"))
    watch.see_norm(torch.tensor(torch.nan))
    ctx.state.global_step = 3
    with pytest.raises(ConfigError, match="its gradient for `weight` is not"):
        watch.look()


def test_what_cannot_be_known_is_not_claimed() -> None:
    """After plain descent an infinity may be of the gradient or of the step; all is well where all is finite."""
    assert "its gradient" not in str(before_this_step(context(2, torch.inf)))
    assert "its gradient for `weight`" in str(before_this_step(context(2, torch.nan)))
    assert before_this_step(context(2, 1.0)) is None
    assert after_last_step(context(2, 1.0, torch.nan)) is None  # a step of fp16 that was left out


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.float8_e4m3fn])
def test_every_kind_of_number_is_looked_at(kind: torch.dtype) -> None:
    assert is_finite(torch.ones(4).to(kind))
    assert not is_finite(torch.tensor([1.0, float("nan")]).to(kind))
    assert is_finite(torch.empty(0, dtype=kind))
    assert extremes(torch.ones(3, dtype=torch.int64)) == ()


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_line_search_backs_off_from_a_trial_that_is_not_finite(clip: float | None) -> None:
    """Held against plain torch: a step of 300 lands where the exponential overflows, and is shortened."""

    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([2.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (torch.exp(-self.w * 40) + self.w * 0.5).expand(len(x), 1)

    def total(y: torch.Tensor, seen: list[float]) -> torch.Tensor:
        loss = y.mean() ** 2 * 1e3
        seen.append(float(loss))
        return loss

    mine, theirs = [], []

    class Loss:
        def __call__(self, *, outputs: torch.Tensor, targets: Any, batch: Any, stage: str) -> LossOutput:
            return LossOutput(total(outputs, mine))

    options = {"lr": 300.0, "line_search_fn": "strong_wolfe", "max_iter": 4}
    optimizer = {"type": "optim_cls.LBFGS", "kwargs": options}
    data = random_batches(2)
    model = fit(Steep(), Batches(data), optimizer=optimizer, loss=Loss(), trainer={"grad_clip_norm": clip})
    plain = Steep()
    stepped = torch.optim.LBFGS(plain.parameters(), **options)
    for batch in data:

        def closure(batch: Any = batch) -> torch.Tensor:
            stepped.zero_grad()
            loss = total(plain(batch["x"]), theirs)
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(plain.parameters(), clip)
            return loss

        stepped.step(closure)

    assert float("inf") in theirs
    assert mine == theirs
    assert torch.equal(model.w, plain.w)
