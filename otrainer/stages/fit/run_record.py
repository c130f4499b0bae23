"""run.json while a run is under way, and the words with which it ends."""

from __future__ import annotations

import logging
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.diagnostics.redaction.values import masked
from otrainer.engine.signals import TrainingInterrupted
from otrainer.stages.fit.going_on import checkpoint_callbacks
from otrainer.stages.fit.provenance import device_name, git_state, versions
from otrainer.stages.fit.run_directory import OUT_DIR, folder_errors_at
from otrainer.storage.runs.files import files_below, foreign_files, is_passing
from otrainer.storage.runs.ownership import measure
from otrainer.storage.runs.run_json import LAST, read_run, utc_now, write_run

if TYPE_CHECKING:
    from types import TracebackType

    from otrainer.engine.state import RunSettings
    from otrainer.stages.fit.run_directory import RunDirectory

log = logging.getLogger("otrainer")


class RunRecord:
    """Keeps run.json true: `running` inside the block, then `complete`, `interrupted` or `failed` as it ends."""

    def __init__(self, directory: RunDirectory, run: RunSettings) -> None:
        self.directory, self.run_dir, self.plan = directory, directory.path, directory.plan
        self.progress, self.lineage = run.progress, directory.begin.lineage
        self.facts = {"versions": versions(), "git": git_state(directory.root), "device": device_name(run.device)}
        earlier = read_run(self.run_dir)
        before = earlier or {}
        # What people put into the folder stays theirs.
        self.foreign = set(foreign_files(self.run_dir, earlier))
        self.outputs_before = list(before.get("outputs", {}))
        self.started = before.get("started") or utc_now()
        self.wall_before = float(before.get("wall_s") or 0.0)
        self.metrics_before = before.get("metrics") or {}
        self.steps_saved = (before.get("global_step", 0), before.get("epoch", 0))

    def __enter__(self) -> RunRecord:
        self._clock = time.monotonic()
        with folder_errors_at(*OUT_DIR):
            self._write("running", None)
        self.progress.on_output = self._saved
        return self

    def _saved(self) -> None:
        """Record the saved step in run.json, so that a killed run knows where to resume."""
        self.steps_saved = self.progress.saved or self.steps
        self._write("running", None)

    @property
    def steps(self) -> tuple[int, int]:
        """Return the steps and epochs so far."""
        return self.progress.state.global_step, self.progress.state.epochs_done

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _tb: TracebackType | None) -> None:
        self.progress.on_output = None
        unfinished = "interrupted" if isinstance(exc, TrainingInterrupted | KeyboardInterrupt) else "failed"
        state = "complete" if kind is None else unfinished
        try:
            self._write(state, utc_now())
        except OSError as failed:
            if exc is None:
                raise
            # The disk that ended the run may have no room for this either, and the first error is what people need.
            log.error("`%s` cannot be written: %s", failed.filename, failed.strerror)  # noqa: TRY400

    def _write(self, state: str, ended: str | None) -> None:
        """Write run.json for a run in `state`."""
        steps, outputs = self.steps, self._outputs()
        metrics = self.progress.metrics or self.metrics_before
        if state == "running" or (state != "complete" and outputs):
            steps = self.steps_saved  # what came after the last checkpoint is lost
        write_run(
            self.run_dir,
            {
                "name": self.plan.name,
                "experiment": self.plan.experiment,
                "state": state,
                "definition": self.plan.definition,
                "global_step": steps[0],
                "epoch": steps[1],
                "metrics": {masked(name): value for name, value in metrics.items()},
                "outputs": measure(self.run_dir, outputs),
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
            },
        )

    def _files(self) -> list[str]:
        """Return what training has written into the run's folder so far, sorted."""
        found = (name for name in files_below(self.run_dir) if not is_passing(name))
        return sorted(name for name in found if name not in self.foreign)

    @property
    def wall_s(self) -> float:
        """Return the seconds of training, earlier stretches of this run included."""
        return self.wall_before + time.monotonic() - self._clock

    def _outputs(self) -> list[str]:
        """Return the checkpoints that are there, the newest last, as paths from the run directory."""
        written = [os.path.relpath(path, self.run_dir) for path in [*self.progress.inherited, *self.progress.outputs]]
        names = dict.fromkeys([*(name for name in self.outputs_before if name not in written), *written])
        return [name for name in names if (self.run_dir / name).is_file()]

    def summary(self) -> str:
        """Describe what the run came to: steps, time, validation values, and where the weights are."""
        state, metrics = self.progress.state, self.progress.metrics
        length = f"{count(state.epochs_done, 'epoch')}, {count(state.global_step, 'step')}, {self.wall_s:.1f} s"
        lines = [f"{self.plan.name}: {length}{self.origin()}"]
        if metrics:
            values = ", ".join(f"{bare(name)} {number(value)}" for name, value in metrics.items())
            lines.append(f"  on validation data: {values}")
        lines.append(f"  weights: {self._weights()}")
        return "\n".join(lines)

    def _weights(self) -> str:
        """Say where the best and the last weights are, or else the newest, and of which step where that is not now."""
        names = self._outputs()
        if not names:
            asked = any(checkpoint_callbacks(self.plan.config))
            return f"not saved ({'no cb.model_checkpoint wrote any' if asked else 'there is no cb.model_checkpoint'})"
        shown = [name for name in names if Path(name).name.startswith(("best", "last"))]
        if not any(Path(name).name == LAST for name in names):
            shown = list(dict.fromkeys([*shown, names[-1]]))
        told = ", ".join(os.path.normpath(f"{self.directory.display}/{name}") for name in shown)
        newest, now = (self.progress.saved or self.steps)[0], self.progress.state.global_step
        return told if newest == now else f"{told} (the newest is of step {newest:,})"

    def origin(self) -> str:
        """Describe where the child of another run came from."""
        parent = self.lineage.get("parent")
        return f", continued from {parent[:8]} at step {self.lineage['global_step']:,}" if parent else ""


def bare(name: str) -> str:
    """Return `val_accuracy` as `accuracy`."""
    return name.removeprefix("val_").removeprefix("val/")


def number(value: float) -> str:
    """Return a value with four decimals where they say enough, with four digits elsewhere."""
    return f"{value:.4f}" if 1e-2 <= abs(value) < 1e4 else f"{value:.4g}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
