"""Validation: means of the loss and its logs over all validation data, which leave the run as it was."""

from __future__ import annotations

import logging
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.logs import detached, mean_of
from otrainer.engine.loss_check import check_loss, is_sum
from otrainer.engine.metrics import update_metrics
from otrainer.engine.modes import evaluating
from otrainer.engine.stage_notes import told_stage
from otrainer.engine.weights import Weight, counts_nothing, read_weights, weight_of

if TYPE_CHECKING:
    from otrainer.engine.session import Session

log = logging.getLogger("otrainer")


def validate(session: Session) -> None:
    """Take weighted means over the validation data.

    Raises TrainingInterrupted after a signal.
    """
    ctx = session.ctx
    rows, weights = [], []
    with evaluating(session.modules, ctx.optimizer), torch.no_grad(), told_stage("val") as where:
        batches = session.accelerator.placed(session.val.epoch(ctx.state.epoch))
        for number, batch in enumerate(batches):
            session.stop.raise_if_asked()
            where.batch = number
            row, weight = judge(session, batch, number)
            rows.append(row)
            weights.append(weight)
    ctx.last_val_logs = {f"val_{name}": value for name, value in mean_of(rows, read_weights(weights)).items()}
    tell_not_finite(session, rows)


def judge(session: Session, batch: Any, number: int) -> tuple[dict[str, Any], Weight]:
    """Return what is logged of a validation batch, and what it counts; drop its outputs before the next one comes."""
    ctx = session.ctx
    inputs, targets, meta = ctx.io.split(batch, stage="val")
    with session.accelerator.autocast():
        outputs = session.forward(*inputs.args, **inputs.kwargs)
        result = ctx.loss(outputs=outputs, targets=targets, batch=batch, stage="val")
    update_metrics(session, outputs, targets, batch, "val")
    weight = weight_of(result, meta, session.val, number, inputs)
    loss, sums = check_loss(result, ctx.loss, trains=False), is_sum(result, ctx.loss)
    row = detached(session.watch.read(loss), getattr(result, "logs", None))
    if sums and not counts_nothing(weight):
        row["loss"] = row["loss"] / weight
    return row, weight


def tell_not_finite(session: Session, rows: list[dict[str, Any]]) -> None:
    """Warn, once a run, of a validation loss that is no number: nothing that watches it ever sees it improve."""
    value = session.ctx.last_val_logs.get("val_loss", 0.0)
    if isfinite(value) or session.told_validation:
        return
    session.told_validation = True
    first = next((number for number, row in enumerate(rows) if not isfinite(float(row["loss"]))), None)
    log.warning(
        "in validation after step %d `val_loss` is %s%s: what watches it sees no improvement",
        session.ctx.state.global_step,
        value,
        "" if first is None else f", first in batch {first}, counted from 0",
    )
