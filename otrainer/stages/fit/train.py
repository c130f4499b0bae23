"""Train a plan: one experiment, built once and fitted, with its run directory kept in order."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint import check_fits
from otrainer.engine.signals import StopRequest
from otrainer.errors import ConfigError
from otrainer.stages.definition import fingerprints, outdated
from otrainer.stages.fit.compose import composed
from otrainer.stages.fit.provenance import device_name, git_state, leave_keepsakes, versions
from otrainer.stages.fit.run_record import Runbook
from otrainer.stages.fit.start import Start, folders_elsewhere, refuse_taken
from otrainer.storage.data_files import identify
from otrainer.storage.inside_project import all_outside
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import archived_path, bring_back, lay_out, move_aside
from otrainer.storage.runs.lock import lock_run
from otrainer.storage.runs.ownership import refuse_links
from otrainer.storage.runs.run_json import RUN_FILE, refuse_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otrainer.config import SourceMap
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
    run_dir = root / plan.run_dir
    if led_out := list(all_outside(plan.config, root)):
        raise ConfigError.of(led_out)
    refuse_within(run_dir, run_dir)
    refuse_links((run_dir / RUN_FILE,), ("run", "out_dir"))
    with locked(plan, root), StopRequest():
        with blamed_on("run", "out_dir"):
            if came := bring_back(run_dir, plan.definition, complete=False):
                print(f"{plan.name}: {brought(came, root)}", flush=True)
            begin = start(plan, root)
        if begin.keep:
            refuse_taken(plan.config, plan.run_dir, root)
        refuse_changed(plan, root)
        with composed(plan, places) as whole:
            refuse_changed(plan, root)
            if begin.checkpoint is not None:
                check_fits(begin.checkpoint, whole.trainer, whole.parts)
            with blamed_on("run", "out_dir"):
                kept = move_aside(run_dir) if begin.keep else None
            checkpoint = begin.checkpoint and archived_path(begin.checkpoint, run_dir, kept)
            run = replace(whole.settings, resume_from=None if checkpoint is None else str(checkpoint))
            announce(plan.name, kept, run.resume_from, begin, root)
            facts = {"versions": versions(), "git": git_state(root), "device": device_name(run.device)}
            try:
                with Runbook(run_dir, plan, run.progress, begin.lineage, facts) as book:
                    with blamed_on("run", "out_dir"):
                        leave_keepsakes(run_dir, plan, places, root)
                    whole.fit(run)
            except BaseException:
                if kept is not None and not run.progress.outputs:
                    put_back(kept, run_dir, plan.name, root)
                raise
    summary = book.summary(display_path(run_dir, root))
    return RunResult(run_dir, run.progress.state.global_step, run.progress.metrics, summary)


@contextmanager
def locked(plan: Plan, root: Path) -> Iterator[None]:
    """Let this process alone write where the run goes: into its directory, and where else its checkpoints lie."""
    with ExitStack() as locks:
        with blamed_on("run", "out_dir"):
            locks.enter_context(lock_run(root / plan.run_dir))
        for folder, path in dict(folders_elsewhere(plan.config, plan.run_dir, root)).items():
            with blamed_on(*path):
                locks.enter_context(lock_run(folder))
        yield


@contextmanager
def blamed_on(*path: str | int) -> Iterator[None]:
    """Let what is wrong with a folder be told where the config names it."""
    try:
        yield
    except ConfigError as error:
        raise error.at_least(path) from error.__cause__
    except OSError as error:
        message = f"`{error.filename}` cannot be written: {error.strerror}."
        hint = "Make room there, or let this user write to it."
        raise ConfigError(message, title="cannot write", config_path=path, hint=hint) from error


def put_back(kept: Path, run_dir: Path, name: str, root: Path) -> None:
    """Let the earlier run have its place again; the attempt that saved nothing is kept beside it."""
    attempt = move_aside(run_dir)
    kept.rename(run_dir)
    lay_out(run_dir)
    if attempt is not None:
        print(f"{name}: nothing was saved; the earlier run is back in {display_path(run_dir, root)}", flush=True)


def refuse_changed(plan: Plan, root: Path) -> None:
    """Raise ConfigError where sources or data are not those that were validated."""
    changed = [f"the code of `{key}`" for key in outdated(plan.code, fingerprints(root))]
    changed += [f"`{name}`" for name, facts in plan.data_files.items() if not is_same(name, facts, root)]
    if changed:
        message = f"Since it was validated, {', '.join(changed)} changed."
        raise ConfigError(message, title="changed meanwhile", hint="Run the same command again.")


def is_same(name: str, facts: Mapping[str, Any], root: Path) -> bool:
    try:
        return bool(identify(name, root).sha256 == facts["sha256"])
    except OSError:
        return False


def brought(came: tuple[Path, Path | None], root: Path) -> str:
    """Which run came back, and what became of the one in its place."""
    back, aside = came
    went = f"; the one in its place is kept in {display_path(aside, root)}" if aside else ""
    return f"the earlier run of this definition is back from {display_path(back, root)}{went}"


def announce(name: str, kept: Path | None, resume_from: str | None, begin: Start, root: Path) -> None:
    """Say what becomes of an earlier run."""
    if begin.warning:
        print(f"{name}: warning: {begin.warning}", flush=True)
    if kept is not None:
        print(f"{name}: the earlier run is kept in {display_path(kept, root)}", flush=True)
    if resume_from is not None:
        at = "" if begin.step is None else f", step {begin.step:,}"
        print(f"{name}: continuing from {display_path(root / resume_from, root)}{at}", flush=True)
