"""Callbacks: checkpoints on disk, and stopping early."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint import PREVIOUS, link_checkpoint, save_checkpoint
from otrainer.engine.interrupt import TrainingInterrupted
from otrainer.engine.monitor import check_mode, improves, monitored

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


class ModelCheckpoint:
    """Write checkpoints under `save_dir`.

    `last.pt` (with `save_last`): every `every_n_steps` optimizer steps, at each epoch's end, when fit ends, and when a
    signal stops it. `step_<N>.pt`: every `every_n_steps` steps and every `every_n_epochs` epochs, of which the newest
    `keep_last` stay (null: all). `best.pt`: at the end of each epoch whose `monitor` (a logged validation value) is
    the best so far by `mode`.
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

    def on_fit_start(self, ctx: RunContext) -> None:
        self.save_dir.mkdir(parents=True, exist_ok=True)

    def on_train_step_end(self, ctx: RunContext) -> None:
        if self.every_n_steps is not None and ctx.state.global_step % self.every_n_steps == 0:
            self._save_step(ctx)

    def on_epoch_end(self, ctx: RunContext) -> None:
        is_best = self._note_best(ctx)
        if self.every_n_epochs is not None and (ctx.state.epoch + 1) % self.every_n_epochs == 0:
            self._save_step(ctx)
        elif self.save_last:
            self._save(ctx, "last.pt")
        if is_best:
            self._save(ctx, "best.pt")

    def on_fit_end(self, ctx: RunContext) -> None:
        if self.save_last:
            self._save(ctx, "last.pt")

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        if isinstance(exc, TrainingInterrupted) and self.save_last:
            self._save(ctx, "last.pt")
            log.warning("checkpoint of step %d saved: %s", ctx.state.global_step, self.save_dir / "last.pt")

    def _note_best(self, ctx: RunContext) -> bool:
        if self.monitor is None or not ctx.validated:
            return False
        value = monitored(ctx, self.monitor, config_path_of(self, ctx))
        if not improves(value, self.best, self.mode):
            return False
        self.best = value
        return True

    def _save_step(self, ctx: RunContext) -> None:
        """One file under its step's name, which is also the last one; older ones go once it is there."""
        step = ctx.state.global_step
        self._steps = [*(kept for kept in self._steps if kept != step), step]
        spare = self._steps[: -self.keep_last] if self.keep_last is not None else []
        self._steps = self._steps[len(spare) :]
        path = self._save(ctx, f"step_{step}.pt")
        if self.save_last:
            link_checkpoint(path, self.save_dir / "last.pt")
            self._note(ctx, "last.pt")
        for old in spare:
            (self.save_dir / f"step_{old}.pt").unlink(missing_ok=True)
            self._forget(ctx, f"step_{old}.pt")

    def _save(self, ctx: RunContext, name: str) -> Path:
        path = self.save_dir / name
        save_checkpoint(path, ctx, keep=self.save_dir / PREVIOUS if name == "last.pt" else None)
        self._note(ctx, name)
        return path

    def _note(self, ctx: RunContext, name: str) -> None:
        path = str(self.save_dir / name)
        ctx.run.progress.add_output(path)

    def _forget(self, ctx: RunContext, name: str) -> None:
        path = str(self.save_dir / name)
        if path in ctx.run.progress.outputs:
            ctx.run.progress.outputs.remove(path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "steps": list(self._steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self._steps = [step for step in state["steps"] if (self.save_dir / f"step_{step}.pt").exists()]


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


def config_path_of(callback: Any, ctx: RunContext) -> tuple[str | int, ...]:
    """Where the config lists a callback."""
    return ("callbacks", next(index for index, other in enumerate(ctx.callbacks) if other is callback))
