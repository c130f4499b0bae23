"""Validation: means of the loss and its logs over all validation data, which leave the run as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Any

from otrainer.engine.boundary import BETWEEN, UPDATING
from otrainer.engine.logs import detached, mean_of
from otrainer.engine.loss_check import check_loss, is_sum
from otrainer.engine.metrics import add_value, epoch_rows, reset_metrics, stand_ins, update_metrics
from otrainer.engine.modes import evaluating, judging
from otrainer.engine.monitor import monitored
from otrainer.engine.norm_statistics import update_norms
from otrainer.engine.own_step import logs_of, whole_batch
from otrainer.engine.seed import random_state, set_random_state
from otrainer.engine.set_metrics import SetMetrics, in_set
from otrainer.engine.stage_notes import told_stage
from otrainer.engine.weights import Weight, counts_nothing, read_weights, weight_of
from otrainer.engine.within_step import tell_start

if TYPE_CHECKING:
    from otrainer.engine.arrays import Array
    from otrainer.engine.data.loader import Loader
    from otrainer.engine.logs import Number
    from otrainer.engine.own_step import OwnStep
    from otrainer.engine.rhythm import Rhythm
    from otrainer.engine.session import Session

log = logging.getLogger("otrainer")


class Judged:
    """What came of the batches of a validation set: what each logs, and what it counts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[dict[str, Any]] = []
        self.weights: list[Weight] = []
        self.metrics: dict[str, Number] = {}
        self.arrays: dict[str, Array] = {}

    def add(self, row: dict[str, Any], weight: Weight) -> None:
        self.rows.append(row)
        self.weights.append(weight)


def validate(session: Session, most: int | None = None) -> None:
    """Take weighted means over the validation data, or the first `most` batches of each set of them.

    Raises TrainingInterrupted after a signal.
    """
    update_norms(session)
    note_means(session, judge_sets(session, most))


def judge_sets(
    session: Session, most: int | None = None, seen: Callable[[Loader, int, Any], None] | None = None
) -> list[Judged]:
    """Judge the sets of the validation data in their order; `seen` is told of each batch once it was judged."""
    gradients = judging(session.modules, gradients=session.val_gradients)
    with evaluating(session.modules, session.ctx), gradients, told_stage("val") as where:
        found, loaders = [], session.val.by_name()
        apart = {name: SetMetrics(session.ctx.metrics) for name in loaders if name}  # before any of them saw a set
        for name, loader in loaders.items():
            judged, where.name = Judged(name), name
            with seen_by(session, apart.get(name)) as metrics:
                batches = session.accelerator.placed(islice(loader.epoch(session.ctx.state.epoch), most))
                for number, batch in enumerate(batches):
                    session.stop.raise_if_asked()
                    where.batch = number
                    judged.add(*judge(session, loader, batch, number))
                    if seen is not None:
                        seen(loader, number, batch)
                if metrics is not None and judged.rows:
                    judged.metrics, judged.arrays = metrics.values(name)
            found.append(judged)
        return found


@contextmanager
def seen_by(session: Session, metrics: SetMetrics | None) -> Iterator[SetMetrics | None]:
    """Let the metrics of a set see its batches too; a set that is alone has none of its own."""
    session.set_metrics = metrics
    try:
        yield metrics
    finally:
        session.set_metrics = None


def note_means(session: Session, sets: Sequence[Judged]) -> None:
    """Note the weighted means over all batches, then those of each named set, by which it is watched."""
    rows = [row for each in sets for row in each.rows]
    logs = means(rows, [weight for each in sets for weight in each.weights])
    for each in sets:
        if each.name:
            logs |= {in_set(name, each.name): value for name, value in means(each.rows, each.weights).items()}
            for name, value in each.metrics.items():
                add_value(logs, name, value, ("metrics",))
            for name, array in each.arrays.items():
                session.arrays.add("val", name, array)
    session.ctx.last_val_logs = logs
    tell_not_finite(session, sets)


def means(rows: Sequence[dict[str, Any]], weights: Sequence[Weight]) -> dict[str, Number]:
    return {f"val_{name}": value for name, value in mean_of(rows, read_weights(weights)).items()}


