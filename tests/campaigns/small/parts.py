"""An experiment in otrainer: its parts, new for each stretch of training, and a record of the batches that it saw."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from campaigns.plain.data import field_of
from campaigns.plain.losses import LOSSES, build_loss, weight_of
from campaigns.plain.models import FORMS, OUT, build_model, prediction
from campaigns.plain.optimizers import KEYED, build_scheduler, optimizer_arguments, optimizer_class, parameter_groups
from campaigns.plain.own_optimizers import OWN_OPTIMIZERS
from campaigns.plain.user import CALLBACKS, METRICS
from torch import nn

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import LossOutput, TorchLoss
from otrainer.components.metrics import TorchMetric
from otrainer.components.optim import TorchOptimizerFactory
from otrainer.components.sched import SchedulerBundle, TorchSchedulerFactory
from otrainer.engine.signals import StopRequest, TrainingInterrupted, current_stop_request
from otrainer.engine.trainer import DefaultTrainer
from otrainer.registry import build_registry

from .draw import Experiment
from .loaders import data_module

START = 77  # of the global generators, where training begins


@dataclass
class Seen:
    """The batches that were trained on, epoch by epoch, and those of each validation; how often any was asked for."""

    train: list[list[Any]] = field(default_factory=list)
    val: list[list[Any]] = field(default_factory=list)
    calls: int = 0
    optimizer: Any = None
    is_ended: bool = True

    def note(self, batch: Any, stage: str) -> None:
        """Note a batch once an epoch: LBFGS asks for one several times, and a rehearsal is none of the training."""
        if stage == "train" and self.is_ended:
            self.train.append([])
            self.val.append([])
            self.is_ended = False
        if self.train:
            into = (self.train if stage == "train" else self.val)[-1]
            into += [batch] * all(batch is not known for known in into)


class RecordingIO:
    """Splits batches of any form; notes them, and asks for a stop at one of them."""

    def __init__(self, drawn: Experiment, seen: Seen, stop_at: int | None) -> None:
        self.drawn, self.seen, self.stop_at = drawn, seen, stop_at

    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, Any, Any]:
        self.seen.note(batch, stage)
        if self.seen.calls == self.stop_at:
            current_stop_request().signum = signal.SIGINT
        self.seen.calls += 1
        target = field_of(batch, "y")
        weight = {"weight": weight_of(self.drawn.loss, target)} if self.drawn.loss_by == "split" else None
        return ArgsKwargs(args=(field_of(batch, "x"),)), {"y": field_of(batch, "y")}, weight


class Bounds:
    """Tells the record where an epoch ends; it has no state."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def on_fit_start(self, ctx: Any) -> None:
        self.seen.optimizer = ctx.optimizer

    def on_train_epoch_end(self, ctx: Any) -> None:
        self.seen.is_ended = True

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load nothing."""


class Rows:
    """A logger that keeps what it is told, and is continued where it was."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], *, step: int, stage: str) -> None:
        self.rows.append((stage, step, dict(metrics)))


class OwnLoss:
    """A plugin's loss, which may say what it is a mean over, and logs something of its own."""

    def __init__(self, drawn: Experiment) -> None:
        self.drawn, self.fn = drawn, build_loss(drawn.loss, drawn.dtype)

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        loss = self.fn(prediction(outputs, self.drawn.output), targets["y"])
        weight = weight_of(self.drawn.loss, targets["y"])
        said = {"a number": weight, "a tensor": torch.tensor(weight), "a function": lambda: weight}
        reduction = "sum" if LOSSES[self.drawn.loss].mean_over == "sum" else "mean"
        return LossOutput(loss, {"double": loss.detach() * 2}, said.get(self.drawn.loss_by), reduction)


def loss_of(drawn: Experiment) -> Any:
    if drawn.loss_by == "loss.torch":
        return TorchLoss(build_loss(drawn.loss, drawn.dtype), pred_path=FORMS[drawn.output][1])
    return OwnLoss(drawn)


