"""What tests share: a plain data module, callbacks that take notes, and one call that fits a model."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import TorchLoss
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.components.sched import TorchSchedulerFactory
from otrainer.engine.state import RunContext
from otrainer.engine.trainer import DefaultTrainer
from otrainer.registry import build_registry


@dataclass
class Batches:
    """A data module over batches, or over functions that make them anew for each epoch."""

    train: Any
    val: Any = None

    def train_dataloader(self) -> Iterable[Any]:
        return self.train() if callable(self.train) else self.train

    def val_dataloader(self) -> Iterable[Any] | None:
        return self.val() if callable(self.val) else self.val


class PairIO:
    """Batches of the form `{"x": ..., "y": ...}`."""

    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, Any, Any]:
        return ArgsKwargs(args=(batch["x"],)), {"y": batch["y"]}, None


@dataclass
class Notes:
    """A logger and callback that writes down what it is told."""

    rows: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    hparams: Any = None

    def log_hparams(self, hparams: Any) -> None:
        self.hparams = hparams

    def log_metrics(self, metrics: dict[str, float], *, step: int, stage: str) -> None:
        self.rows.append((stage, step, dict(metrics)))

    def values(self, stage: str, name: str) -> list[float]:
        return [row[name] for kind, _, row in self.rows if kind == stage and name in row]


class StopAt:
    """A callback that sends this process a signal after a step, as a terminal or a scheduler would; None: never."""

    def __init__(self, step: int | None, signum: int = signal.SIGINT) -> None:
        self.step, self.signum = step, signum

    def on_train_step_end(self, ctx: RunContext) -> None:
        if ctx.state.global_step == self.step:
            os.kill(os.getpid(), self.signum)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def random_batches(count: int, size: int = 8, width: int = 4, seed: int = 1) -> list[dict[str, torch.Tensor]]:
    """Batches of random regression from `width` values to one."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {"x": torch.randn(size, width, generator=generator), "y": torch.randn(size, 1, generator=generator)}
        for _ in range(count)
    ]


def small_model(width: int = 4, seed: int = 3) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(width, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))


def fit(
    model: torch.nn.Module,
    data: Any,
    *,
    trainer: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    io: Any = None,
    loss: Callable[..., Any] | None = None,
    metrics: Sequence[Any] = (),
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    run: dict[str, Any] | None = None,
) -> torch.nn.Module:
    """Fit with the default trainer and everything else plain unless said otherwise.

    `trainer` may be one, `optimizer` and `scheduler` may be factories, or several of them by names.
    """
    if isinstance(optimizer, dict) and "type" not in optimizer:
        optimizer = {name: TorchOptimizerFactory(**each) for name, each in optimizer.items()}
    elif not hasattr(optimizer, "build"):
        optimizer = TorchOptimizerFactory(**(optimizer or {"type": "optim_cls.SGD", "kwargs": {"lr": 0.05}}))
    if isinstance(scheduler, dict) and "type" not in scheduler:
        scheduler = {name: TorchSchedulerFactory(**each) for name, each in scheduler.items()}
    elif scheduler and not hasattr(scheduler, "build"):
        scheduler = TorchSchedulerFactory(**scheduler)
    made = trainer if hasattr(trainer, "fit") else DefaultTrainer(**(trainer or {}))
    made.fit(
        model=model,
        datamodule=data,
        io=io or PairIO(),
        loss=loss or TorchLoss(torch.nn.MSELoss()),
        optimizer_factory=optimizer,
        scheduler_factory=scheduler,
        metrics=list(metrics),
        callbacks=list(callbacks),
        loggers=list(loggers),
        registry=build_registry(),
        run={"name": "test", "out_dir": "runs/test", **(run or {})},
    )
    return model


def parameters_of(model: torch.nn.Module) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def same_leaves(one: Any, other: Any) -> bool:
    """Whether two trees are alike to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same_leaves(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_leaves, one, other))
    return bool(one == other)
