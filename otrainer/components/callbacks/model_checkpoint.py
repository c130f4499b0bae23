"""cb.model_checkpoint: checkpoints on disk while training goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.save import capture, naming_component
from otrainer.engine.checkpoint.writer import Saved, Writer, taken_by
from otrainer.engine.monitor import check_mode, improves, monitored, place_of
from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import check_whole, errors_at
from otrainer.storage.atomic import sweep
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root
from otrainer.storage.runs.ownership import is_checkpoint, refuse_foreign_files
from otrainer.storage.runs.run_json import LAST

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


class ModelCheckpoint:
    """Write checkpoints under `save_dir`.

    `last.pt` (with `save_last`): every `every_n_steps` optimizer steps, at the end of each epoch's steps and after its
    validation, when fit ends, and when a signal or an error stops it. `step_<N>.pt`: every `every_n_steps` steps and
    every `every_n_epochs` epochs, of which the newest `keep_last` stay (null: all). `best.pt`: at the end of each epoch
    whose `monitor` (a logged validation value) is the best so far by `mode`. Training goes on while a copy is written,
    into memory that is taken after the first step and kept; without `background` it waits, and takes none. Fit ends
    when all is on the disk.
    """

    runs_last = True  # what the other callbacks did at this point belongs into the checkpoint

    def __init__(
        self,
        save_dir: str,
        save_last: bool = True,
        every_n_steps: int | None = None,
        every_n_epochs: int | None = None,
        keep_last: int | None = None,
        monitor: str | None = None,
        mode: str = "min",
        background: bool = True,
    ) -> None:
        check_mode(mode)
        check_whole("every_n_steps", every_n_steps, optional=True)
        check_whole("every_n_epochs", every_n_epochs, optional=True)
        check_whole("keep_last", keep_last, optional=True)
        self.save_dir = Path(save_dir)
        self.save_last = save_last
        self.every_n_steps, self.every_n_epochs, self.keep_last = every_n_steps, every_n_epochs, keep_last
        self.monitor, self.mode = monitor, mode
        self.best: float | None = None
        self._steps: list[int] = []
        # Where training stood at first, at the save that was begun last, and at the newest that is on the disk.
        self._at_start: dict[str, Any] | None = None
        self._begun: dict[str, Any] | None = None
        self._newest: dict[str, Any] | None = None
        self._writer = Writer(background=background)
        self._is_prepared = False
        # Whether a save failed: what a full disk refused, it refuses once more.
        self._has_failed = False

    def on_fit_start(self, ctx: RunContext) -> None:
        with errors_at(*place_of(self, ctx)):
            refuse_outside(self.save_dir, project_root())
            self.save_dir.mkdir(parents=True, exist_ok=True)
            refuse_foreign_files(self._names_to_come())
        sweep(self.save_dir)
        self._at_start = ctx.state.state_dict()

    def on_train_step_end(self, ctx: RunContext) -> None:
        if not self._is_prepared:  # the optimizer has its state only now
            self._is_prepared = True
            with naming_component(ctx):
                self._writer.prepare(capture(ctx))
        if self._writer.is_done:
            self._settle(ctx)
        if self.every_n_steps is not None and ctx.state.global_step % self.every_n_steps == 0:
            self._save(ctx, self._step_name(ctx))

    def on_train_epoch_end(self, ctx: RunContext) -> None:
        """Save before validation, which may fail; what was saved in the last step's hook is this state already."""
        if self._begun != ctx.state.state_dict():
            self._save(ctx)

    def on_epoch_end(self, ctx: RunContext) -> None:
        best = ["best.pt"] if self._note_best(ctx) else []
        due = self.every_n_epochs is not None and (ctx.state.epoch + 1) % self.every_n_epochs == 0
        self._save(ctx, *([self._step_name(ctx)] if due else []), *best)

    def on_fit_end(self, ctx: RunContext) -> None:
        self._save(ctx)
        self._settle(ctx)
        self._writer.close()

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        """Save the last whole step, unless a second Ctrl-C is in a hurry, or saving is what failed."""
        try:
            self._settle(ctx)
            if self.save_last and self._is_worth_saving(ctx, exc):
                if self._newest != ctx.state.state_dict():  # else the save that was under way has this state already
                    self._save(ctx)
                    self._settle(ctx)
                self._tell(ctx, exc)
        finally:
            self._writer.close()

    def _is_worth_saving(self, ctx: RunContext, exc: BaseException) -> bool:
        if isinstance(exc, TrainingInterrupted):
            return True
        if isinstance(exc, KeyboardInterrupt) or self._has_failed:
            return False
        return ctx.at_boundary and self._at_start not in (None, ctx.state.state_dict())

    def _tell(self, ctx: RunContext, exc: BaseException) -> None:
        step, path = ctx.state.global_step, self.save_dir / LAST
        if isinstance(exc, TrainingInterrupted):
            log.warning("checkpoint of step %d saved: %s", step, path)
        else:
            log.warning(
                "checkpoint of step %d, the last whole one before the error, saved: %s; `doit train` goes on from it "
                "under the same config and code, `doit resume` under mended ones",
                step,
                path,
            )

    def _names_to_come(self) -> list[Path]:
        """Return the files of this folder that it may write to, as far as they are there."""
        names = [LAST] if self.save_last else []
        names += ["best.pt"] if self.monitor is not None else []
        steps = self.save_dir.glob("step_*.pt") if self.every_n_steps or self.every_n_epochs else ()
        return [*taken_by([self.save_dir / name for name in names]), *sorted(steps)]

    def _note_best(self, ctx: RunContext) -> bool:
        if self.monitor is None or not ctx.validated:
            return False
        value = monitored(ctx, self.monitor, place_of(self, ctx))
        is_best = improves(value, self.best, self.mode)
        self.best = value if is_best else self.best
        return is_best

    def _step_name(self, ctx: RunContext) -> str:
        step = ctx.state.global_step
        self._steps = [*(kept for kept in self._steps if kept != step), step]
        return f"step_{step}.pt"

    def _save(self, ctx: RunContext, *names: str) -> None:
        """Begin to write this state under `names` and as the last one, once the save before is done."""
        names = (*names, LAST) if self.save_last else names
        if not names:
            return
        self._settle(ctx)
        with errors_at(*place_of(self, ctx)):
            refuse_outside(self.save_dir, project_root())
        paths = tuple(self.save_dir / name for name in names)
        with self._noting_failure(), naming_component(ctx):
            self._writer.save(capture(ctx), Saved(paths, ctx.state.global_step, ctx.state.epochs_done))
        self._begun = ctx.state.state_dict()
        if self._writer.is_done:
            self._settle(ctx)

    def _settle(self, ctx: RunContext) -> None:
        """Wait for the save in flight, if any, and say that it is there; steps that are one too many go then."""
        with self._noting_failure():
            saved = self._writer.wait()
        if saved is None:
            return
        self._newest = self._begun
        spare = self._steps[: -self.keep_last] if self.keep_last is not None else []
        self._steps = self._steps[len(spare) :]
        removed = [self.save_dir / f"step_{old}.pt" for old in spare]
        for path in removed:
            if is_checkpoint(path):
                path.unlink(missing_ok=True)
        at = (saved.step, saved.epochs)
        ctx.run.progress.note_outputs(written=[*map(str, saved.paths)], removed=[*map(str, removed)], at=at)

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._has_failed = True
            raise

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "steps": list(self._steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self._steps = [step for step in state["steps"] if (self.save_dir / f"step_{step}.pt").exists()]
