"""Optimizers that users bring: with modes of their own, and with state of another precision than the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class ScheduleFree(Optimizer):
    """SGD without a schedule: trains at points between the steps and their average, and evaluates at the average."""

    def __init__(self, params: Iterable[Any], lr: float = 0.05, beta: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "k": 0, "train_mode": True})

    @torch.no_grad()
    def eval(self) -> None:
        self._go(training=False, part=lambda beta: 1 - 1 / beta)

    @torch.no_grad()
    def train(self) -> None:
        self._go(training=True, part=lambda beta: 1 - beta)

    def _go(self, *, training: bool, part: Callable[[float], float]) -> None:
        for group in self.param_groups:
            if group["train_mode"] == training:
                continue
            group["train_mode"] = training
            for parameter in group["params"]:
                if "z" in self.state[parameter]:
                    parameter.lerp_(self.state[parameter]["z"], part(group["beta"]))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if not group["train_mode"]:
                raise RuntimeError("the optimizer is in eval mode: call train() before a step")
            share = 1 / (group["k"] + 1)
            for parameter in (each for each in group["params"] if each.grad is not None):
                z = self.state[parameter].setdefault("z", parameter.clone())
                parameter.lerp_(z, share)
                parameter.add_(parameter.grad, alpha=group["lr"] * (group["beta"] * (1 - share) - 1))
                z.sub_(parameter.grad, alpha=group["lr"])
            group["k"] += 1


class Masters(Optimizer):
    """SGD on copies of float32, of which the parameters are roundings."""

    def __init__(self, params: Iterable[Any], lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in (each for each in group["params"] if each.grad is not None):
                master = self.state[parameter].setdefault("master", parameter.float().clone())
                master.sub_(parameter.grad.float(), alpha=group["lr"])
                parameter.copy_(master)


class SmallMomentum(Optimizer):
    """SGD whose momentum is kept in eight bits, with a scale, and which counts its steps in a plain number."""

    def __init__(self, params: Iterable[Any], lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in (each for each in group["params"] if each.grad is not None):
                state = self.state[parameter]
                kept = state.get("momentum", torch.zeros_like(parameter, dtype=torch.int8))
                momentum = 0.9 * kept.float() * state.get("scale", 0.0) + parameter.grad.float()
                state["scale"] = float(momentum.abs().max()) / 127 or 1.0
                state["momentum"] = (momentum / state["scale"]).round().to(torch.int8)
                state["steps"] = state.get("steps", 0) + 1
                parameter.sub_(momentum.to(parameter.dtype), alpha=group["lr"])


class Sharpness(Optimizer):
    """SGD by the gradients at the worst point nearby, for which it asks by a closure; those of here it finds there."""

    asks_again = True

    def __init__(self, params: Iterable[Any], lr: float = 0.05, radius: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "radius": radius})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> None:  # type: ignore[override]
        held = [(group, each) for group in self.param_groups for each in group["params"] if each.grad is not None]
        if not held:
            return  # a head that the loss does not reach
        norm = torch.stack([each.grad.norm() for _, each in held]).norm() + 1e-12
        before = [each.clone() for _, each in held]
        for group, parameter in held:
            parameter.add_(parameter.grad * (group["radius"] / norm))
        with torch.enable_grad():
            closure()
        for (group, parameter), value in zip(held, before, strict=True):
            parameter.copy_(value)
            parameter.sub_(parameter.grad, alpha=group["lr"])


OWN_OPTIMIZERS: dict[str, type[Optimizer]] = {
    "schedule-free": ScheduleFree,
    "float32 masters": Masters,
    "momentum of eight bits": SmallMomentum,
    "sharpness-aware": Sharpness,
}