@dataclass
class OwnOptimizer:
    """A factory of one's own: the optimizer over some of the parameters, or over groups."""

    drawn: Experiment

    def build(self, model: nn.Module, *, registry: Any) -> torch.optim.Optimizer:
        drawn = self.drawn
        arguments = optimizer_arguments(drawn.optimizer, plain_loops=drawn.plain_loops)
        groups = parameter_groups(model, drawn.groups)
        if drawn.optimizer.startswith("LBFGS"):
            groups = groups[0]["params"]
        return optimizer_class(drawn.optimizer)(groups, **arguments)


@dataclass
class OwnScheduler:
    """A factory for schedulers that no key stands for."""

    drawn: Experiment

    def build(self, optimizer: torch.optim.Optimizer, *, registry: Any) -> SchedulerBundle:
        drawn = self.drawn
        made = build_scheduler(drawn.scheduler, optimizer, drawn.length)
        return SchedulerBundle(made, drawn.interval, drawn.frequency, "val_loss")


def optimizer_factory(drawn: Experiment) -> Any:
    if drawn.groups != "all" or drawn.optimizer in OWN_OPTIMIZERS:
        return OwnOptimizer(drawn)
    arguments = optimizer_arguments(drawn.optimizer, plain_loops=drawn.plain_loops)
    return TorchOptimizerFactory(f"optim_cls.{optimizer_class(drawn.optimizer).__name__}", kwargs=arguments)


def scheduler_factory(drawn: Experiment) -> Any:
    if drawn.scheduler == "none":
        return None
    if drawn.scheduler not in KEYED:
        return OwnScheduler(drawn)
    return TorchSchedulerFactory(
        f"sched_cls.{drawn.scheduler}",
        kwargs=KEYED[drawn.scheduler](drawn.length),
        interval=drawn.interval,
        frequency=drawn.frequency,
        monitor="val_loss" if drawn.interval == "metric" else None,
    )


def metrics_of(drawn: Experiment) -> list[Any]:
    if drawn.metrics != "torchmetrics":
        return [make() for make in METRICS[drawn.metrics]]
    path = FORMS[drawn.output][1]
    if LOSSES[drawn.loss].targets == "floats":
        return [TorchMetric("MeanSquaredError", pred_path=path)]
    kwargs = {"num_classes": OUT, "average": "micro"}
    return [TorchMetric("classification.MulticlassAccuracy", kwargs=kwargs, pred_path=path)]


def parts_of(drawn: Experiment, seen: Seen, folder: Path, stop_at: int | None) -> dict[str, Any]:
    """All parts of the run but its settings."""
    callbacks = [CALLBACKS[name]() for name in (drawn.callback, drawn.other_callback)]
    early = [] if drawn.patience is None else [EarlyStopping(patience=drawn.patience)]
    monitor = None if drawn.val == "none" else "val_loss"
    keeps = ModelCheckpoint(str(folder), monitor=monitor, every_n_steps=3, keep_last=2, background=drawn.seed % 2 == 0)
    return {
        "model": build_model(drawn.model, drawn.output, drawn.seed),
        "datamodule": data_module(drawn),
        "io": RecordingIO(drawn, seen, stop_at),
        "loss": loss_of(drawn),
        "optimizer_factory": optimizer_factory(drawn),
        "scheduler_factory": scheduler_factory(drawn),
        "metrics": metrics_of(drawn),
        "callbacks": [*early, *callbacks, Bounds(seen), keeps],
        "loggers": [Rows()],
        "registry": build_registry(),
    }


def fit(drawn: Experiment, folder: Path, seen: Seen, *, stop_at: int | None = None) -> dict[str, Any] | None:
    """Train a stretch, from the checkpoint in `folder` where there is one; None where it was stopped."""
    last = folder / "last.pt"
    parts = parts_of(drawn, seen, folder, stop_at)
    trainer = DefaultTrainer(
        max_epochs=drawn.epochs,
        grad_accum_steps=drawn.accumulate,
        grad_clip_norm=drawn.clip,
        log_every_n_steps=1,
        val_every_n_epochs=drawn.validate_every,
    )
    run = {"name": "small", "out_dir": str(folder), "seed": drawn.seed, "precision": drawn.precision}
    torch.manual_seed(START)
    with StopRequest():
        try:
            trainer.fit(**parts, run={**run, **({"resume_from": str(last)} if last.exists() else {})})
        except TrainingInterrupted:
            return None
    return parts
