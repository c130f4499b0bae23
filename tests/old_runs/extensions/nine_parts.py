"""A component of every kind, most of them with state; STOP_AT=N in the environment sends SIGINT at step N."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import LossOutput
from otrainer.components.sched import SchedulerBundle
from otrainer.deps.model_constructor import Registry, validate_kwargs
from otrainer.engine.state import RunContext

EDITION = 1


@dataclass
class NineTrainer:
    """Hand everything on to the default trainer."""

    max_epochs: int = 2
    grad_accum_steps: int = 1
    log_every_n_steps: int = 10

    def fit(self, **parts: Any) -> None:
        parts["registry"].get_module("trainer.default").target(**vars(self)).fit(**parts)


@dataclass
class NineData:
    """Batches drawn from torch's global random state, so that resuming has to restore it."""

    steps: int = 20
    val_steps: int = 2

    def train_dataloader(self) -> Iterator[dict[str, torch.Tensor]]:
        return self.batches(self.steps)

    def val_dataloader(self) -> Iterator[dict[str, torch.Tensor]]:
        return self.batches(self.val_steps)

    def batches(self, steps: int) -> Iterator[dict[str, torch.Tensor]]:
        for _ in range(steps):
            x = torch.randn(8, 4)
            yield {"x": x, "y": x[:, :1] - x[:, 1:2]}


class NineIO:
    def split(self, batch: dict[str, torch.Tensor], *, stage: str) -> tuple[ArgsKwargs, dict[str, torch.Tensor], None]:
        return ArgsKwargs(kwargs={"x": batch["x"]}), {"y": batch["y"]}, None


@dataclass
class NineLoss:
    shrink: float = 0.0

    def __call__(self, *, outputs: torch.Tensor, targets: Mapping[str, torch.Tensor], **_: Any) -> LossOutput:
        error = torch.mean((outputs - targets["y"]) ** 2)
        return LossOutput(loss=error + self.shrink * torch.mean(outputs**2), logs={"mse": error})


@dataclass
class NineOptimizer:
    """Weight decay for all but biases."""

    type: str
    kwargs: dict[str, Any]

    def build(self, model: torch.nn.Module, *, registry: Registry) -> torch.optim.Optimizer:
        entry, kwargs = registry.get_module(self.type), dict(self.kwargs)
        validate_kwargs(entry.target, kwargs=kwargs, policy=entry.signature_policy, config_path=("optimizer", "kwargs"))
        decay, named = kwargs.pop("weight_decay"), list(model.named_parameters())
        weights = {"params": [value for name, value in named if "bias" not in name], "weight_decay": decay}
        biases = {"params": [value for name, value in named if "bias" in name], "weight_decay": 0.0}
        return entry.target([weights, biases], **kwargs)


@dataclass
class NineScheduler:
    """A rise of the learning rate over `warmup` steps."""

    type: str
    warmup: int

    def build(self, optimizer: torch.optim.Optimizer, *, registry: Registry) -> SchedulerBundle:
        scheduler = registry.get_module(self.type).target(optimizer, lambda step: min(1.0, (step + 1) / self.warmup))
        return SchedulerBundle(scheduler, interval="step")


@dataclass
class NineMetric:
    """The mean absolute error of each stage; its state is its plain attributes."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def update(self, *, outputs: torch.Tensor, targets: Mapping[str, torch.Tensor], batch: Any, stage: str) -> None:
        self.sums[stage] = self.sums.get(stage, 0.0) + float((outputs - targets["y"]).abs().mean())
        self.counts[stage] = self.counts.get(stage, 0) + 1

    def compute(self) -> dict[str, float]:
        return {f"{stage}_mae": total / self.counts[stage] for stage, total in self.sums.items()}

    def reset(self) -> None:
        self.sums, self.counts = {}, {}


class NineMean:
    """A callback with a `state_dict`: the mean of the weights over the steps."""

    def __init__(self, decay: float = 0.9) -> None:
        self.decay, self.edition = decay, EDITION
        self.steps, self.mean = 0, dict[str, torch.Tensor]()

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.steps += 1
        for name, value in ctx.model.state_dict().items():
            self.mean[name] = self.mean.get(name, value) * self.decay + value * (1 - self.decay)
        if str(ctx.state.global_step) == os.environ.get("STOP_AT"):
            signal.raise_signal(signal.SIGINT)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps, self.mean = state["steps"], dict(state["mean"])


class NineRates:
    """A callback whose state is a plain attribute: the learning rate at the end of each epoch."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_epoch_end(self, ctx: RunContext) -> None:
        self.rates.append(ctx.optimizer.param_groups[0]["lr"])


@dataclass
class NineLogger:
    path: str

    def log_metrics(self, metrics: Mapping[str, float], *, step: int, stage: str) -> None:
        with Path(self.path).open("a") as file:
            file.write(json.dumps({"step": step, "stage": stage, **metrics}) + "\n")


def register(registry: Registry) -> None:
    registry.register_module("trainer.nine", NineTrainer)
    registry.register_module("data.nine", NineData)
    registry.register_module("io.nine", NineIO)
    registry.register_module("loss.nine", NineLoss)
    registry.register_module("optim_factory.nine", NineOptimizer)
    registry.register_module("sched_factory.nine", NineScheduler)
    registry.register_module("sched_cls.LambdaLR", torch.optim.lr_scheduler.LambdaLR)
    registry.register_module("metric.nine", NineMetric)
    registry.register_module("cb.mean", NineMean)
    registry.register_module("cb.rates", NineRates)
    registry.register_module("log.nine", NineLogger)
