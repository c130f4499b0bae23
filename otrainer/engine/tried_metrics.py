"""What metrics will log, as far as a single batch shows it: their names, and that the values are numbers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from otrainer.engine.arrays import Array
from otrainer.engine.metrics import add_value, named_values, number_of, update_metrics

if TYPE_CHECKING:
    from otrainer.engine.logs import Number
    from otrainer.engine.session import Session

log = logging.getLogger("otrainer")


def add_metrics(session: Session, logged: dict[str, Any], batch: Any = None) -> bool:
    """Add what the metrics compute; return whether all of them could compute something of one batch.

    Raises ConfigError for what is no number. Those that fail have the batch for one of training too, if there is one:
    they may compute values of both stages.
    """
    computing = [(at, metric) for at, metric in enumerate(session.ctx.metrics) if hasattr(metric, "compute")]
    found = {at: tried_values(metric) for at, metric in computing}
    if batch is not None and not all(found.values()) and sees_as_training(session, batch):
        found = {at: found[at] or tried_values(metric) for at, metric in computing}
    for index, values in found.items():
        for name, value in values:
            if isinstance(value, Array):  # which nothing can watch
                continue
            checked = number_tried(name, value, index)
            if not name.startswith("train"):
                add_value(logged, name, checked, ("metrics", index))
    return all(found.values())


def tried_values(metric: Any) -> list[tuple[str, Any]]:
    """Return what a metric computes by name; nothing where it fails: one batch may be too few, whatever it raises."""
    try:
        return named_values(metric)
    except Exception:  # noqa: BLE001
        return []


def sees_as_training(session: Session, batch: Any) -> bool:
    """Let the metrics see a validation batch as one of training; return whether that can be done."""
    ctx = session.ctx
    try:
        inputs, targets, _ = ctx.io.split(batch, stage="train")
        with session.accelerator.autocast():
            outputs = session.forward(*inputs.args, **inputs.kwargs)
        update_metrics(session, outputs, targets, batch, "train")
    except Exception:  # noqa: BLE001 - it is none of training, so nothing is wrong with that
        return False
    return True


def number_tried(name: str, value: Any, index: int) -> Number:
    """Return a metric's value as a number; None may stand for too little data, and is told."""
    if value is not None:
        return number_of(name, value, index)
    log.warning("metrics.%d computes None as `%s` of one batch; of a whole epoch it has to be a number", index, name)
    return float("nan")
