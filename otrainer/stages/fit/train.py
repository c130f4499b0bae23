"""Train a plan: one experiment, built once and fitted, with its run directory kept in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint import check_fits
from otrainer.stages.definition import fingerprints
from otrainer.stages.fit.asked import asked_by_code
from otrainer.stages.fit.changed import changed_code, changed_data, refuse_changed, told_at_the_end
from otrainer.stages.fit.compose import composed, settings_of
from otrainer.stages.fit.fast import is_fast, try_fast
from otrainer.stages.fit.late_imports import LateImports, refuse_late, workers_tell
from otrainer.stages.fit.prepare import prepare
from otrainer.stages.fit.provenance import leave_provenance
from otrainer.stages.fit.run_directory import run_directory
from otrainer.stages.fit.run_record import RunRecord
from otrainer.stages.fit.summary import summary
from otrainer.storage.watch_reads import writes_noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from otrainer.config import SourceMap
    from otrainer.stages.fit.start import Start
    from otrainer.stages.plan import Plan


@dataclass(frozen=True)
class RunResult:
    """What came of a run: its folder, how far it went, its last validation values by their logged names, its words.

    `global_step` is None where a trainer of one's own does not say it.
    """

    run_dir: Path
    global_step: int | None
    metrics: dict[str, Any]
    summary: str


def train(
    plan: Plan, *, root: Path, start: Callable[[Plan, Path], Start], places: SourceMap | None = None
) -> RunResult:
    """Build everything that the plan names and fit it, from where `start` says.

    An earlier run is kept aside before any part is built, and is back in its place if the new one fails before its
    first checkpoint. Raises TrainingInterrupted after a signal, and what the components raise.
    """
    if is_fast(plan):
        refuse_changed(plan, root)
        progress, words = try_fast(plan, root, places)
        return RunResult(root / plan.run_dir, progress.state.global_step, progress.metrics, words)
    settings = settings_of(plan)
    with run_directory(plan, root, start) as directory:
        refuse_changed(plan, root)
        with directory.cleared(settings.progress) as kept:
            checkpoint = directory.checkpoint(kept)
            run = replace(settings, resume_from=None if checkpoint is None else str(checkpoint))
            record = RunRecord(directory, run, parent=directory.parent(checkpoint))
            with record.claimed(), workers_tell() as elsewhere, composed(plan, places) as whole:
                # What is imported by now is what was validated; another look comes when it has trained.
                prints = refuse_changed(plan, root)
                late = LateImports(plan, prints, elsewhere)
                record.strayed = late.changed
                if checkpoint is not None:
                    check_fits(checkpoint, whole.trainer, whole.parts)
                directory.announce(kept, checkpoint)
                record.asked = asked_by_code(plan, whole.reads, prints)
                prepare(whole, record, kept)
                with writes_noted(whole.reads), record:
                    leave_provenance(directory.path, plan, places, prints, root)
                    whole.fit(run)
                    refuse_late(late.changed())
                    code, data = changed_code(plan, fingerprints(root)), changed_data(plan, root)
                    record.strayed = lambda: {**late.changed(), **data}
    words = "\n  ".join([summary(record), *told_at_the_end(code, list(data))])
    return RunResult(directory.path, record.steps[0], record.metrics, words)
