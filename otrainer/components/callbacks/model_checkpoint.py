"""cb.model_checkpoint: checkpoints on disk while training goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.components.callbacks.best import Best, name_apart
from otrainer.components.callbacks.top import top_of
from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT
from otrainer.engine.checkpoint.save import capture, naming_component
from otrainer.engine.checkpoint.writer import Saved, Writer, taken_by
from otrainer.engine.finite import NotFiniteError
from otrainer.engine.monitor import check_mode, place_of
from otrainer.engine.signals import TrainingInterrupted
from otrainer.errors import check_positive, check_whole, errors_at
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
    every `every_n_epochs` epochs, without `save_last` then at the end too, and at that of each epoch's steps until
    what comes after them is done; the newest `keep_last` stay (null: all).
    `best.pt`: after each validation whose `monitor` (a logged value) is the best so far by `mode`, at the end of the
    epoch where it was at its end. With `top_k`, so many of the best stay besides, each called by `filename`: its fields
    are `global_step`, `epoch` and what validation logs, in Python's format (`step{global_step}-{val_loss:.3f}`).
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
        self.save_last = save_last
        self.every_n_steps, self.every_n_epochs, self.keep_last = every_n_steps, every_n_epochs, keep_last
        self.monitor, self.mode, self.background = monitor, mode, background
        self._best = None if monitor is None else Best(monitor, mode)
        self._top = None if top_k is None else top_of(top_k, monitor, mode, filename)
        self.every_n_minutes = every_n_minutes
        # When `last.pt` is due, by the clock; None where it never is.
        self._due_at: float | None = None
        self._steps: dict[int, None] = {}
        # Those that write into this folder, in the config's order; the last of them saves for all.
        self._together: list[ModelCheckpoint] = [self]
        self._saves, self._every = True, [every_n_steps] if every_n_steps else []
        # Where training stood at first, at the save that was begun last, and at the newest that is on the disk.
        self._at_start: dict[str, Any] | None = None
        self._begun: dict[str, Any] | None = None
        self._newest: dict[str, Any] | None = None
        self._begun_names: Sequence[str] = ()
        self._newest_path: Path | None = None
        self._writer = Writer(background=background)
        # The step of a save that is kept until the epoch's end is done, and those that may go.
        self._held: int | None = None
        self._over: list[int] = []
        self._before: tuple[tuple[int, int] | None, dict[str, Any] | None, Path | None] = (None, None, None)
        self._is_prepared = False
        # Whether a save failed: what a full disk refused, it refuses once more.
        self._has_failed = False

    def on_fit_start(self, ctx: RunContext) -> None:
        self._together = [each for each in ctx.callbacks if self._shares_folder(each)] or [self]
        self._saves = self._together[-1] is self
        self._every = [each.every_n_steps for each in self._together if each.every_n_steps]
        name_apart(each._best for each in self._together)
        with errors_at(*place_of(self, ctx)):
            refuse_outside(self.save_dir, project_root())
            self.save_dir.mkdir(parents=True, exist_ok=True)
            refuse_foreign_files(self._names_to_come())
        sweep(self.save_dir)
        if self._best is not None:
            self._best.take_along(ctx, self.save_dir)
        if self._top is not None:
            self._top.take_along(ctx, self.save_dir)
        if not all(each.background for each in self._together):
            self._writer = Writer(background=False)
        self._at_start = ctx.state.state_dict()
        self._wind_up()
        if ctx.run.resume_from is not None:
            self._note_unlisted(ctx)

    def on_train_step_end(self, ctx: RunContext) -> None:
        if not self._saves:
            return
        if not self._is_prepared:  # the optimizer has its state only now
            self._is_prepared = True
            with naming_component(ctx):
                self._writer.prepare(capture(ctx))
        if self._writer.is_done:
            self._settle(ctx)
        step = ctx.state.global_step
        for every in self._every:
            if step % every == 0:
                self._save(ctx, [name for each in self._together for name in each._due_after_step(ctx)])
                break
        else:
            if self._due_at is not None and time.monotonic() >= self._due_at:
                self._save(ctx, [LAST])

    def on_validation_end(self, ctx: RunContext) -> None:
        """Save the best so far; at an epoch's end that waits until all else there is done."""
        if self._saves and not ctx.state.epoch_trained:
            self._save(ctx, [name for each in self._together for name in each._best_now(ctx)])

    def on_train_epoch_end(self, ctx: RunContext) -> None:
        """Save before validation, which may fail; what was saved in the last step's hook is this state already."""
        if not self._saves or self._begun == ctx.state.state_dict():
            return
        if not self._wants_last:
            self._settle(ctx)
            self._held = ctx.state.global_step  # until all that comes at the epoch's end is done
            self._before = (ctx.run.progress.saved, self._newest, self._newest_path)
        self._save(ctx, [LAST] if self._wants_last else [f"step_{self._held}.pt"])

    def on_epoch_end(self, ctx: RunContext) -> None:
        if not self._saves:
            return
        self._save(ctx, [name for each in self._together for name in each._due_after_epoch(ctx)])
        if self._held is not None and not any(self._held in each._steps for each in self._together):
            self._over.append(self._held)
        self._held = None

    def on_fit_end(self, ctx: RunContext) -> None:
        if not self._saves:
            return
        by_step = next((each for each in self._together if each.every_n_steps or each.every_n_epochs), None)
        if self._wants_last:
            self._save(ctx, [LAST])
        elif by_step is not None and (name := by_step._step_name(ctx)) and not self._has_begun(ctx, name):
            self._save(ctx, [name])  # also beside a `best.pt` of this state, which later ones may replace
        self._settle(ctx)
        self._writer.close()

    def on_exception(self, ctx: RunContext, exc: BaseException) -> None:
        """Save the last whole step, unless a second Ctrl-C is in a hurry, or saving is what failed."""
        if not self._saves:
            return
        try:
            over, self._over = self._over, []  # they stay until something newer is on the disk
            self._settle(ctx)
            if self._is_worth_saving(ctx, exc):
                name = LAST if self._wants_last else self._step_name(ctx)
                # The save that was under way may have this state already.
                if self._newest == ctx.state.state_dict() or self._saves_now(ctx, exc, name):
                    self._over = over
                    self._settle(ctx)
                    self._tell(ctx, exc, self.save_dir / name)
                else:
                    self._tell_spoilt(ctx)
            elif not self._has_failed:
                self._tell_lost(ctx, exc)
        finally:
            self._writer.close()

    def _note_unlisted(self, ctx: RunContext) -> None:
        """Note what came of the save that this run goes on from: it may have been killed before it noted them."""
        step, epochs = ctx.state.global_step, ctx.state.epochs_done
        names = [f"step_{step}.pt", *([self._best.name] if self.best is not None and self._best else [])]
        if there := [str(path) for name in names if is_checkpoint(path := self.save_dir / name)]:
            ctx.run.progress.note_outputs(there, at=(step, epochs))

    def _saves_now(self, ctx: RunContext, exc: BaseException, name: str) -> bool:
        """Save this state; False where that is refused for parameters that are not finite, as `exc` says already."""
        try:
            self._save(ctx, [name])
            self._settle(ctx)
        except NotFiniteError:
            if isinstance(exc, NotFiniteError):
                return False
            raise
        return True

    def _tell_spoilt(self, ctx: RunContext) -> None:
        newest, kept = self._newest or self._at_start, self._newest_path or ctx.run.resume_from
        if newest is None or kept is None:
            log.warning("nothing is saved: the parameters are not finite")
            return
        log.warning(
            "the steps after step %d (checkpoint: %s) are not saved: their parameters are not finite",
            newest["global_step"],
            kept,
        )

    def _is_worth_saving(self, ctx: RunContext, exc: BaseException) -> bool:
        if isinstance(exc, TrainingInterrupted):
            return True
        if isinstance(exc, KeyboardInterrupt) or self._has_failed:
            return False
        return ctx.at_boundary and self._at_start not in (None, ctx.state.state_dict())

    def _tell(self, ctx: RunContext, exc: BaseException, path: Path) -> None:
        step = ctx.state.global_step
        if isinstance(exc, TrainingInterrupted):
            log.warning("checkpoint of step %d saved: %s", step, path)
        else:
            log.warning(
                "checkpoint of step %d, the last whole one before the error, saved: %s; `doit train` goes on from it "
                "under the same config and code, `doit resume` under mended ones",
                step,
                path,
            )

    def _tell_lost(self, ctx: RunContext, exc: BaseException) -> None:
        """Say which steps no checkpoint has, and why: those that were taken since the newest one."""
        newest, path = self._newest or self._at_start, self._newest_path or ctx.run.resume_from
        if newest is None or (kept := newest["global_step"]) == ctx.state.global_step:
            return
        if isinstance(exc, KeyboardInterrupt):
            log.warning("the steps after step %d (checkpoint: %s) are lost: it was to stop at once", kept, path)
        else:
            log.warning(
                "the steps after step %d (checkpoint: %s) are lost: nothing is saved now, since what was changed when "
                "the error came cannot be put back",
                kept,
                path,
            )

    def _has_begun(self, ctx: RunContext, name: str) -> bool:
        """Return whether the save that was begun last is of this state, and under this name too."""
        return name in self._begun_names and self._begun == ctx.state.state_dict()

    @property
    def watched(self) -> dict[str, list[str]]:
        """The values of validation that it needs, by the argument that names them."""
        monitor = [] if self.monitor is None else [self.monitor]
        return {"monitor": monitor, "filename": [] if self._top is None else self._top.logged}

    @property
    def best(self) -> float | None:
        """The best value of `monitor` so far."""
        return None if self._best is None else self._best.value

    @property
    def _wants_last(self) -> bool:
        return any(each.save_last for each in self._together)

    def _shares_folder(self, other: Any) -> bool:
        return isinstance(other, ModelCheckpoint) and other.save_dir.resolve() == self.save_dir.resolve()

    def _names_to_come(self) -> list[Path]:
        """Return the files of this folder that it may write to, as far as they are there."""
        names = [LAST] if self.save_last else []
        names += [self._best.name] if self._best is not None else []
        by_step = self.every_n_steps or self.every_n_epochs or not self._wants_last
        steps = sorted(self.save_dir.glob("step_*.pt")) if by_step else []
        return [*taken_by([self.save_dir / name for name in names]), *steps]

    def _due_after_step(self, ctx: RunContext) -> Iterable[str]:
        if self.every_n_steps is None or ctx.state.global_step % self.every_n_steps != 0:
            return ()
        return (self._step_name(ctx), *([LAST] if self.save_last else []))

    def _due_after_epoch(self, ctx: RunContext) -> Iterator[str]:
        if self.every_n_epochs is not None and (ctx.state.epoch + 1) % self.every_n_epochs == 0:
            yield self._step_name(ctx)
        yield from self._best_now(ctx)
        if self.save_last:
            yield LAST

    def _best_now(self, ctx: RunContext) -> Iterator[str]:
        if self._best is not None and self._best.improves_now(ctx, self.save_dir, place_of(self, ctx)):
            yield self._best.name
        if self._top is not None:
            yield from self._top.takes_now(ctx, self.save_dir, place_of(self, ctx))

    def _step_name(self, ctx: RunContext) -> str:
        step = ctx.state.global_step
        self._steps.pop(step, None)
        self._steps[step] = None
        return f"step_{step}.pt"

    def _save(self, ctx: RunContext, names: Iterable[str]) -> None:
        """Begin to write this state under `names`, once the save before is done."""
        names = sorted(dict.fromkeys(names), key=lambda name: name == LAST)
        paths = tuple(self.save_dir / name for name in names)
        if not paths:
            return
        self._settle(ctx)
        with errors_at(*place_of(self, ctx)):
            refuse_outside(self.save_dir, project_root())
        with self._noting_failure(), naming_component(ctx):
            self._writer.save(capture(ctx), Saved(paths, ctx.state.global_step, ctx.state.epochs_done))
        if LAST in names:
            self._wind_up()
        for top in filter(None, [each._top for each in self._together]):
            top.note_begun()
        self._begun, self._begun_names = ctx.state.state_dict(), [path.name for path in paths]
        if self._writer.is_done:
            self._settle(ctx)

    def _wind_up(self) -> None:
        """Let `last.pt` be due once more in as many minutes as the hastiest in this folder says."""
        minutes = [each.every_n_minutes for each in self._together if each.every_n_minutes is not None]
        self._due_at = time.monotonic() + 60 * min(minutes) if minutes else None

    def _settle(self, ctx: RunContext) -> None:
        """Wait for the save in flight, if any, and say that it is there; steps that are one too many go then."""
        with self._noting_failure():
            saved = self._writer.wait()
        if saved is None and not self._over:
            return
        removed = [self.save_dir / name for name in self._spare_names(ctx)]
        at = ctx.run.progress.saved
        if saved is not None:
            at, self._newest, self._newest_path = (saved.step, saved.epochs), self._begun, saved.paths[-1]
        for path in removed:
            if is_checkpoint(path):
                path.unlink(missing_ok=True)
        if self._newest_path in removed:
            at, self._newest, self._newest_path = self._before
        written = [] if saved is None else [*map(str, saved.paths)]
        ctx.run.progress.note_outputs(written=written, removed=[*map(str, removed)], at=at)

    def _spare_names(self, ctx: RunContext) -> list[str]:
        """Forget the files that are one too many, and return those of them that nobody else keeps."""
        over, self._over = self._over, []
        gone = [f"step_{step}.pt" for step in over]
        for each in self._together:
            spare = [*each._steps][: -each.keep_last] if each.keep_last is not None else []
            for step in spare:
                del each._steps[step]
            gone += [f"step_{step}.pt" for step in spare]
            gone += [] if each._top is None else each._top.spare()
        # An interrupted run goes on from a step of its own, which nobody named.
        asked = ctx.run.resume_from if ctx.run.config is None else (ctx.run.config.get("run") or {}).get("resume_from")
        named = asked and Path(asked).resolve()
        kept = {f"step_{step}.pt" for each in self._together for step in each._steps}
        kept |= {name for each in self._together if each._top is not None for name in each._top.names}
        return [name for name in gone if name not in kept and (self.save_dir / name).resolve() != named]

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._has_failed = True
            raise

    def state_dict(self) -> dict[str, Any]:
        best = {"best": None} if self._best is None else self._best.state_dict()
        best |= {} if self._top is None else self._top.state_dict()
        # Where all are kept, there may be thousands, and nobody asks for them.
        return {**best, "steps": [*self._steps] if any(each.keep_last for each in self._together) else []}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        refuse_misfits(state, {"steps": [COUNT]})
        if self._best is not None:
            self._best.load_state_dict(state)
        if self._top is not None:
            self._top.load_state_dict(state)
        self._steps = {step: None for step in state["steps"] if (self.save_dir / f"step_{step}.pt").exists()}
