"""cb.model_checkpoint: checkpoints on disk while training goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.components.callbacks.best import Best, name_apart
from otrainer.components.callbacks.broken_off import save_what_is_whole
from otrainer.components.callbacks.kept import Kept, Steps
from otrainer.components.callbacks.saving import Saving
from otrainer.components.callbacks.top import top_of
from otrainer.engine.monitor import check_mode, place_of
from otrainer.errors import check_positive, check_whole, errors_at
from otrainer.storage.atomic import sweep
from otrainer.storage.inside_project import refuse_outside
from otrainer.storage.project import project_root
from otrainer.storage.runs.ownership import refuse_foreign_files
from otrainer.storage.runs.run_json import LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otrainer.engine.state import RunContext


class ModelCheckpoint:
    """Write checkpoints under `save_dir`.

    `last.pt` (with `save_last`): every `every_n_steps` optimizer steps, at the end of each epoch's steps and after its
    validation, when fit ends, and when a signal or an error stops it. `step_<N>.pt`: every `every_n_steps` steps and
    every `every_n_epochs` epochs, without `save_last` then at the end too, and at that of each epoch's steps until
    what comes after them is done; the newest `keep_last` stay (null: all).
    `best.pt`: after each validation whose `monitor` (a logged value) is the best so far by `mode`, at the end of the
    epoch where it was at its end, or where it is a mean by the trainer's `log_epoch_means`, as `train_loss` is. With
    `top_k`, so many of the best stay besides, each called by `filename`: its fields are `global_step`, `epoch` and what
    validation logs, in Python's format (`step{global_step}-{val_loss:.3f}`).
    With `weights_only`, all but `last.pt` have the weights alone, for use and to start from; no run goes on from them.
    With `every_n_minutes`, `last.pt` is written too once it is so old, which is no function of the step.
    Training goes on while a copy is written, into memory that is taken after the first step and kept; without
    `background` it waits, and takes none. Fit ends when all is on the disk.

    Several in one folder save together, once: the first one's best is `best.pt`, another one's `best-<monitor>.pt`.
    """

    runs_last = True  # what the other callbacks did at this point belongs into the checkpoint

    def __init__(
        self,
        save_dir: str,
        save_last: bool = True,
        every_n_steps: int | None = None,
        every_n_epochs: int | None = None,
        keep_last: int | None = 5,
        monitor: str | None = None,
        mode: str = "min",
        background: bool = True,
        top_k: int | None = None,
        filename: str | None = None,
        every_n_minutes: float | None = None,
        weights_only: bool = False,
    ) -> None:
        check_mode(mode)
        check_whole("every_n_steps", every_n_steps, optional=True)
        check_whole("every_n_epochs", every_n_epochs, optional=True)
        check_whole("keep_last", keep_last, optional=True)
        check_whole("top_k", top_k, optional=True)
        check_positive("every_n_minutes", every_n_minutes)
        if every_n_minutes is not None and not save_last:
            raise ValueError("every_n_minutes says when `last.pt` is written, which `save_last: false` leaves out")
        if filename is not None and top_k is None:
            raise ValueError("filename names the checkpoints of `top_k`, which is not given")
        self.save_dir = Path(save_dir)
        self.save_last, self.weights_only = save_last, weights_only
        self.every_n_steps, self.every_n_epochs, self.keep_last = every_n_steps, every_n_epochs, keep_last
        self.monitor, self.mode, self.background = monitor, mode, background
        best = None if monitor is None else Best(monitor, mode)
        top = None if top_k is None else top_of(top_k, monitor, mode, filename)
        rhythm = save_last, every_n_steps, every_n_epochs
        self._kept = Kept(self.save_dir, *rhythm, Steps(keep_last), best, top, weights_only)
        self.every_n_minutes = every_n_minutes
        # When `last.pt` is due, by the clock; None where it never is.
        self._due_at: float | None = None
        # Those that write into this folder, in the config's order; the last of them saves for all.
        self._together: list[ModelCheckpoint] = [self]
        self._saves, self._every = True, [every_n_steps] if every_n_steps else []
        self._saving = Saving(self.save_dir, background=background)

    def on_fit_start(self, ctx: RunContext) -> None:
        self._together = [each for each in ctx.callbacks if self._shares_folder(each)] or [self]
        self._saves = self._together[-1] is self
        self._every = [each.every_n_steps for each in self._together if each.every_n_steps]
        name_apart(each._kept.best for each in self._together)
        self._kept.place = place_of(self, ctx)
        with errors_at(*self._kept.place):
            refuse_outside(self.save_dir, project_root())
            self.save_dir.mkdir(parents=True, exist_ok=True)
            refuse_foreign_files(self._kept.names_to_come(wants_last=self._wants_last))
        sweep(self.save_dir)
        self._kept.take_along(ctx)
        kept = [each._kept for each in self._together]
        self._saving.begin(ctx, kept, self._kept.place, background=all(each.background for each in self._together))
        self._wind_up()
        if ctx.run.resume_from is not None:
            self._kept.note_unlisted(ctx)

    def on_train_step_end(self, ctx: RunContext) -> None:
        if not self._saves:
            return
        self._saving.prepare(ctx)
        self._saving.settle_if_done(ctx)
        step = ctx.state.global_step
        if any(step % every == 0 for every in self._every):
            self._save(ctx, lambda kept: kept.after_step(ctx))
        elif self._due_at is not None and time.monotonic() >= self._due_at:
            self._save_last(ctx)

    def on_validation_end(self, ctx: RunContext) -> None:
        """Save the best so far; at an epoch's end that waits until all else there is done."""
        if self._saves and not ctx.state.epoch_trained:
            self._save(ctx, lambda kept: kept.after_validation(ctx))

    def on_train_epoch_end(self, ctx: RunContext) -> None:
        """Save before validation, which may fail; what was saved in the last step's hook is this state already."""
        if not self._saves or self._saving.is_of_now(ctx):
            return
        if self._wants_last:
            self._save_last(ctx)
        elif self._saving.saves_runs:
            self._saving.hold(ctx)

    def on_epoch_end(self, ctx: RunContext) -> None:
        if self._saves:
            self._save(ctx, lambda kept: kept.after_epoch(ctx))
            self._saving.let_go()

    def on_fit_end(self, ctx: RunContext) -> None:
        if not self._saves:
            return
        by_steps = [each._kept for each in self._together if each.every_n_steps or each.every_n_epochs]
        by_step = min(by_steps, key=lambda kept: kept.weights_only, default=None)
        if self._wants_last:
            self._save_last(ctx)
        elif by_step is not None and (name := by_step.now(ctx)) and not self._saving.is_of_now(ctx, name):
            # Also beside a `best.pt` of this state, which later ones may replace.
            self._save(ctx, lambda kept: [name] if kept is by_step else [])
        self._saving.settle(ctx)
        self._saving.close()

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        """Save the last whole step, unless a second Ctrl-C is in a hurry, or saving is what failed."""
        if not self._saves:
            return
        try:
            save_what_is_whole(self._saving, ctx, exc, lambda: LAST if self._wants_last else self._kept.now(ctx))
        finally:
            self._saving.close()

    @property
    def watched(self) -> dict[str, list[str]]:
        """The values of validation that it needs, by the argument that names them."""
        monitor = [] if self.monitor is None else [self.monitor]
        return {"monitor": monitor, "filename": [] if self._kept.top is None else self._kept.top.logged}

    @property
    def best(self) -> float | None:
        """The best value of `monitor` so far."""
        return None if self._kept.best is None else self._kept.best.value

    @property
    def _wants_last(self) -> bool:
        return any(each.save_last for each in self._together)

    def _shares_folder(self, other: Any) -> bool:
        return isinstance(other, ModelCheckpoint) and other.save_dir.resolve() == self.save_dir.resolve()

    def _save(self, ctx: RunContext, due: Callable[[Kept], Iterable[str]]) -> None:
        """Save what is `due` of each callback of this folder."""
        names = [(name, each.weights_only and name != LAST) for each in self._together for name in due(each._kept)]
        whole = [name for name, is_alone in names if not is_alone]
        self._saving.save(ctx, whole, alone=[name for name, is_alone in names if is_alone])
        if LAST in whole:
            self._wind_up()

    def _save_last(self, ctx: RunContext) -> None:
        self._saving.save(ctx, [LAST])
        self._wind_up()

    def _wind_up(self) -> None:
        """Let `last.pt` be due again in as many minutes as the hastiest in this folder says."""
        minutes = [each.every_n_minutes for each in self._together if each.every_n_minutes is not None]
        self._due_at = time.monotonic() + 60 * min(minutes) if minutes else None

    def state_dict(self) -> dict[str, Any]:
        return self._kept.state_dict(has_steps=any(each.keep_last for each in self._together))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._kept.load_state_dict(state)
