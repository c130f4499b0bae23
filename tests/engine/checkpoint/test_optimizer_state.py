"""An optimizer's state follows its parameters by name, keeps its types, and is refused before it could do harm."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, PairIO, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.checkpoint.file_format import write_container
from otrainer.engine.state import RunContext
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError
from otrainer.registry import build_registry


class Factory:
    """Builds an optimizer over what a function picks."""

    def __init__(self, make: Callable[[nn.Module], Any]) -> None:
        self.make = make

    def build(self, model: nn.Module, *, registry: Any) -> Any:
        return self.make(model)


class Look:
    """Keeps the context."""

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.ctx = ctx

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Named(nn.Module):
    """Two square layers that may be built in either order, and are used in one."""

    def __init__(self, *order: str, sizes: tuple[int, int] = (4, 4)) -> None:
        super().__init__()
        made = {
            "first": nn.Linear(4, sizes[0]),
            "second": nn.Linear(sizes[0], sizes[1]),
            "head": nn.Linear(sizes[1], 1),
        }
        for name in order or ("first", "second", "head"):
            self.add_module(name, made[name])
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for name in ("first", "second", "head"):
                for parameter in made[name].parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.second(self.first(x)).tanh())


def train(folder: Path, epochs: int, make: Any = None, *, model: Any = None, callbacks: Any = (), **parts: Any) -> Any:
    look, last = Look(), folder / "last.pt"
    DefaultTrainer(max_epochs=epochs).fit(
        model=Named() if model is None else model,
        datamodule=Batches(random_batches(3)),
        io=PairIO(),
        loss=parts.pop("loss", lambda *, outputs, targets, **_: LossOutput(((outputs - targets["y"]) ** 2).mean())),
        optimizer_factory=Factory(make or (lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2))),
        callbacks=[look, *callbacks, ModelCheckpoint(str(folder))],
        registry=build_registry(),
        run={"resume_from": str(last) if last.exists() else None, **parts},
        scheduler_factory=parts.pop("scheduler", None),
    )
    return look.ctx


def rewrite(path: Path, parts: dict[str, Any]) -> None:
    """Put other parts into a file, whose weights are read from it meanwhile."""
    with path.with_name("new.pt").open("wb+") as stream:
        write_container(stream, parts)
    path.with_name("new.pt").replace(path)


def moments(ctx: Any) -> dict[str, torch.Tensor]:
    return {name: ctx.optimizer.state[p]["exp_avg"].clone() for name, p in ctx.model.named_parameters()}


def test_parameters_that_changed_places_keep_their_own_moments(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 2)
    train(tmp_path / "parts", 1)
    second = train(tmp_path / "parts", 2, model=Named("second", "head", "first"))

    found, wanted = moments(second), moments(whole)
    assert list(found) != list(wanted)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert all(torch.equal(second.model.get_parameter(name), p) for name, p in whole.model.named_parameters())


def test_so_do_those_of_another_shape_and_no_kernel_writes_beside_them(tmp_path: Path) -> None:
    def make(model: Any) -> Any:
        return torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)

    sizes = (300, 2)
    whole = train(tmp_path / "whole", 2, make, model=Named(sizes=sizes))
    train(tmp_path / "parts", 1, make, model=Named(sizes=sizes))
    second = train(tmp_path / "parts", 2, make, model=Named("head", "second", "first", sizes=sizes))

    assert all(torch.equal(moments(second)[name], value) for name, value in moments(whole).items())


def split(model: Any) -> Any:
    return torch.optim.AdamW(
        [{"params": [*model.head.parameters()]}, {"params": [*model.first.parameters()], "lr": 0.1}]
    )


class Unfreeze:
    """Adds a group after the first epoch, or takes parameters into one, as users do it."""

    def __init__(self, how: str) -> None:
        self.how = how

    def on_fit_start(self, ctx: RunContext) -> None:
        if ctx.state.epochs_done == 0:
            ctx.model.get_submodule("second").requires_grad_(False)

    def on_epoch_end(self, ctx: RunContext) -> None:
        if ctx.state.epoch == 0:
            body = ctx.model.get_submodule("second").requires_grad_(True)
            if self.how == "group":
                ctx.optimizer.add_param_group({"params": list(body.parameters()), "lr": 0.03, "betas": (0.5, 0.6)})
            elif self.how == "extend":
                ctx.optimizer.param_groups[1]["params"].extend(body.parameters())
            else:
                for left in ctx.optimizer.param_groups[1]["params"]:
                    del ctx.optimizer.state[left]
                ctx.optimizer.param_groups[1]["params"][:] = list(body.parameters())


@pytest.mark.parametrize("how", ["group", "extend", "exchange"])
def test_what_a_callback_did_to_the_groups_is_done_again(tmp_path: Path, how: str) -> None:
    whole = train(tmp_path / "whole", 3, split, callbacks=[Unfreeze(how)])
    train(tmp_path / "parts", 1, split, callbacks=[Unfreeze(how)])
    train(tmp_path / "parts", 2, split, callbacks=[Unfreeze(how)])
    second = train(tmp_path / "parts", 3, split, callbacks=[Unfreeze(how)])

    assert torch.equal(parameters_of(second.model), parameters_of(whole.model))
    for mine, its in zip(second.optimizer.param_groups, whole.optimizer.param_groups, strict=True):
        assert {**mine, "params": len(mine["params"])} == {**its, "params": len(its["params"])}


def test_a_group_that_comes_after_a_stop_has_the_settings_that_it_has_without_one(tmp_path: Path) -> None:
    class AddsLate:
        def on_train_step_end(self, ctx: RunContext) -> None:
            if ctx.state.global_step == 5:
                ctx.optimizer.add_param_group({"params": list(ctx.model.head.parameters())})

    def of_the_first_layer(model: Any) -> Any:
        return torch.optim.Adafactor(list(model.first.parameters()))

    def groups_after(folder: Path, *stops: int) -> list[dict[str, Any]]:
        for epochs in stops:
            ctx = train(folder, epochs, of_the_first_layer, callbacks=[AddsLate()])
        return [{**group, "params": len(group["params"])} for group in ctx.optimizer.param_groups]

    assert groups_after(tmp_path / "parts", 1, 4) == groups_after(tmp_path / "whole", 4)


def test_parameters_that_the_config_adds_begin_anew_and_those_it_drops_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def head(model: Any) -> Any:
        return torch.optim.AdamW(model.head.parameters(), lr=1e-2)

    def rest(model: Any) -> Any:
        return torch.optim.AdamW([*model.first.parameters(), model.head.weight], lr=1e-2)

    first = train(tmp_path, 1, head)
    before = first.optimizer.state[first.model.head.weight]["step"].item()
    caplog.clear()
    second = train(tmp_path, 2, rest)

    told = " ".join(caplog.messages)
    assert "no state in the checkpoint for `model.first.weight`, `model.first.bias`" in told
    assert "no longer holds `model.head.bias`" in told
    assert second.optimizer.state[second.model.head.weight]["step"].item() == before + 3
    assert second.optimizer.state[second.model.first.weight]["step"].item() == 3


class Master(torch.optim.Optimizer):
    """Steps a float32 copy, and keeps a momentum of 8 bits with its scale, a list and a number."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(
                        master=p.float().clone(), q=torch.zeros_like(p, dtype=torch.int8), scale=torch.ones(())
                    )
                    state.update(history=[], count=0)
                momentum = 0.9 * state["q"].float() * state["scale"] + p.grad.float()
                state["scale"] = momentum.abs().max() / 127 + 1e-12
                state["q"] = (momentum / state["scale"]).round().to(torch.int8)
                state["history"] = [*state["history"], momentum.double().norm()][-2:]
                state["count"] += 1
                state["master"] -= group["lr"] * momentum
                p.copy_(state["master"])


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = small_model().bfloat16()

    def forward(self, x: torch.Tensor) -> Any:
        return self.body(x.bfloat16()).float()


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Master(model.parameters()),
        lambda model: torch.optim.NAdam(model.parameters(), lr=1e-2),
        lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2),
        lambda model: torch.optim.ASGD(model.parameters(), lr=1e-2),
    ],
)
def test_state_keeps_the_types_of_numbers_that_it_had(tmp_path: Path, make: Any) -> None:
    whole = train(tmp_path / "whole", 2, make, model=Half())
    train(tmp_path / "parts", 1, make, model=Half())
    second = train(tmp_path / "parts", 2, make, model=Half())

    assert torch.equal(parameters_of(second.model), parameters_of(whole.model))
    for p, q in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        for key, value in whole.optimizer.state[q].items():
            mine = second.optimizer.state[p][key]
            assert (
                mine == value
                if not isinstance(value, torch.Tensor)
                else (mine.dtype, mine.tolist())
                == (
                    value.dtype,
                    value.tolist(),
                )
            )


