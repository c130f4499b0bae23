"""Callbacks and metrics as users write them, with state of every kind on which the training depends."""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn


class Nothing:
    """A callback without hooks or state."""


class RateFromLosses:
    """Sets the rate from a deque of the latest losses and a numpy number."""

    def __init__(self) -> None:
        self.losses: deque[float] = deque(maxlen=3)
        self.rate = np.float64(1.0)

    def on_train_step_end(self, ctx: Any) -> None:
        self.losses.append(round(ctx.last_train_logs["loss"], 3))
        self.rate = np.float64(0.5 + 0.1 * len(self.losses) + 0.01 * (self.losses[0] > self.losses[-1]))
        for group in ctx.optimizer.param_groups:
            group["lr"] = 0.01 * float(self.rate)


class Noise:
    """Moves a parameter by noise of a generator of its own: Python's, numpy's and torch's."""

    def __init__(self) -> None:
        self.python, self.numpy = random.Random(3), np.random.default_rng(4)
        self.torch = torch.Generator().manual_seed(5)

    def on_train_step_end(self, ctx: Any) -> None:
        noise = self.python.gauss(0, 1) + self.numpy.normal() + float(torch.randn((), generator=self.torch))
        with torch.no_grad():
            trained(ctx)[-1].add_(0.001 * noise)


class Sets:
    """Decides by a set, a Counter and a defaultdict of what it saw, and shrinks a parameter."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.counts: Counter[str] = Counter()
        self.by_parity: defaultdict[int, int] = defaultdict(int)

    def on_train_step_end(self, ctx: Any) -> None:
        step = ctx.state.global_step
        self.seen.add(step // 2)
        self.counts["odd" if step % 2 else "even"] += 1
        self.by_parity[step % 3] += 1
        with torch.no_grad():
            trained(ctx)[-1].mul_(1 - 0.001 * len(self.seen) - 0.0001 * self.counts["odd"] - 0.0001 * self.by_parity[1])


class Average:
    """An average of the weights, a module of its own, to which the weights are drawn each third step."""

    def __init__(self) -> None:
        self.average: nn.ParameterList | None = None

    def on_fit_start(self, ctx: Any) -> None:
        if self.average is None:
            self.average = kept_apart(trained(ctx))

    def on_train_step_end(self, ctx: Any) -> None:
        with torch.no_grad():
            for kept, parameter in zip(self.average or (), trained(ctx), strict=False):
                kept.lerp_(parameter, 0.3)
                if ctx.state.global_step % 3 == 0:
                    parameter.lerp_(kept, 0.5)

    def state_dict(self) -> dict[str, Any]:
        return {"average": [kept.detach().clone() for kept in self.average or ()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average = kept_apart(state["average"])


def kept_apart(tensors: list[torch.Tensor]) -> nn.ParameterList:
    return nn.ParameterList([nn.Parameter(each.detach().clone(), requires_grad=False) for each in tensors])


class Point(NamedTuple):
    step: int
    loss: float


class Arrays:
    """Sets the rate by arrays: of numpy, of torch in a list, and by a named tuple, each by plain attribute."""

    def __init__(self) -> None:
        self.history = np.zeros(4, dtype=np.float32)
        self.tensors: list[torch.Tensor] = []
        self.best: Point | None = None

    def on_train_step_end(self, ctx: Any) -> None:
        loss = round(ctx.last_train_logs["loss"], 3)
        self.history[ctx.state.global_step % 4] = loss
        self.tensors = [*self.tensors[-1:], torch.tensor(loss)]
        if self.best is None or loss < self.best.loss:
            self.best = Point(ctx.state.global_step, loss)
        share = 1 + 0.1 * (self.history.sum() > 2) + 0.05 * bool(sum(self.tensors) > 1) + 0.01 * (self.best.step % 5)
        for group in ctx.optimizer.param_groups:
            group["lr"] = 0.01 * float(share)


class Thaw:
    """Thaws after the first epoch what was frozen, as a group of its own with a rate of its own."""

    def on_epoch_end(self, ctx: Any) -> None:
        if ctx.state.epoch != 0:
            return
        held = {id(parameter) for group in ctx.optimizer.param_groups for parameter in group["params"]}
        thawed = [parameter for parameter in ctx.model.parameters() if id(parameter) not in held]
        for parameter in thawed:
            parameter.requires_grad_(requires_grad=True)
        if thawed:
            ctx.optimizer.add_param_group({"params": thawed, "lr": 0.003})


class Freeze:
    """Freezes the first parameter after the first epoch, which keeps its place in the optimizer."""

    def on_epoch_end(self, ctx: Any) -> None:
        if ctx.state.epoch == 0 and len(trained(ctx)) > 1:
            trained(ctx)[0].requires_grad_(requires_grad=False)


class EvalLater:
    """Puts every dropout and BatchNorm in eval mode after the first epoch, for good."""

    def on_epoch_end(self, ctx: Any) -> None:
        if ctx.state.epoch == 0:
            for module in ctx.model.modules():
                if isinstance(module, nn.Dropout | nn.BatchNorm1d):
                    module.eval()


class EvalAtStart:
    """Puts every dropout and BatchNorm in eval mode before training."""

    def on_fit_start(self, ctx: Any) -> None:
        for module in ctx.model.modules():
            if isinstance(module, nn.Dropout | nn.BatchNorm1d):
                module.eval()


class StopsItself:
    """Ends training after the epoch in which it saw its fifth step."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_step_end(self, ctx: Any) -> None:
        self.steps += 1
        if self.steps == 5:
            ctx.should_stop = True


