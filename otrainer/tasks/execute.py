"""Running a stage so that whatever happens in it becomes an outcome, in doit's process and in the worker's alike."""

from __future__ import annotations

import errno
import traceback
from typing import TYPE_CHECKING

from otrainer.errors import ConfigError, Finding
from otrainer.tasks.interrupts import Ended
from otrainer.tasks.outcome import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.tasks.experiments import Experiment

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def execute(stage: str, experiment: Experiment, root: Path) -> Outcome:
    """Run `stage` and tell how it ended: mistakes in a config are findings, crashes in components keep a traceback.

    What is told holds no secret that this process has read.
    """
    from otrainer.hiding import masked_finding
    from otrainer.masks import masked

    outcome = ended(stage, experiment, root)
    findings = tuple(map(masked_finding, outcome.findings))
    return outcome._replace(report=masked(outcome.report), findings=findings)


def ended(stage: str, experiment: Experiment, root: Path) -> Outcome:
    from otrainer.stages import run_stage

    try:
        return run_stage(stage, experiment, root=root)
    except ConfigError as error:
        return Outcome.failed(error.findings)
    except Ended:
        raise
    except SystemExit as error:
        return Outcome.crashed(crash(error))
    except Exception as error:  # noqa: BLE001 - user code runs in here, and a task must end with a report
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return Outcome.crashed(disk_trouble(error))
        return Outcome.crashed(crash(error))


def crash(error: BaseException) -> Finding:
    """What a component raised, with the traceback from where the stage begins."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    hint = "Mend the code at the end of the traceback, or the config that led there."
    return Finding(str(error) or type(error).__name__, type(error).__name__, details=text, hint=hint)


def disk_trouble(error: OSError) -> Finding:
    hint = "Make room there, or let this user write to it."
    return Finding(f"`{error.filename}`: {error.strerror}.", title="cannot write", hint=hint)