class Lookahead:
    """A wrapper with a state of its own form, as published ones have it."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner, self.slow, self.steps = inner, {}, 0
        self.param_groups, self.defaults = inner.param_groups, inner.defaults

    @property
    def state(self) -> Any:
        return self.inner.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.inner.zero_grad(set_to_none=set_to_none)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.inner.step()
        self.steps += 1
        for number, p in enumerate(p for group in self.param_groups for p in group["params"]):
            slow = self.slow.setdefault(number, p.clone())
            if self.steps % 2 == 0:
                slow.lerp_(p, 0.5)
                p.copy_(slow)

    def state_dict(self) -> dict[str, Any]:
        return {"fast": self.inner.state_dict(), "slow": self.slow, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["fast"])
        self.slow, self.steps = {key: value.clone() for key, value in state["slow"].items()}, state["steps"]


class Global(torch.optim.Optimizer):
    """Keeps what belongs to all parameters at the first one."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            whole = self.state[group["params"][0]]
            gradient = torch.cat([p.grad.reshape(-1) for p in group["params"]])
            whole["mean"] = whole.get("mean", torch.zeros_like(gradient)).lerp(gradient, 0.3)
            for p, update in zip(
                group["params"], whole["mean"].split([p.numel() for p in group["params"]]), strict=True
            ):
                p -= group["lr"] * update.view_as(p)