def validate_within(session: Session, rhythm: Rhythm, most: int | None = None) -> None:
    """Validate between two steps of an epoch, and let the schedule and the callbacks see what comes of it.

    Nothing of training is changed by it: metrics work on copies meanwhile, and random states are put back.
    Raises TrainingInterrupted after a signal; then it is still to come.
    """
    ctx, turns = session.ctx, session.ctx.turns
    if session.val:
        tell_start(session, "on_validation_start", ctx.state.global_step)
        session.boundary.mark()
        with random_state_kept(), stand_ins(ctx.metrics):
            reset_metrics(session)
            ctx.validated = True
            validate(session, most)
            row = epoch_rows(session).get("val", {})
        session.boundary.phase = UPDATING
        session.log(row, "val")
        session.log_arrays()
        ctx.run.progress.note_values(ctx.last_val_logs, ctx.state.global_step)
        step_by_metric(session, rhythm)
        session.boundary.phase = BETWEEN
    turns.validation = False
    if session.val:
        session.hook("on_validation_end")
    ctx.validated = False


def step_by_metric(session: Session, rhythm: Rhythm) -> None:
    """Step a schedule that goes by a validation value, if it is its turn."""
    for place, bundle in session.schedule.due("metric", rhythm.number(session.ctx.state)):
        bundle.scheduler.step(monitored(session.ctx, bundle.monitor or "", place))


@contextmanager
def random_state_kept() -> Iterator[None]:
    drawn = random_state()
    try:
        yield
    finally:
        set_random_state(drawn)


def judge(session: Session, loader: Loader, batch: Any, number: int) -> tuple[dict[str, Any], Weight]:
    """Return what is logged of a validation batch, and what it counts; drop its outputs before the next one comes."""
    ctx = session.ctx
    if ctx.own is not None and ctx.own.judges:
        return judge_by_own(session, ctx.own, loader, batch, number)
    inputs, targets, meta = ctx.io.split(batch, stage="val")
    with session.accelerator.autocast():
        outputs = session.forward(*inputs.args, **inputs.kwargs)
        result = ctx.loss(outputs=outputs, targets=targets, batch=batch, stage="val")
    update_metrics(session, outputs, targets, batch, "val")
    return row_of(session, result, weight_of(result, meta, loader, number, inputs))


def judge_by_own(
    session: Session, own: OwnStep, loader: Loader, batch: Any, number: int
) -> tuple[dict[str, Any], Weight]:
    """Return the same of a trainer's own `validation_step`, which may give logs alone."""
    result = own.judge(session, batch)
    weight = weight_of(result, None, loader, number, whole_batch(batch))
    return row_of(session, result, weight) if hasattr(result, "loss") else (logs_of(result), weight)


def row_of(session: Session, result: Any, weight: Weight) -> tuple[dict[str, Any], Weight]:
    """Return what is logged of a loss of validation, as a mean, and its weight."""
    ctx = session.ctx
    loss, sums = check_loss(result, ctx.loss, trains=False), is_sum(result, ctx.loss)
    row = detached(session.watch.read(loss), getattr(result, "logs", None))
    if sums and not counts_nothing(weight):
        row["loss"] = row["loss"] / weight
    return row, weight


def tell_not_finite(session: Session, sets: Sequence[Judged]) -> None:
    """Warn, once a run, of a validation loss that is no number: nothing that watches it ever sees it improve."""
    value = session.ctx.last_val_logs.get("val_loss", 0.0)
    if isfinite(value) or session.told_validation:
        return
    session.told_validation = True
    found = (
        (number, each.name)
        for each in sets
        for number, row in enumerate(each.rows)
        if not isfinite(float(row.get("loss", 0.0)))
    )
    first, name = next(found, (None, ""))
    log.warning(
        "in validation after step %d `val_loss` is %s%s%s: what watches it sees no improvement",
        session.ctx.state.global_step,
        value,
        "" if first is None else f", first in batch {first}, counted from 0",
        f", of `{name}`" if name else "",
    )
