"""Callbacks: checkpoints on disk, and stopping early."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint import capture, not_loadable
from otrainer.engine.checkpoint.snapshot import NotPlainError
from otrainer.engine.checkpoint.writer import Saved, Writer, taken_by
from otrainer.engine.monitor import check_mode, improves, monitored
from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import ConfigError
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

    `last.pt` (with `save_last`): every `every_n_steps` optimizer steps, at each epoch's end, when fit ends, and when a
    signal stops it. `step_<N>.pt`: every `every_n_steps` steps and every `every_n_epochs` epochs, of which the newest
    `keep_last` stay (null: all). `best.pt`: at the end of each epoch whose `monitor` (a logged validation value) is
    the best so far by `mode`. Training goes on while a copy is written, into memory that is taken after the first step
    and kept; without `background` it waits, and takes none. Fit ends when all is on the disk.
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
        for name, value in {
            "every_n_steps": every_n_steps,
            "every_n_epochs": every_n_epochs,
            "keep_last": keep_last,
        }.items():
            check_count(name, value)
        self.save_dir = Path(save_dir)
        self.save_last = save_last
        self.every_n_steps, self.every_n_epochs, self.keep_last = every_n_steps, every_n_epochs, keep_last
        self.monitor, self.mode = monitor, mode
        self.best: float | None = None
        self._steps: list[int] = []
        # Where training stood at the save that was begun last, and at the newest that is on the disk.
        self._begun: dict[str, Any] | None = None
        self._newest: dict[str, Any] | None = None
        self._writer = Writer(background=background)
        self._is_prepared = False

    def on_fit_start(self, ctx: RunContext) -> None:
        with told_at(self, ctx):
            refuse_outside(self.save_dir, project_root())
            self.save_dir.mkdir(parents=True, exist_ok=True)
            refuse_foreign_files(self._names_to_come())
        sweep(self.save_dir)

    def on_train_step_end(self, ctx: RunContext) -> None:
        if not self._is_prepared:  # the optimizer has its state only now
            self._is_prepared = True
            with refusing(ctx):
                self._writer.prepare(capture(ctx))
        if self._writer.is_done:
            self._settle(ctx)
        if self.every_n_steps is not None and ctx.state.global_step % self.every_n_steps == 0:
            self._save(ctx, self._step_name(ctx))

    def on_epoch_end(self, ctx: RunContext) -> None:
        best = ["best.pt"] if self._note_best(ctx) else []
        due = self.every_n_epochs is not None and (ctx.state.epoch + 1) % self.every_n_epochs == 0
        self._save(ctx, *([self._step_name(ctx)] if due else []), *best)

    def on_fit_end(self, ctx: RunContext) -> None:
        self._save(ctx)
        self._settle(ctx)
        self._writer.close()

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        try:
            self._settle(ctx)
            if isinstance(exc, TrainingInterrupted) and self.save_last:
                if self._newest != ctx.state.state_dict():  # else the save that was under way has this state already
                    self._save(ctx)
                    self._settle(ctx)
                log.warning("checkpoint of step %d saved: %s", ctx.state.global_step, self.save_dir / LAST)
        finally:
            self._writer.close()

    def _names_to_come(self) -> list[Path]:
        """The files of this folder that it may write to, as far as they are there."""
        names = [LAST] if self.save_last else []
        names += ["best.pt"] if self.monitor is not None else []
        steps = self.save_dir.glob("step_*.pt") if self.every_n_steps or self.every_n_epochs else ()
        return [*taken_by([self.save_dir / name for name in names]), *sorted(steps)]

    def _note_best(self, ctx: RunContext) -> bool:
        if self.monitor is None or not ctx.validated:
            return False
        value = monitored(ctx, self.monitor, config_path_of(self, ctx))
        if not improves(value, self.best, self.mode):
            return False
        self.best = value
        return True

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
        with told_at(self, ctx):
            refuse_outside(self.save_dir, project_root())
        paths = tuple(self.save_dir / name for name in names)
        with refusing(ctx):
            self._writer.save(capture(ctx), Saved(paths, ctx.state.global_step, ctx.state.epochs_done))
        self._begun = ctx.state.state_dict()
        if self._writer.is_done:
            self._settle(ctx)

    def _settle(self, ctx: RunContext) -> None:
        """Wait for the save in flight, if any, and say that it is there; steps that are one too many go then."""
        saved = self._writer.wait()
        if saved is None:
            return
        self._newest = self._begun
        spare = self._steps[: -self.keep_last] if self.keep_last is not None else []
        self._steps = self._steps[len(spare) :]
        for path in (self.save_dir / f"step_{old}.pt" for old in spare):
            if is_checkpoint(path):
                path.unlink(missing_ok=True)
        ctx.run.progress.note_outputs(
            written=[str(path) for path in saved.paths],
            removed=[str(self.save_dir / f"step_{old}.pt") for old in spare],
            at=(saved.step, saved.epochs),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "steps": list(self._steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self._steps = [step for step in state["steps"] if (self.save_dir / f"step_{step}.pt").exists()]


@contextmanager
def refusing(ctx: RunContext) -> Iterator[None]:
    """Say of a state that no checkpoint can hold whose it is."""
    try:
        yield
    except NotPlainError as cause:
        raise not_loadable(cause, ctx) from cause


class EarlyStopping:
    """Stop after `patience` validations in a row without an improvement of `monitor` by more than `min_delta`."""

    def __init__(self, monitor: str = "val_loss", mode: str = "min", patience: int = 3, min_delta: float = 0.0) -> None:
        check_mode(mode)
        check_count("patience", patience)
        if min_delta < 0:
            raise ValueError(f"min_delta is a number from 0 on, not {min_delta!r}")
        self.monitor, self.mode, self.patience, self.min_delta = monitor, mode, patience, float(min_delta)
        self.best: float | None = None
        self.waited = 0

    def on_epoch_end(self, ctx: RunContext) -> None:
        if not ctx.validated:
            return
        value = monitored(ctx, self.monitor, config_path_of(self, ctx))
        if improves(value, self.best, self.mode, self.min_delta):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            log.warning(
                "stopped early: %s has not improved on %s for %d validations", self.monitor, self.best, self.waited
            )
            ctx.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]


def check_count(name: str, value: int | None) -> None:
    """Raise ValueError unless `value` is null or a whole number from 1 on."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{name} is a whole number from 1 on or null, not {value!r}")


@contextmanager
def told_at(callback: Any, ctx: RunContext) -> Iterator[None]:
    """Let errors inside name the place where the config lists a callback."""
    try:
        yield
    except ConfigError as error:
        raise error.at_least(config_path_of(callback, ctx)) from error.__cause__


def config_path_of(callback: Any, ctx: RunContext) -> tuple[str | int, ...]:
    """Where the config lists a callback."""
    return ("callbacks", next(index for index, other in enumerate(ctx.callbacks) if other is callback))
