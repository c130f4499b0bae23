"""Metrics during a run: updated by batch, computed and logged by epoch, put back when validation is broken off."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.seed import random_state, set_random_state
from otrainer.engine.tree import map_leaves
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.session import Session


def update_metrics(session: Session, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
    """Update every metric with a micro-batch, without its graph."""
    if not session.ctx.metrics:
        return
    with torch.no_grad():
        outputs = map_leaves(outputs, lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) else leaf)
        for index, metric in enumerate(session.ctx.metrics):
            if hasattr(metric, "update"):
                try:
                    metric.update(outputs=outputs, targets=targets, batch=batch, stage=stage)
                except ConfigError as error:
                    raise error.under(("metrics", index)) from error.__cause__


def reset_metrics(session: Session) -> None:
    for metric in session.ctx.metrics:
        if hasattr(metric, "reset"):
            metric.reset()


def log_epoch(session: Session) -> None:
    """Compute the metrics and log the epoch: what comes from validation as one row, the rest as another."""
    ctx = session.ctx
    rows: dict[str, dict[str, float]] = {"metrics": {}, "val": dict(ctx.last_val_logs) if ctx.validated else {}}
    for metric in ctx.metrics:
        if hasattr(metric, "compute"):
            for name, value in named_values(metric):
                rows["val" if ctx.validated and not name.startswith("train") else "metrics"][name] = float(value)
    if ctx.validated:
        ctx.last_val_logs = rows["val"]
    for stage, row in rows.items():
        if row:
            session.log(row, stage)


def named_values(metric: Any) -> Iterable[tuple[str, Any]]:
    """Return what a metric computes, by name; a single value goes by the name of the metric's class."""
    computed = metric.compute()
    return computed.items() if isinstance(computed, Mapping) else [(type(metric).__name__, computed)]


class Snapshot:
    """Metrics and global random states as they were before validation, to go back to when it is broken off."""

    def __init__(self, metrics: Sequence[Any]) -> None:
        self._random = random_state()
        self._metrics = [(metric, copy.deepcopy(vars(metric))) for metric in metrics if hasattr(metric, "__dict__")]

    def restore(self) -> None:
        set_random_state(self._random)
        for metric, attributes in self._metrics:
            vars(metric).clear()
            vars(metric).update(attributes)
