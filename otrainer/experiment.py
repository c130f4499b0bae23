"""Run an experiment from Python: the same way as `doit train`, in this process."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.diagnostics.redaction.exceptions import hide_in
from otrainer.diagnostics.say import make_log_legible, say
from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import ConfigError
from otrainer.registry import build_registry
from otrainer.registry.plugins.stale import refuse_stale
from otrainer.stages.definition import fingerprints
from otrainer.stages.fit.start import first_start
from otrainer.stages.fit.train import RunResult, train
from otrainer.stages.plan import make_plan
from otrainer.stages.resolve import resolve_fully
from otrainer.storage.project import display_path, project, project_root

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from otrainer.config import ResolvedConfig, SourceMap
    from otrainer.stages.plan import Plan

__all__ = ["RunResult", "run_experiment"]


def run_experiment(path: str | os.PathLike[str]) -> RunResult:
    """Train the experiment of a YAML file in this process, whatever was trained before.

    An interrupted run of the same definition is continued; any other earlier run of its name is kept aside. SIGINT,
    SIGTERM, SIGHUP and SIGUSR1 stop it at the next step with a checkpoint, and then this raises SystemExit with 128 +
    the signal's number; in the main thread alone.
    Raises ConfigError with everything that is wrong in the experiment.
    """
    make_log_legible()
    root, file = project_root(), Path(path).absolute()
    with project(root):
        config = resolve_fully(file, root)
        with errors_for_callers(config.source_map):
            plan = plan_of(config, file, root)
            result = train(plan, root=root, start=first_start, places=config.source_map)
    say(result.summary)
    return result


def plan_of(config: ResolvedConfig, file: Path, root: Path) -> Plan:
    """Plan what a config trains, by modules that are those on the disk before and after."""
    imports = config.data.get("imports") or ()
    refuse_stale(imports, fingerprints(root))
    name = display_path(file, root)
    plan = make_plan(config, build_registry(), fingerprints(root), experiment=name, root=root)
    refuse_stale(imports, fingerprints(root))
    return plan


@contextmanager
def errors_for_callers(places: SourceMap) -> Iterator[None]:
    """Let errors raised in the block know their places and hold no secret; an interruption ends the process."""
    try:
        yield
    except TrainingInterrupted as stop:
        raise SystemExit(stop.exit_code) from stop
    except ConfigError as error:
        hide_in(error)
        raise error.located(places) from error.__cause__
    except Exception as error:
        hide_in(error)
        raise
