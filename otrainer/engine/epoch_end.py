"""What comes once an epoch's steps are taken: validation, rows, what goes by epochs, and the callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.engine.boundary import BETWEEN, UPDATING
from otrainer.engine.metrics import epoch_rows, reset_metrics, undone_if_broken_off
from otrainer.engine.validation import step_by_metric, validate
from otrainer.engine.within_step import tell_start

if TYPE_CHECKING:
    from otrainer.engine.rhythm import Rhythm
    from otrainer.engine.session import Session


def end_epoch(session: Session, rhythm: Rhythm, most: int | None = None) -> None:
    """Validate, on `most` batches, log, step what goes by epochs, and let the callbacks see it before metrics reset."""
    ctx, state = session.ctx, session.ctx.state
    ctx.validated = rhythm.is_due_after_epoch(state.epoch)
    if ctx.validated:
        tell_start(session, "on_validation_start", state.global_step)
    session.boundary.begin_epoch()
    session.boundary.mark()
    with undone_if_broken_off(ctx.metrics):
        if ctx.validated:
            validate(session, most)
        rows = epoch_rows(session)
    session.boundary.phase = UPDATING
    for stage, row in rows.items():
        session.log(row, stage)
    session.log_arrays()
    for _, bundle in session.schedule.due("epoch", state.epoch + 1):
        bundle.scheduler.step()
    if ctx.validated:
        step_by_metric(session, rhythm)
        ctx.run.progress.note_values(ctx.last_val_logs, state.global_step)
        session.hook("on_validation_end")
    state.epoch_complete = True
    session.hook("on_epoch_end")
    reset_metrics(session)
    session.boundary.phase = BETWEEN
    session.stop.raise_if_asked()
