"""The composition root: one experiment, built once and fitted, with its run directory kept in order."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.config import resolve_config
from otrainer.engine.accelerator import deterministic
from otrainer.engine.interrupt import StopRequest, TrainingInterrupted
from otrainer.engine.seed import seed_everything
from otrainer.errors import ConfigError
from otrainer.model import assemble, compile_model
from otrainer.plan import Plan, make_plan
from otrainer.registry import build_registry, instantiate_value, load_plugins
from otrainer.runbook import Runbook
from otrainer.runs import lock_run, move_aside
from otrainer.starts import Start, first_start, moved, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class RunResult:
    """What came of a run: its folder, how far it went, its last validation values by their logged names, its words."""

    run_dir: Path
    global_step: int
    metrics: dict[str, float]
    summary: str


def run_experiment(path: str | os.PathLike[str]) -> RunResult:
    """Train the experiment of a YAML file in this process, whatever was trained before.

    An interrupted run of the same definition is continued; any other earlier run of its name is kept aside. SIGINT and
    SIGTERM stop it at the next step with a checkpoint, and then this raises SystemExit (130, 143).
    Raises ConfigError with everything that is wrong in the experiment.
    """
    root, file = project_root(), Path(path).absolute()
    with project(root):
        config = resolve_config(file, root=root)
        try:
            plan = make_plan(config, build_registry(), experiment=shown(file, root), root=root)
            result = train(plan, root=root, start=first_start)
        except TrainingInterrupted as stop:
            raise SystemExit(stop.exit_code) from stop
        except ConfigError as error:
            raise error.located(config.source_map) from error.__cause__
    print(result.summary, flush=True)
    return result


def project_root(start: Path | None = None) -> Path:
    """The folder of dodo.py: the working directory (or `start`), or the nearest above it; without any, itself."""
    here = Path.cwd() if start is None else start
    return next((folder for folder in (here, *here.parents) if (folder / "dodo.py").is_file()), here)


@contextlib.contextmanager
def project(root: Path) -> Iterator[None]:
    """Relative paths and imports start from the project's root inside this block, in data workers too."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    with contextlib.chdir(root):
        yield


def train(plan: Plan, *, root: Path, start: Callable[[Plan, Path], Start]) -> RunResult:
    """Build everything that the plan names and fit it, from where `start` says.

    The run directory stays as it is until everything is built. Raises TrainingInterrupted after a signal, and what the
    components raise; run.json says how it ended in each case.
    """
    run_dir = root / plan.run_dir
    with lock_run(run_dir), StopRequest(), deterministic(plan.run):
        begin = start(plan, root)
        trainer, parts = build_parts(plan)
        kept = move_aside(run_dir) if begin.keep else None
        checkpoint = moved(begin.checkpoint, run_dir, kept)
        run = plan.run if checkpoint is None else replace(plan.run, resume_from=str(checkpoint))
        announce(plan.name, kept, run.resume_from, root)
        with Runbook(run_dir, plan, run.progress, begin.lineage) as book:
            trainer.fit(**parts, run=run)
    return RunResult(run_dir, run.progress.state.global_step, run.progress.metrics, book.summary(shown(run_dir, root)))


def build_parts(plan: Plan) -> tuple[Any, dict[str, Any]]:
    """The trainer, and the keywords of its `fit` but `run`; initial weights depend on the seed and the config alone."""
    registry = build_registry()
    load_plugins(plan.config.get("imports"), registry=registry, settings=plan.allowed)

    def built(section: str) -> Any:
        value = plan.config.get(section)
        return instantiate_value(value, registry=registry, settings=plan.allowed, config_path=(section,))

    seed_everything(plan.run.seed)
    ir = compile_model(plan.config["model"], registry=registry, settings=plan.allowed)
    parts = {
        "model": assemble(ir, registry, plan.allowed),
        "datamodule": built("data"),
        "io": built("io"),
        "loss": built("loss"),
        "optimizer_factory": built("optimizer"),
        "scheduler_factory": built("scheduler"),
        "metrics": built("metrics") or [],
        "callbacks": built("callbacks") or [],
        "loggers": built("loggers") or [],
        "registry": registry,
    }
    return built("trainer"), parts


def announce(name: str, kept: Path | None, resume_from: str | None, root: Path) -> None:
    """Say what becomes of an earlier run."""
    if kept is not None:
        print(f"{name}: the earlier run is kept in {shown(kept, root)}", flush=True)
    if resume_from is not None:
        print(f"{name}: continuing from {shown(root / resume_from, root)}", flush=True)
