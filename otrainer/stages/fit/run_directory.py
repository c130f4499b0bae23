"""The directory of a run, which one process may write to: claimed, cleared of an earlier run, and put back."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.diagnostics.say import in_a_line, say
from otrainer.engine.signals import StopRequest
from otrainer.errors import ConfigError, errors_at, not_written
from otrainer.stages.fit.rows_elsewhere import withdraw_rows
from otrainer.stages.fit.start import Start, folders_elsewhere, refuse_taken
from otrainer.storage.inside_project import all_outside
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import archived_path, bring_back, lay_out, move_aside
from otrainer.storage.runs.lock import lock_run
from otrainer.storage.runs.ownership import refuse_links
from otrainer.storage.runs.run_json import RUN_FILE, lock_written, refuse_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otrainer.engine.state import Progress
    from otrainer.stages.plan import Plan

OUT_DIR = ("run", "out_dir")


@dataclass(frozen=True)
class RunDirectory:
    """Where the run of a plan is written, by this process alone, and how it begins."""

    plan: Plan
    root: Path
    begin: Start

    @property
    def path(self) -> Path:
        """Return the folder itself."""
        return self.root / self.plan.run_dir

    @property
    def display(self) -> str:
        """Return the folder as messages name it."""
        return display_path(self.path, self.root)

    @contextmanager
    def cleared(self, progress: Progress) -> Iterator[Path | None]:
        """Archive an earlier run where this one begins anew, before any part can write here; yield where it is then.

        The earlier run has its place again where the block fails before the first checkpoint.
        """
        with folder_errors_at(*OUT_DIR):
            kept = move_aside(self.path) if self.begin.keep else None
        try:
            yield kept
        except BaseException:
            if kept is not None and not progress.outputs:
                self._put_back(kept)
            raise

    def checkpoint(self, kept: Path | None) -> Path | None:
        """Return the checkpoint to continue from, if any, once an earlier run is `kept` elsewhere."""
        return self.begin.checkpoint and archived_path(self.begin.checkpoint, self.path, kept)

    def parent(self, checkpoint: Path | None) -> Path | None:
        """Return the folder of the run whose child goes on from this checkpoint; None where that is no other run's."""
        if checkpoint is None or not self.begin.lineage:
            return None
        above = (folder for folder in checkpoint.resolve().parents if (folder / RUN_FILE).is_file())
        return next((folder for folder in above if folder != self.path.resolve()), None)

    def announce(self, kept: Path | None, checkpoint: Path | None) -> None:
        """Print what becomes of an earlier run."""
        if self.begin.warning:
            self._print(f"warning: {self.begin.warning}")
        if kept is not None:
            self._print(f"the earlier run is kept in {display_path(kept, self.root)}")
        if checkpoint is not None:
            at = "" if self.begin.step is None else f", step {self.begin.step:,}"
            self._print(f"continuing from {display_path(self.root / checkpoint, self.root)}{at}")

    def _put_back(self, kept: Path) -> None:
        """Let the earlier run have its place again; the attempt that saved nothing is kept beside it."""
        attempt = move_aside(self.path)
        if attempt is None and self.path.is_dir():
            self.path.rmdir()  # it is empty
        kept.rename(self.path)
        lay_out(self.path)
        if attempt is not None:
            with suppress(OSError, ConfigError):  # why the attempt failed is what has to be told
                withdraw_rows(attempt, self.path, str(self.plan.config["run"]["out_dir"]))
            self._print(f"nothing was saved; the earlier run is back in {self.display}")
            return
        with suppress(OSError):  # others are kept there
            kept.parent.rmdir()
            kept.parent.parent.rmdir()

    def _print(self, words: str) -> None:
        say(in_a_line(f"{self.plan.name}: {words}"))


@contextmanager
def run_directory(plan: Plan, root: Path, start: Callable[[Plan, Path], Start]) -> Iterator[RunDirectory]:
    """Claim the directory of a run, and see from where it begins; signals ask for a stop inside the block.

    Raises ConfigError where it leads out of the project, another process has it, or something foreign is in the way.
    """
    run_dir = root / plan.run_dir
    if led_out := list(all_outside(plan.config, root)):
        raise ConfigError.of(led_out)
    refuse_within(run_dir, run_dir)
    refuse_links((run_dir / RUN_FILE,), OUT_DIR)
    with locked(plan, root), StopRequest():
        with folder_errors_at(*OUT_DIR):
            if came := bring_back(run_dir, plan.definition, complete=False):
                say(in_a_line(f"{plan.name}: {describe_return(came, root)}"))
            begin = start(plan, root)
        if begin.keep:
            refuse_taken(plan.config, plan.run_dir, root)
        yield RunDirectory(plan, root, begin)


@contextmanager
def locked(plan: Plan, root: Path) -> Iterator[None]:
    """Let this process alone write where the run goes: into its directory, and where else its checkpoints lie."""
    with ExitStack() as locks:
        with folder_errors_at(*OUT_DIR):
            locks.enter_context(lock_written(root / plan.run_dir))
        for folder, path in dict(folders_elsewhere(plan.config, plan.run_dir, root)).items():
            with folder_errors_at(*path):
                locks.enter_context(lock_run(folder))
        yield


@contextmanager
def folder_errors_at(*path: str | int) -> Iterator[None]:
    """Attach a config path to folder errors raised in the block, the operating system's among them."""
    try:
        with errors_at(*path):
            yield
    except OSError as error:
        raise ConfigError.of([not_written(error, path)]) from error


def describe_return(came: tuple[Path, Path | None], root: Path) -> str:
    """Describe which run came back, and what became of the one in its place."""
    back, aside = came
    went = f"; the one in its place is kept in {display_path(aside, root)}" if aside else ""
    return f"the earlier run of this definition is back from {display_path(back, root)}{went}"