def trained(ctx: Any) -> list[nn.Parameter]:
    return list(ctx.optimizer.param_groups[0]["params"])


CALLBACKS = {
    "none": Nothing,
    "deque and numpy number": RateFromLosses,
    "arrays, named tuple": Arrays,
    "generators": Noise,
    "set, Counter, defaultdict": Sets,
    "average of weights": Average,
    "thaws": Thaw,
    "freezes": Freeze,
    "eval mode later": EvalLater,
    "eval mode at the start": EvalAtStart,
    "stops by itself": StopsItself,
}


class Sums:
    """The mean of absolute predictions by stage, in plain numbers."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        pred = first_tensor(outputs)
        self.sums[stage] = self.sums.get(stage, 0.0) + float(pred.detach().double().abs().mean())
        self.counts[stage] = self.counts.get(stage, 0) + 1

    def compute(self) -> dict[str, float]:
        return {f"{stage}_size": total / self.counts[stage] for stage, total in self.sums.items()}


class Collected:
    """Numpy arrays in a list, a deque, a Counter, a named range: computed at the epoch's end, kept between batches."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.latest: deque[float] = deque(maxlen=2)
        self.counts: Counter[str] = Counter()

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        pred = first_tensor(outputs).detach().double().numpy()
        self.arrays.append(pred)
        self.latest.append(np.float64(pred.max()))
        self.counts[stage] += len(pred)

    def compute(self) -> dict[str, float]:
        spread = np.concatenate(self.arrays).std()
        return {"train_spread": spread, "top": max(self.latest), "share": self.counts["val"] / self.counts.total()}


class Judged:
    """The mean square of errors, or the share of classes that were met: what torchmetrics comes to, computed at once."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        self.seen.setdefault(stage, []).append((first_tensor(outputs).detach().double(), targets))

    def compute(self) -> dict[str, float]:
        found = {}
        for stage, pairs in self.seen.items():
            predicted, target = (torch.cat(each) for each in zip(*pairs, strict=True))
            if target.is_floating_point():
                found[f"{stage}_mean_squared_error"] = float(((predicted - target.double()) ** 2).mean())
            else:
                found[f"{stage}_multiclass_accuracy"] = float((predicted.argmax(1) == target).double().mean())
        return found


def first_tensor(outputs: Any) -> torch.Tensor:
    """The prediction, or whatever tensor of a model's outputs comes first."""
    if isinstance(outputs, torch.Tensor):
        return outputs
    if isinstance(outputs, dict | list | tuple):
        values = outputs.values() if isinstance(outputs, dict) else outputs
        return next(value for value in values if isinstance(value, torch.Tensor))
    return outputs.pred


METRICS = {"none": (), "sums": (Sums,), "collected": (Collected,), "both": (Sums, Collected), "torchmetrics": (Judged,)}
