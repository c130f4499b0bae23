"""Train a plan: one experiment, built once and fitted, with its run directory kept in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint import check_fits
from otrainer.errors import ConfigError
from otrainer.stages.definition import fingerprints, outdated
from otrainer.stages.fit.compose import composed
from otrainer.stages.fit.provenance import leave_provenance
from otrainer.stages.fit.run_directory import run_directory
from otrainer.stages.fit.run_record import RunRecord
from otrainer.storage.data_files import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otrainer.config import SourceMap
    from otrainer.stages.fit.start import Start
    from otrainer.stages.plan import Plan


@dataclass(frozen=True)
class RunResult:
    """What came of a run: its folder, how far it went, its last validation values by their logged names, its words."""

    run_dir: Path
    global_step: int
    metrics: dict[str, float]
    summary: str


def train(
    plan: Plan, *, root: Path, start: Callable[[Plan, Path], Start], places: SourceMap | None = None
) -> RunResult:
    """Build everything that the plan names and fit it, from where `start` says.

    An earlier run is kept aside once all parts are built, and is back in its place if the new one fails before its
    first checkpoint. Raises TrainingInterrupted after a signal, and what the components raise.
    """
    with run_directory(plan, root, start) as directory:
        refuse_changed(plan, root)
        with composed(plan, places) as whole:
            refuse_changed(plan, root)
            if directory.begin.checkpoint is not None:
                check_fits(directory.begin.checkpoint, whole.trainer, whole.parts)
            with directory.cleared(whole.settings.progress) as checkpoint:
                run = replace(whole.settings, resume_from=checkpoint)
                with RunRecord(directory, run) as record:
                    leave_provenance(directory.path, plan, places, root)
                    whole.fit(run)
    return RunResult(directory.path, run.progress.state.global_step, run.progress.metrics, record.summary())


def refuse_changed(plan: Plan, root: Path) -> None:
    """Raise ConfigError where sources or data are not those that were validated."""
    changed = [f"the code of `{key}`" for key in outdated(plan.code, fingerprints(root))]
    changed += [f"`{name}`" for name, facts in plan.data_files.items() if not is_same(name, facts, root)]
    if changed:
        message = f"Since it was validated, {', '.join(changed)} changed."
        raise ConfigError(message, title="changed meanwhile", hint="Run the same command again.")


def is_same(name: str, facts: Mapping[str, Any], root: Path) -> bool:
    """Return whether a data file has the content that was validated."""
    try:
        return bool(identify(name, root).sha256 == facts["sha256"])
    except OSError:
        return False