class Pair(torch.optim.Optimizer):
    """Two optimizers in one, whose state is that of each, in a form of its own."""

    def __init__(self, params: Any, form: Callable[[Any], Any]) -> None:
        first, *others = params
        self.form = form
        self.both = [torch.optim.Adam([first], lr=1e-2), torch.optim.SGD(others, lr=0.05, momentum=0.9)]
        self.defaults, self.state = {}, {}  # type: ignore[assignment]

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        return [group for each in self.both for group in each.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for each in self.both:
            each.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for each in self.both:
            each.zero_grad(set_to_none)

    def state_dict(self) -> Any:
        return self.form([each.state_dict() for each in self.both])

    def load_state_dict(self, state: Any) -> None:
        states = state["both"] if isinstance(state, dict) else state
        for each, its_own in zip(self.both, states, strict=True):
            each.load_state_dict(its_own)


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Pair(model.parameters(), list),
        lambda model: Pair(model.parameters(), tuple),
        lambda model: Pair(model.parameters(), lambda states: {"both": states}),
        lambda model: Lookahead(torch.optim.AdamW(model.parameters(), lr=1e-2)),
        lambda model: Global(model.parameters()),
        lambda model: torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2),
    ],
)
def test_optimizers_whose_state_is_not_by_parameter_go_on_and_are_refused_where_the_order_changed(
    tmp_path: Path, make: Any
) -> None:
    whole = train(tmp_path / "whole", 2, make)
    train(tmp_path / "parts", 1, make)
    with pytest.raises(ConfigError, match=r"order .*changed") as error:
        train(tmp_path / "parts", 2, make, model=Named("second", "head", "first"))
    second = train(tmp_path / "parts", 2, make)

    assert error.value.findings[0].title == "optimizer does not match the checkpoint"
    assert torch.equal(parameters_of(second.model), parameters_of(whole.model))


