"""run.json while a run is under way."""

from __future__ import annotations

import logging
import os
import platform
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.components.loggers.row import plain
from otrainer.diagnostics.redaction.values import masked
from otrainer.engine.signals import TrainingInterrupted
from otrainer.stages.fit.git_state import git_state
from otrainer.stages.fit.provenance import device_name, seal_provenance, versions
from otrainer.stages.fit.run_directory import OUT_DIR, folder_errors_at
from otrainer.storage.canonical_json import digest
from otrainer.storage.runs.archive import remove_empty
from otrainer.storage.runs.files import files_below, foreign_files, is_passing
from otrainer.storage.runs.ownership import measure
from otrainer.storage.runs.run_json import LAST, RUN_FILE, read_run, utc_now, write_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from otrainer.engine.state import RunSettings
    from otrainer.stages.fit.run_directory import RunDirectory

log = logging.getLogger("otrainer")


class RunRecord:
    """Keeps run.json true: `running` inside the block, then `complete`, `interrupted` or `failed` as it ends."""

    def __init__(self, directory: RunDirectory, run: RunSettings, parent: Path | None = None) -> None:
        self.directory, self.run_dir, self.plan, self.parent = directory, directory.path, directory.plan, parent
        self.progress, self.lineage = run.progress, directory.begin.lineage
        self.facts = {"versions": versions(), "git": git_state(directory.root), "device": device_name(run.device)}
        earlier = read_run(self.run_dir)
        before = earlier or {}
        # What people put into the folder stays theirs; what parts write while they are built does not.
        self.foreign = set(foreign_files(self.run_dir, earlier))
        self.outputs_before = list(before.get("outputs", {}))
        # What code asked when it was imported and built, as soon as that is known.
        self.asked: Callable[[], Mapping[str, Any]] = lambda: before.get("asked", {})
        # Where its rows begin in files outside of the folder.
        self.rows: Mapping[str, int] = before.get("rows", {})
        self._marks: dict[str, Any] = {}
        # Code and data that were trained without having been validated: the run is none of its plan's definition then.
        self.strayed: Callable[[], dict[str, str]] = dict
        self.started = before.get("started") or utc_now()
        self.wall_before = float(before.get("wall_s") or 0.0)
        self.values_before = before if parent is None else values_until(directory.begin.step, read_run(parent))
        self.steps_saved = (before.get("global_step", 0), before.get("epoch", 0))
        self._clock = time.monotonic()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Let a new folder be this run's while its parts are built; without a trace where that fails and left none."""
        if not self.directory.begin.keep:
            yield
            return
        with folder_errors_at(*OUT_DIR):
            self._write("running", None)
        self._entered = False
        try:
            yield
        except BaseException:
            if not self._entered and self._files() == [RUN_FILE]:
                (self.run_dir / RUN_FILE).unlink()
                remove_empty(self.run_dir)
            elif not self._entered:
                self._write("failed", utc_now())
            raise

    def __enter__(self) -> RunRecord:
        self._entered = True
        with folder_errors_at(*OUT_DIR):
            self._write("running", None)
        self.progress.on_output = self._saved
        return self

    def _saved(self) -> None:
        """Record the saved step in run.json, so that a killed run knows where to resume.

        Of the checkpoints only those that changed are looked at: thousands may be kept.
        """
        self.steps_saved = self.progress.saved or self.steps
        changed, self.progress.changed = self.progress.changed, set()
        names = [os.path.relpath(path, self.run_dir) for path in changed]
        for name in names:
            self._marks.pop(Path(name).as_posix(), None)
        there = [name for name in names if (self.run_dir / name).is_file()]
        self._marks |= measure(self.run_dir, sorted(there, key=lambda name: Path(name).name == LAST))
        self._write("running", None, whole=False)

    @property
    def steps(self) -> tuple[int | None, int | None]:
        """Return the steps and epochs so far; None where the trainer says nothing of them."""
        state = self.progress.state
        if self.progress.is_told:
            return state.global_step, state.epochs_done
        return self.progress.saved or (None, None)

    @property
    def metrics(self) -> dict[str, Any]:
        """Return the last validation values by their logged names."""
        return self.progress.metrics or self.values_before.get("metrics") or {}

    @property
    def metrics_step(self) -> int | None:
        """Return the step of which those values are, where it is known."""
        return self.progress.metrics_step if self.progress.metrics else self.values_before.get("metrics_step")

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _tb: TracebackType | None) -> None:
        self.progress.on_output = None
        unfinished = "interrupted" if isinstance(exc, TrainingInterrupted | KeyboardInterrupt) else "failed"
        state = "complete" if kind is None else unfinished
        try:
            if state == "complete":  # nothing writes anew then what a power cut takes; an unfinished run does
                seal_provenance(self.run_dir)
            self._write(state, utc_now())
        except OSError as failed:
            if exc is None:
                raise
            # The disk that ended the run may have no room for this either, and the first error is what people need.
            log.error("`%s` cannot be written: %s", failed.filename, failed.strerror)  # noqa: TRY400

    def _write(self, state: str, ended: str | None, *, whole: bool = True) -> None:
        """Write run.json for a run in `state`; without `whole`, checkpoints are taken for those found before."""
        if whole:
            self._marks = measure(self.run_dir, self.outputs())
        steps, outputs, strayed = self.steps, dict(self._marks), self.strayed()
        if state == "running" or (state != "complete" and outputs):
            steps = self.steps_saved  # what came after the last checkpoint is lost
        write_run(
            self.run_dir,
            {
                "name": self.plan.name,
                "experiment": self.plan.experiment,
                "state": state,
                "definition": digest([self.plan.definition, strayed]) if strayed else self.plan.definition,
                "global_step": steps[0],
                "epoch": steps[1],
                "metrics": {masked(name): plain(value) for name, value in self.metrics.items()},
                "outputs": outputs,
                "started": self.started,
                "ended": ended,
                "wall_s": round(self.wall_s, 3),
                "pid": os.getpid(),
                "host": platform.node(),
                "lineage": self.lineage,
                **self.facts,
                "code": self.plan.code,
                "data": self.plan.data_files,
                "config": self.plan.config,
                "files": self._files(),
                "metrics_step": self.metrics_step,
                "asked": self.asked(),
                **({"declared": self.plan.declared} if self.plan.declared else {}),
                **({"rows": self.rows} if self.rows else {}),
            },
        )

    def _files(self) -> list[str]:
        """Return what training has written into the run's folder so far, sorted."""
        found = (name for name in files_below(self.run_dir) if not is_passing(name))
        # A checkpoint that was saved just before the run was killed is noted only now.
        return sorted(name for name in found if name not in self.foreign or name in self._marks)

    @property
    def wall_s(self) -> float:
        """Return the seconds of training, earlier stretches of this run included."""
        return self.wall_before + time.monotonic() - self._clock

    def outputs(self) -> list[str]:
        """Return the checkpoints that are there, the newest last, as paths from the run directory."""
        written = [os.path.relpath(path, self.run_dir) for path in [*self.progress.inherited, *self.progress.outputs]]
        names = dict.fromkeys([*(name for name in self.outputs_before if name not in written), *written])
        return [name for name in names if (self.run_dir / name).is_file()]


def values_until(step: int | None, parent: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the run.json of a parent as far as its validation values are of no later step than its child begins at."""
    at = (parent or {}).get("metrics_step")
    return {} if parent is None or (at is not None and step is not None and at > step) else parent
