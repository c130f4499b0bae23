"""Fused kernels are chosen only where they come to what the plain ones do, held against loops in plain torch."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from support import Batches, fit
from torch import nn

from otrainer.components.optim import TorchOptimizerFactory
from otrainer.engine.optimizer import is_dense
from otrainer.registry import build_registry

OPTIMIZERS = {"Adam": {}, "AdamW": {}, "Adagrad": {}, "SGD": {"momentum": 0.9}}
WIDTH = 24  # more than fits a vector of any processor


class Net(nn.Module):
    """A convolution and a layer after it, whose weights lie in memory as `layout` says."""

    def __init__(self, layout: str, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, WIDTH, 3)
        self.last = nn.Linear(WIDTH, 2)
        if layout == "channels last":
            self.to(memory_format=torch.channels_last)
        elif layout == "transposed":
            self.last.weight = nn.Parameter(torch.randn(WIDTH, 2).t())
        elif layout == "slices":
            self.last.weight = nn.Parameter(torch.randn(2, 2 * WIDTH)[:, ::2])
        elif layout == "part of a row":
            self.last.weight = nn.Parameter(torch.randn(2, 2 * WIDTH)[:, :WIDTH])
        self.to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.conv(x)).mean((2, 3)))


LAYOUTS = ("contiguous", "channels last", "transposed", "slices", "part of a row")


def batches(dtype: torch.dtype) -> list[dict[str, torch.Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [
        {"x": torch.randn(4, 3, 6, 6, generator=draw).to(dtype), "y": torch.randn(4, 2, generator=draw).to(dtype)}
        for _ in range(5)
    ]


def by_hand(layout: str, dtype: torch.dtype, name: str, data: list[dict[str, torch.Tensor]]) -> nn.Module:
    model = Net(layout, dtype)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.05, fused=False, foreach=False, **OPTIMIZERS[name])
    for batch in data:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(batch["x"]), batch["y"]).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *product(OPTIMIZERS, (torch.float32, torch.float64, torch.bfloat16)),
        ("SGD", torch.float16),  # squares of gradients, which the others take, are 0 in it
    ],
)
def test_parameters_of_any_layout_and_precision_train_as_by_hand(name: str, layout: str, dtype: torch.dtype) -> None:
    data = batches(dtype)
    optimizer = {"type": f"optim_cls.{name}", "kwargs": {"lr": 0.05, **OPTIMIZERS[name]}}
    mine = fit(Net(layout, dtype), Batches(data), optimizer=optimizer)
    theirs = by_hand(layout, dtype, name, data)

    # Of what training changed; in half precision, a step rounds each parameter by up to a tenth of what it changes.
    rounding = {torch.float32: 1e-5, torch.float64: 1e-12}.get(dtype, 0.2)
    parts = zip(mine.parameters(), theirs.parameters(), Net(layout, dtype).parameters(), strict=True)
    for one, other, before in parts:
        one, other, before = one.double(), other.double(), before.double()
        assert (one - other).norm() <= rounding * (other - before).norm()


def chosen(model: nn.Module, name: str, **kwargs: Any) -> bool:
    factory = TorchOptimizerFactory(f"optim_cls.{name}", kwargs={"lr": 0.1, **kwargs})
    return bool(factory.build(model, registry=build_registry()).defaults["fused"])


def test_they_are_chosen_wherever_they_are_right() -> None:
    assert chosen(Net("channels last", torch.bfloat16), "AdamW")
    assert chosen(Net("transposed", torch.float32), "SGD", momentum=0.9)
    assert not chosen(Net("slices", torch.float32), "AdamW")
    assert not chosen(Net("contiguous", torch.bfloat16), "SGD")


def test_a_gradient_in_another_order_than_its_parameter_is_stepped_without_them() -> None:
    """Autograd gives each the order of its parameter; a hook may hand on another one."""

    class Hooked(Net):
        def __init__(self, layout: str, dtype: torch.dtype) -> None:
            super().__init__(layout, dtype)
            self.last.weight.register_post_accumulate_grad_hook(turn)

    def turn(parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad = parameter.grad.t().contiguous().t()

    data = batches(torch.float32)
    optimizer = {"type": "optim_cls.AdamW", "kwargs": {"lr": 0.05}}
    mine = fit(Hooked("contiguous", torch.float32), Batches(data), optimizer=optimizer)
    theirs = by_hand("contiguous", torch.float32, "AdamW", data)

    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_dense_is_what_torch_copies_in_the_same_order() -> None:
    whole = torch.zeros(4, 6, 5)
    views = [
        whole, whole.transpose(0, 2), whole[:2], whole[:, :3], whole[..., ::2], whole[:1], whole[:, :1], whole[0],
        whole[:, 0], torch.zeros(()), whole.expand(2, 4, 6, 5), whole.permute(1, 2, 0)[:1],
        torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),
    ]  # fmt: skip
    for view in views:
        strides = zip(view.shape, view.stride(), torch.empty_like(view).stride(), strict=True)
        keeps = all(mine == copied for size, mine, copied in strides if size != 1)
        assert is_dense(view) == keeps, (view.shape, view.stride())
