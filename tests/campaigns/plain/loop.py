"""The training loop as one writes it in plain torch, from what the documentation promises: the campaign's oracle.

Nothing here knows otrainer. Batches come as data, epoch by epoch, since their order is the loader's affair; callbacks
and metrics are the user's own objects, called at the moments that the documentation names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn


@dataclass
class Task:
    """What is trained, and how."""

    model: nn.Module
    criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    optimizer: torch.optim.Optimizer
    inputs: Callable[[Any], torch.Tensor]
    targets: Callable[[Any], torch.Tensor]
    prediction: Callable[[Any], torch.Tensor]
    weight: Callable[[Any], float]
    epochs: int
    sums: bool = False
    accumulate: int = 1
    clip: float | None = None
    bfloat16: bool = False
    validate_every: int = 1
    scheduler: Any = None
    interval: str = "epoch"
    frequency: int = 1
    monitor: str = "val_loss"
    metrics: Sequence[Any] = ()
    callbacks: Sequence[Any] = ()
    patience: int | None = None
    logs: Callable[[float], dict[str, float]] | None = None
    rounding: torch.Generator | None = None
    unit: float = 0.0


@dataclass
class Trace:
    """What a training logged: rows of (stage, step, values), and the epochs that it took."""

    rows: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)
    epochs: int = 0
    steps: int = 0


def train(task: Task, train_data: Sequence[Sequence[Any]], val_data: Sequence[Sequence[Any]]) -> Trace:
    """Train on the batches of each epoch, and validate on those of each validation."""
    trace, early = Trace(), EarlyStopping(task.patience)
    ctx = SimpleNamespace(
        model=task.model, optimizer=task.optimizer, scheduler=task.scheduler, loss=task.criterion,
        state=SimpleNamespace(epoch=0, global_step=0, epochs_done=0), should_stop=False, validated=False,
        last_train_logs={}, last_val_logs={}, metrics=task.metrics,
    )  # fmt: skip
    modes = [task.optimizer] if hasattr(task.optimizer, "train") else []  # as schedule-free ones have them
    call(modes, "train")
    call(task.callbacks, "on_fit_start", ctx)
    validations = iter(val_data)
    for epoch in range(task.epochs):
        ctx.state.epoch = epoch
        batches = train_data[epoch]
        for first in range(0, len(batches), task.accumulate):
            step(task, trace, ctx, batches[first : first + task.accumulate])
        ctx.validated = (epoch + 1) % task.validate_every == 0
        call(modes, "eval")
        values = validate(task, next(validations)) if ctx.validated and val_data else {}
        call(modes, "train")
        finish_epoch(task, trace, ctx, values)
        early.look(ctx)
        call(task.callbacks, "on_epoch_end", ctx)
        call(task.metrics, "reset")
        trace.epochs, ctx.state.epochs_done = epoch + 1, epoch + 1
        if ctx.should_stop:
            break
    call(modes, "eval")
    return trace


def step(task: Task, trace: Trace, ctx: Any, group: Sequence[Any]) -> None:
    """One optimizer step over a group of micro-batches, of which each counts by its weight."""
    weights = [float(task.weight(batch)) for batch in group]
    losses: list[float] = []
    seen: list[tuple[Any, Any]] = []

    def closure() -> torch.Tensor:
        task.optimizer.zero_grad()
        total: Any = 0
        for batch, weight in zip(group, weights, strict=True):
            with autocast(task):
                outputs = task.model(task.inputs(batch))
                loss = task.criterion(task.prediction(outputs), task.targets(batch))
            share = 1.0 if task.sums or len(group) == 1 else weight / sum(weights) if sum(weights) else 0.0
            (loss if share == 1.0 else loss * share).backward()
            total = total + loss.detach() * share
            if len(losses) < len(group):
                losses.append(loss.item())
                seen.append((outputs, batch))
                update(task, outputs, batch, "train")
        total = nudge(task, total)
        if task.clip is not None:
            held = [parameter for each in task.optimizer.param_groups for parameter in each["params"]]
            nn.utils.clip_grad_norm_(held, task.clip)
        return total

    rates = [float(each["lr"]) for each in task.optimizer.param_groups]
    asks_itself = isinstance(task.optimizer, torch.optim.LBFGS)
    if not asks_itself:
        closure()
    task.optimizer.step(*[closure] * (asks_itself or getattr(task.optimizer, "asks_again", False)))
    trace.steps = ctx.state.global_step = ctx.state.global_step + 1
    if task.interval == "step" and task.scheduler is not None and ctx.state.global_step % task.frequency == 0:
        task.scheduler.step()
    ctx.last_train_logs = logged(task, losses, weights)
    if task.sums:  # of the step, as if it had been one batch
        ctx.last_train_logs["loss"] = sum(losses)
    trace.rows.append(("train", ctx.state.global_step, {**ctx.last_train_logs, **named(rates)}))
    call(task.callbacks, "on_train_step_end", ctx)


def validate(task: Task, batches: Sequence[Any]) -> dict[str, float]:
    """The mean loss over all samples, in eval mode; every mode is afterwards what it was."""
    roots = [root for root in (task.model, task.criterion) if isinstance(root, nn.Module)]
    modules = [module for root in roots for module in root.modules()]
    modes = [module.training for module in modules]
    for module in modules:
        module.training = False
    losses, weights = [], []
    with torch.no_grad():
        for batch in batches:
            with autocast(task):
                outputs = task.model(task.inputs(batch))
                loss = task.criterion(task.prediction(outputs), task.targets(batch))
            losses.append(loss.item())
            weights.append(float(task.weight(batch)))
            update(task, outputs, batch, "val")
    for module, mode in zip(modules, modes, strict=True):
        module.training = mode
    return {f"val_{name}": value for name, value in logged(task, losses, weights).items()} if losses else {}


def finish_epoch(task: Task, trace: Trace, ctx: Any, values: dict[str, float]) -> None:
    """Log what was validated and what metrics come to, and step a scheduler of epochs or of validations."""
    rows: dict[str, dict[str, float]] = {"metrics": {}, "val": values}
    for metric in task.metrics:
        for name, value in metric.compute().items():
            rows["val" if ctx.validated and not name.startswith("train") else "metrics"][name] = float(value)
    if ctx.validated:
        ctx.last_val_logs = rows["val"]
    if "val_loss" not in values:  # there are no validation data, and metrics saw training alone
        rows = {"metrics": {**rows["metrics"], **rows["val"]}}
    trace.rows += [(stage, ctx.state.global_step, row) for stage, row in rows.items() if row]
    epoch = ctx.state.epoch + 1
    if task.scheduler is None:
        return
    if task.interval == "epoch" and epoch % task.frequency == 0:
        task.scheduler.step()
    if task.interval == "metric" and ctx.validated and (epoch // task.validate_every) % task.frequency == 0:
        task.scheduler.step(ctx.last_val_logs[task.monitor])


class EarlyStopping:
    """Stop after `patience` validations in a row that were not better than the best."""

    def __init__(self, patience: int | None) -> None:
        self.patience, self.best, self.waited = patience, float("inf"), 0

    def look(self, ctx: Any) -> None:
        if self.patience is None or not ctx.validated:
            return
        value = ctx.last_val_logs["val_loss"]
        self.waited = 0 if value < self.best else self.waited + 1
        self.best = min(self.best, value)
        ctx.should_stop |= self.waited >= self.patience


def autocast(task: Task) -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16) if task.bfloat16 else nullcontext()


def update(task: Task, outputs: Any, batch: Any, stage: str) -> None:
    """Let the metrics see a micro-batch, without gradients."""
    with torch.no_grad():
        for metric in task.metrics:
            metric.update(outputs=outputs, targets=task.targets(batch), batch=batch, stage=stage)


def nudge(task: Task, loss: torch.Tensor) -> torch.Tensor:
    """Round the loss and every gradient another way, at random, where training shall show how far rounding takes it.

    What cancels out but for rounding is of the order of a unit of the greatest gradient there is.
    """
    held = [parameter for group in task.optimizer.param_groups for parameter in group["params"]]
    dense = [each.grad for each in held if each.grad is not None and not each.grad.is_sparse]
    if task.rounding is None or not dense:
        return loss
    greatest = max(float(gradient.abs().max()) for gradient in dense)
    for gradient in dense:
        size = gradient.abs() + greatest * (gradient != 0)
        gradient += signs(task, gradient) * task.unit * size / 2
    return loss + signs(task, loss) * task.unit * loss.abs()


def signs(task: Task, like: torch.Tensor) -> torch.Tensor:
    """-1, 0 or 1 in each place."""
    return torch.randint(-1, 2, like.shape, generator=task.rounding).to(like.dtype)


def logged(task: Task, losses: Sequence[float], weights: Sequence[float]) -> dict[str, float]:
    """What is logged of several batches: the mean loss, and means of what the loss logs beside it."""
    logs = [task.logs(loss) if task.logs else {} for loss in losses]
    found = {"loss": sum(losses) / sum(weights) if task.sums else mean(losses, weights)}
    return found | {name: mean([row[name] for row in logs], weights) for name in logs[0]}


def named(rates: Sequence[float]) -> dict[str, float]:
    """Learning rates of groups as rows have them: `lr`, `lr_1`, `lr_2`."""
    return {"lr" if number == 0 else f"lr_{number}": rate for number, rate in enumerate(rates)}


def mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """The weighted mean; weights are of samples, or of whatever the user counts."""
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else 0.0


def call(parts: Sequence[Any], name: str, *args: Any) -> None:
    for part in parts:
        if hasattr(part, name):
            getattr(part, name)(*args)
