"""Run a stage so that whatever happens in it becomes an outcome, in doit's process and in the worker's alike."""

from __future__ import annotations

import os
import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.stages.outcome import Outcome
from otrainer.tasks.interrupts import Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otrainer.errors import Finding
    from otrainer.storage.experiments import Experiment

TRACEBACK = "OTRAINER_TRACEBACK"


def execute(stage: str, experiment: Experiment, root: Path, asked: Mapping[str, Any] | None = None) -> Outcome:
    """Run `stage`, as it is `asked` for, and return its outcome: whatever it raises becomes findings.

    The outcome holds no secret that this process has read.
    """
    from otrainer.diagnostics.redaction.exceptions import masked_finding
    from otrainer.diagnostics.redaction.values import masked

    outcome = ended(partial(_run, stage, experiment, root, asked))
    findings = tuple(map(masked_finding, outcome.findings))
    return outcome._replace(report=masked(outcome.report), findings=findings)


def _run(stage: str, experiment: Experiment, root: Path, asked: Mapping[str, Any] | None) -> Outcome:
    from otrainer.tasks.worker.table import run_stage

    return run_stage(stage, experiment, root=root, **({} if asked is None else {"asked": asked}))


def ended(call: Callable[[], Outcome]) -> Outcome:
    """Return the outcome of a call: whatever it raises becomes findings."""
    try:
        return call()
    except ConfigError as error:
        return Outcome.failed([in_full(finding, error.__cause__) for finding in error.findings])
    except Ended:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code runs in here, and a task must end with a report
        from otrainer.diagnostics.exceptions import cannot_write, unexplained

        return Outcome.crashed(in_full(cannot_write(error) or unexplained(error), error))


def in_full(finding: Finding, error: BaseException | None) -> Finding:
    """Return a finding with the whole traceback of `error`, where the environment asks for it."""
    if error is None or not os.environ.get(TRACEBACK):
        return finding
    text = "".join(traceback.format_exception(error)).rstrip()
    return replace(finding, details=f"{finding.message}\n{text}")