class Scaled(nn.Module):
    """A loss with a parameter, whose name in the loss is that of one in the model."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.head = nn.Linear(1, width, bias=False)

    def forward(self, *, outputs: Any, targets: Any, **_: Any) -> LossOutput:
        return LossOutput(((self.head(outputs) - targets["y"]) ** 2).mean())


def test_parameters_of_a_loss_have_names_of_their_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = Scaled()
    whole = train(tmp_path / "whole", 2, loss=copy.deepcopy(start))
    train(tmp_path / "parts", 1, loss=copy.deepcopy(start))
    second = train(tmp_path / "parts", 2, loss=copy.deepcopy(start), model=Named("head", "first", "second"))

    assert second.loss.head.weight.item() == whole.loss.head.weight.item() != start.head.weight.item()
    with pytest.raises(ConfigError, match=r"`loss.head.weight` is \[2, 1\] here and \[1, 1\] in the checkpoint"):
        train(tmp_path / "parts", 3, loss=Scaled(2))


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize(
    ("key", "value"),
    [("exp_avg", torch.zeros(1000)), ("exp_avg_sq", torch.zeros(())), ("step", torch.zeros(4, 4))],
)
def test_state_of_another_shape_never_reaches_a_kernel(tmp_path: Path, key: str, value: Any, *, names: bool) -> None:
    """Neither of a file that names the parameters, nor of an older one that does not."""
    train(tmp_path, 1)
    parts = load_checkpoint(tmp_path / "last.pt")
    parts["optimizer"]["state"][0][key] = value
    if not names:
        parts["parameters"] = None
    rewrite(tmp_path / "last.pt", parts)

    with pytest.raises(ConfigError, match=f"`{key}` of .* in the checkpoint, and the parameter"):
        train(tmp_path, 2)


def test_a_file_without_names_is_loaded_by_position(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 2)
    train(tmp_path / "parts", 1)
    parts = load_checkpoint(tmp_path / "parts/last.pt")
    del parts["parameters"]
    parts["meta"]["built"] = {name: parts["meta"]["built"][name] for name in ("optimizer", "scheduler")}
    rewrite(tmp_path / "parts/last.pt", parts)
    second = train(tmp_path / "parts", 2)

    assert torch.equal(parameters_of(second.model), parameters_of(whole.model))


class Masked(Named):
    """Has a mask of -inf, and a frozen parameter that is infinite too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((2, 2), -torch.inf))
        self.fixed = nn.Parameter(torch.full((1,), torch.inf), requires_grad=False)


def test_buffers_and_frozen_parameters_may_be_infinite(tmp_path: Path) -> None:
    def trained(model: Any) -> Any:
        return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

    train(tmp_path, 1, trained, model=Masked())

    assert load_checkpoint(tmp_path / "last.pt")["model"]["mask"].isinf().all()


class HoldsTerms:
    def __init__(self) -> None:
        self.terms = [{"a": Scaled()}]

    def __call__(self, **given: Any) -> LossOutput:
        return self.terms[0]["a"](**given)


@pytest.mark.parametrize("make", [Scaled, HoldsTerms])
def test_a_parameter_of_the_loss_that_is_not_finite_replaces_no_checkpoint(tmp_path: Path, make: Any) -> None:
    class Break(Look):
        def on_train_step_end(self, ctx: RunContext) -> None:
            with torch.no_grad():
                next(iter(ctx.optimizer.param_groups[1]["params"])).fill_(torch.nan)

    with pytest.raises(ConfigError, match=r"head.weight` of the loss is not finite"):
        fit(
            small_model(),
            Batches(random_batches(1)),
            loss=make(),
            callbacks=[Break(), ModelCheckpoint(str(tmp_path), background=False)],
        )
