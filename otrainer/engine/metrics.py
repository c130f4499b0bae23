"""Metrics during a run: updated by batch, computed and logged by epoch, put back when validation is broken off."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.logs import Number, number, taken
from otrainer.engine.seed import random_state, set_random_state
from otrainer.engine.tree import is_detachable, map_with_paths
from otrainer.errors import ConfigError, ConfigPath

if TYPE_CHECKING:
    from otrainer.engine.session import Session


def update_metrics(
    session: Session, outputs: Any, targets: Any, batch: Any, stage: str, *, number: int | None = None
) -> None:
    """Update every metric with a micro-batch, without its graph; they see no outputs in half precision of autocast.

    `number` is that of a micro-batch in its step. A metric that saw it before the step was broken off is left out.
    """
    ctx = session.ctx
    if not ctx.metrics:
        return
    with torch.no_grad():
        seen = session.accelerator.seen_by_metrics
        outputs = map_with_paths(outputs, lambda _, leaf: seen(leaf), is_detachable)
        for index, metric in enumerate(ctx.metrics):
            if hasattr(metric, "update") and (number is None or number >= ctx.metrics_ahead[index]):
                try:
                    metric.update(outputs=outputs, targets=targets, batch=batch, stage=stage)
                except ConfigError as error:
                    raise error.under(("metrics", index)) from error.__cause__
                if number is not None:
                    ctx.metrics_ahead[index] = number + 1


def reset_metrics(session: Session) -> None:
    for metric in session.ctx.metrics:
        if hasattr(metric, "reset"):
            metric.reset()


def log_epoch(session: Session) -> None:
    """Compute the metrics and log the epoch: what comes from validation as one row, the rest as another.

    Raises ConfigError where two values have one name.
    """
    ctx = session.ctx
    rows: dict[str, dict[str, Number]] = {"metrics": {}, "val": dict(ctx.last_val_logs) if ctx.validated else {}}
    for index, metric in enumerate(ctx.metrics):
        for name, value in computed(session, metric):
            is_val = ctx.validated and not name.startswith("train")
            add_value(rows["val" if is_val else "metrics"], name, number(value), ("metrics", index))
    if ctx.validated:
        ctx.last_val_logs = rows["val"]
    for stage, row in rows.items():
        if row:
            session.log(row, stage)


def add_value(row: dict[str, Number], name: str, value: Number, config_path: ConfigPath) -> None:
    """Add a value to a row; raise ConfigError where something else has its name."""
    if name in row or name in ("step", "stage"):
        raise taken(name, config_path)
    row[name] = value


def computed(session: Session, metric: Any) -> Iterable[tuple[str, Any]]:
    """Return what a metric computes; nothing where it divides by a count of zero since there was no validation."""
    if not hasattr(metric, "compute"):
        return ()
    try:
        return named_values(metric)
    except ZeroDivisionError:
        if session.ctx.validated:
            raise
        return ()


def named_values(metric: Any) -> Iterable[tuple[str, Any]]:
    """Return what a metric computes, by name; a single value goes by the name of the metric's class."""
    value = metric.compute()
    return value.items() if isinstance(value, Mapping) else [(type(metric).__name__, value)]


@contextmanager
def stand_ins(metrics: Sequence[Any]) -> Iterator[None]:
    """Let metrics work on copies of their attributes in the block; after it they have their own again."""
    own = [(metric, dict(vars(metric))) for metric in metrics if hasattr(metric, "__dict__")]
    for metric, attributes in own:
        vars(metric).update(copies(attributes)[0])
    try:
        yield
    finally:
        for metric, attributes in own:
            vars(metric).clear()
            vars(metric).update(attributes)


class Snapshot:
    """Metrics and global random states as they are now, to go back to."""

    def __init__(self, metrics: Sequence[Any]) -> None:
        self._random = random_state()
        self._metrics = [(metric, copies(vars(metric))) for metric in metrics if hasattr(metric, "__dict__")]

    def restore(self) -> None:
        set_random_state(self._random)
        for metric, (attributes, same) in self._metrics:
            vars(metric).clear()
            vars(metric).update(attributes | same)


def copies(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return copies of attributes, and those that cannot be copied (files, locks) as they are."""
    copied, same, memo = {}, {}, dict[int, Any]()
    for name, value in attributes.items():
        try:
            copied[name] = copy.deepcopy(value, memo)  # what two of them share is one thing in the copies too
        except Exception:  # noqa: BLE001 - whatever a value's own copying raises
            same[name] = value
    return copied, same
