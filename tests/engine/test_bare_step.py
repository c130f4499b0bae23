"""An optimizer is stepped past torch's label for its profiler; nothing that somebody put around a step is skipped."""

from __future__ import annotations

import functools
import warnings

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from otrainer.engine.bare_step import BareStep

OPTIMIZERS = [
    name
    for name in ("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop",
                 "Rprop", "SGD")
    if hasattr(torch.optim, name)
]  # fmt: skip


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor([1.0, -2.0]))


def with_gradient(value: torch.nn.Parameter) -> torch.nn.Parameter:
    value.grad = value.detach() * 0.5
    return value


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("scheduled", [False, True])
def test_it_gives_the_bits_of_the_whole_step(name: str, scheduled: bool) -> None:
    found = []
    for wrap in (lambda optimizer: optimizer.step, BareStep):
        value = parameter()
        optimizer = getattr(torch.optim, name)([value], lr=0.1)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5) if scheduled else None
        step = wrap(optimizer)
        for _ in range(3):
            with_gradient(value)
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a schedule that saw no step warns
                step()
                if scheduler is not None:
                    scheduler.step()
        found.append(value.detach())

    assert torch.equal(*found)
    assert value.grad_fn is None and value.requires_grad


def test_it_leaves_out_the_label_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    labels: list[str] = []
    whole = torch.autograd.profiler.record_function.__init__
    monkeypatch.setattr(
        torch.autograd.profiler.record_function,
        "__init__",
        lambda self, name, *rest: (labels.append(name), whole(self, name, *rest))[1],
    )
    optimizer = torch.optim.AdamW([with_gradient(parameter())])

    BareStep(optimizer)()
    assert labels == []
    optimizer.step()
    assert labels == ["Optimizer.step#AdamW.step"]


def test_hooks_that_come_later_are_called() -> None:
    value, seen = with_gradient(parameter()), []
    optimizer = torch.optim.SGD([value], lr=0.1)
    step = BareStep(optimizer)
    step()
    handles = [
        optimizer.register_step_pre_hook(lambda *_: seen.append("own, before")),
        optimizer.register_step_post_hook(lambda *_: seen.append("own, after")),
        register_optimizer_step_post_hook(lambda *_: seen.append("all, after")),
    ]
    step()
    for handle in handles:
        handle.remove()
    step()

    assert seen == ["own, before", "own, after", "all, after"]


def test_who_profiles_sees_the_label() -> None:
    optimizer = torch.optim.SGD([with_gradient(parameter())], lr=0.1)
    step = BareStep(optimizer)
    step()
    with torch.profiler.profile() as profile:
        step()

    assert "Optimizer.step#SGD.step" in {each.key for each in profile.key_averages()}


def test_one_that_hands_on_to_another_is_stepped_as_it_is() -> None:
    class Proxy:
        __slots__ = ("inner",)

        def __init__(self, inner: torch.optim.Optimizer) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    value, whole = with_gradient(parameter()), with_gradient(parameter())
    BareStep(Proxy(torch.optim.SGD([value], lr=0.1)))()  # type: ignore[arg-type]
    torch.optim.SGD([whole], lr=0.1).step()

    assert torch.equal(value, whole)


def test_a_step_that_is_written_around_torchs_own_is_the_one_that_is_called() -> None:
    """Wrapped as a decorator does it, it says of itself what the inner one says."""
    seen = []
    torch.optim.SGD([parameter()], lr=0.1)

    class Counting(torch.optim.SGD):
        @functools.wraps(torch.optim.SGD.step)
        def step(self, *args: object) -> object:
            seen.append("class")
            return super().step(*args)

    optimizer = Counting([with_gradient(parameter())], lr=0.1)
    step = BareStep(optimizer)
    step()
    inner = optimizer.step
    optimizer.step = functools.wraps(inner)(lambda: (seen.append("instance"), inner())[1])
    step()

    assert seen == ["class", "instance", "class"]
