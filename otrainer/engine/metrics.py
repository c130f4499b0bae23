"""Metrics during a run: updated by batch, computed and logged by epoch, put back when validation is broken off."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.arrays import Array
from otrainer.engine.logs import Number, number, taken
from otrainer.engine.seed import random_state, set_random_state
from otrainer.engine.tree import describe, is_detachable, map_with_paths
from otrainer.errors import ConfigError, ConfigPath

if TYPE_CHECKING:
    from otrainer.engine.session import Session

log = logging.getLogger("otrainer")


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
        if session.accelerator.is_pure:  # then targets are as narrow as they
            targets = map_with_paths(targets, lambda _, leaf: seen(leaf), is_detachable)
        for index, metric in enumerate(ctx.metrics):
            if hasattr(metric, "update") and (number is None or number >= ctx.metrics_ahead[index]):
                try:
                    metric.update(outputs=outputs, targets=targets, batch=batch, stage=stage)
                    if session.set_metrics is not None:
                        session.set_metrics.update(index, outputs=outputs, targets=targets, batch=batch, stage=stage)
                except ConfigError as error:
                    raise error.under(("metrics", index)) from error.__cause__
                if number is not None:
                    ctx.metrics_ahead[index] = number + 1


def reset_metrics(session: Session) -> None:
    for metric in session.ctx.metrics:
        if hasattr(metric, "reset"):
            metric.reset()


def epoch_rows(session: Session) -> dict[str, dict[str, Number]]:
    """Return what is logged of an epoch, by stage: what comes from validation as one row, the rest as another.

    The rest is what metrics compute of training, and the means of its loss and logs where they are logged.

    Raises ConfigError where two values have one name, or one is no number.
    """
    ctx = session.ctx
    means = {} if ctx.epoch_means is None else ctx.epoch_means.values()
    rows: dict[str, dict[str, Number]] = {"metrics": means, "val": dict(ctx.last_val_logs) if ctx.validated else {}}
    for index in range(len(ctx.metrics)):
        for name, value in computed(session, index):
            is_val = ctx.validated and not name.startswith("train")
            if isinstance(value, Array):
                session.arrays.add("val" if is_val else "metrics", name, value)
                continue
            add_value(rows["val" if is_val else "metrics"], name, number_of(name, value, index), ("metrics", index))
    if ctx.validated:
        ctx.last_val_logs = rows["val"]
    if not session.val:  # what is watched goes by these all the same
        rows = {"metrics": {**rows["metrics"], **rows["val"]}}
    return {stage: row for stage, row in rows.items() if row}


def add_value(row: dict[str, Number], name: str, value: Number, config_path: ConfigPath) -> None:
    """Add a value to a row; raise ConfigError where something else has its name."""
    if name in ("step", "stage"):
        raise taken(name, config_path, what="what each row says by itself")
    if name in row:
        raise taken(name, config_path, what="a loss, a log or a metric in the same row")
    row[name] = value


def computed(session: Session, index: int) -> Iterable[tuple[str, Any]]:
    """Return what a metric computes; nothing, which is told once, where nothing was validated and it fails for that."""
    metric = session.ctx.metrics[index]
    if not hasattr(metric, "compute"):
        return ()
    was_validated = session.ctx.validated and bool(session.val)
    try:
        values = named_values(metric)
    except Exception as error:
        if was_validated:
            raise
        tell_missing(session, index, why=f"{type(error).__name__}: {error}")
        return ()
    if not was_validated and any(value is None for _, value in values):
        tell_missing(session, index, why="its `compute` returned None")
        return [(name, value) for name, value in values if value is not None]
    return values


def tell_missing(session: Session, index: int, *, why: str) -> None:
    """Warn, once a run for each metric, of what it does not compute in an epoch without validation."""
    if index not in session.told_metrics:
        session.told_metrics.add(index)
        log.warning(
            "`%s` (metrics.%d) computes nothing in an epoch that is not validated, and is left out of its rows: %s",
            type(session.ctx.metrics[index]).__qualname__,
            index,
            why,
        )


def number_of(name: str, value: Any, index: int) -> Number:
    """Return what a metric computes under a name as a number; raise ConfigError where it is none."""
    try:
        return number(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as cause:
        message = f"What the metric computes as `{name}` is no number: {describe(value)}."
        hint = "Return a mapping from names to numbers, with a name for each of several."
        raise ConfigError(message, title="metric is no number", config_path=("metrics", index), hint=hint) from cause


def named_values(metric: Any) -> list[tuple[str, Any]]:
    """Return what a metric computes, by name; a single value goes by the name of the metric's class."""
    value = metric.compute()
    if isinstance(value, Mapping):
        return [(str(name), item) for name, item in value.items()]
    return [(type(metric).__name__, value)]


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


@contextmanager
def undone_if_broken_off(metrics: Sequence[Any]) -> Iterator[None]:
    """Put metrics and global random states back to what they were before the block where it raises."""
    before = Snapshot(metrics)
    try:
        yield
    except BaseException:
        before.restore()
        raise


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
