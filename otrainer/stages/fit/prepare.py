"""What is seen to between the parts of a run and its training: rows of earlier runs, and that something saves it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.stages.fit.parents_rows import carry_rows
from otrainer.stages.fit.rows_elsewhere import begin_rows, rows_of_attempt

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.stages.fit.compose import Composed
    from otrainer.stages.fit.run_record import RunRecord

log = logging.getLogger("otrainer")


def prepare(whole: Composed, record: RunRecord, kept: Path | None) -> None:
    """See to rows of earlier runs in the files of this one, and say before anything is trained that nothing would be
    saved."""
    if record.parent is not None:
        carry_rows(record.parent, whole.parts.loggers)
    if record.directory.begin.checkpoint is None:
        attempt = rows_of_attempt(kept, record.plan.definition)
        record.rows = begin_rows(whole.parts.loggers, record.run_dir, attempt)
    saving = [callback for callback in whole.parts.callbacks if isinstance(callback, ModelCheckpoint)]
    if saving and all(each.weights_only and not each.save_last for each in saving):
        log.warning(
            "callbacks: what cb.model_checkpoint writes is weights alone (weights_only, and no save_last), so a run "
            "that is stopped begins anew",
        )
    if not saving:
        own = [callback for callback in whole.parts.callbacks if not type(callback).__module__.startswith("otrainer.")]
        unless = ", unless a callback of your own does" if own else ""
        log.warning(
            "callbacks: there is no cb.model_checkpoint, so nothing saves what is trained%s. Add "
            "`{_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints'}`; a list replaces that of an "
            "include, unless it says `_merge_: append`.",
            unless,
        )
