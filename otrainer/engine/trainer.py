"""The default training loop: one device, readable from top to bottom."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.redaction.values import masked
from otrainer.engine.boundary import BETWEEN, UPDATING
from otrainer.engine.checkpoint import begin_state
from otrainer.engine.closure import Evaluation
from otrainer.engine.data.loader import worker_trouble
from otrainer.engine.gradients import evaluate
from otrainer.engine.logs import StepLogs
from otrainer.engine.metrics import epoch_rows, reset_metrics, undone_if_broken_off
from otrainer.engine.modes import set_mode
from otrainer.engine.monitor import monitored
from otrainer.engine.optimizer import call_step, drop_fused, needs_closure, tell_left_out
from otrainer.engine.parts import Parts
from otrainer.engine.rates import check_names
from otrainer.engine.rehearsal import rehearse
from otrainer.engine.schedule import is_due
from otrainer.engine.setup import begin, no_batches
from otrainer.engine.state import RunSettings
from otrainer.engine.step_end import log_step, step_schedule, take_open
from otrainer.engine.validation import validate
from otrainer.errors import ConfigError, check_whole

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.state import TrainState
    from otrainer.engine.weights import Shares


@dataclass
class DefaultTrainer:
    """Train with gradient accumulation and clipping, validate, log, checkpoint and resume.

    `grad_accum_steps` micro-batches make one optimizer step (a last, smaller group is averaged over its own size);
    `grad_clip_norm` bounds the global L2 norm of the gradients; logging counts optimizer steps, validation epochs.
    Raises ValueError for counts below 1 or a norm that is not positive.
    """

    max_epochs: int = 1
    grad_accum_steps: int = 1
    grad_clip_norm: float | None = None
    log_every_n_steps: int = 10
    val_every_n_epochs: int = 1

    def __post_init__(self) -> None:
        for name in ("max_epochs", "grad_accum_steps", "log_every_n_steps", "val_every_n_epochs"):
            check_whole(name, getattr(self, name))
        clip = self.grad_clip_norm
        if clip is not None and (isinstance(clip, bool) or not isinstance(clip, int | float) or not clip > 0):
            raise ValueError(f"grad_clip_norm is a number above 0 or null, not {clip!r}")

    def fit(self, *, run: Any, **parts: Any) -> None:
        """Train a model from where `run.resume_from` left it, or from the start, to `max_epochs`.

        `parts` are the fields of `Parts`, `run` is a RunSettings or a mapping with its keys. Raises ConfigError where
        parts do not fit together, TrainingInterrupted after a signal (callbacks have seen it by `on_exception` then),
        and whatever the user's parts raise.
        """
        with worker_trouble(), chdir(os.curdir):  # the folder that paths start from, wherever a part goes
            session = begin(Parts(**parts), RunSettings.of(run))
        failed: BaseException | None = None
        try:
            set_mode(session.ctx.optimizer, "train")
            self._log_hparams(session)
            with chdir(os.curdir):
                session.hook("on_fit_start")
            begin_state(session.ctx)
            tell_left_out(session.ctx.optimizer, session.ctx)
            with worker_trouble():
                self._rehearse(session)
                self._epochs(session)
            session.hook("on_fit_end")
            set_mode(session.ctx.optimizer, "eval")
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            failed = exc
            session.ctx.at_boundary = session.boundary.go_back()
            session.hook_exception(exc)
            session.give_up()
            raise
        finally:
            session.close(failed)

    def check_progress(self, state: TrainState) -> None:
        """Raise ConfigError where a checkpoint has more epochs than are asked for."""
        if state.epochs_done > self.max_epochs:
            message = f"The checkpoint has {state.epochs_done} epochs, and `max_epochs` is {self.max_epochs}."
            hint = "Ask for more epochs than it has, or train from the start."
            raise ConfigError(message, title="nothing left to train", config_path=("trainer", "max_epochs"), hint=hint)

    def _rehearse(self, session: Session) -> None:
        """Find what is sure to fail before anything is trained; a run that goes on as it was has done so."""
        if not session.is_rehearsed and session.ctx.state.epochs_done < self.max_epochs:
            epochs, accumulate, val_every = self.max_epochs, self.grad_accum_steps, self.val_every_n_epochs
            rehearse(session, max_epochs=epochs, accumulate=accumulate, val_every=val_every)

    def _epochs(self, session: Session) -> None:
        ctx, state = session.ctx, session.ctx.state
        self.check_progress(state)
        take_open(session)
        if state.epoch_complete:
            reset_metrics(session)  # the checkpoint of an epoch's end has them as its callbacks saw them
        while has_begun(state) or (state.epochs_done < self.max_epochs and not ctx.should_stop):
            if state.epoch_complete:
                begin_epoch(session, state.epoch + 1)
            if not state.epoch_trained:
                self._train_epoch(session)
                state.epoch_trained = True
                session.hook("on_train_epoch_end")
            self._end_epoch(session)

    def _train_epoch(self, session: Session) -> None:
        ctx, state, stop = session.ctx, session.ctx.state, session.stop
        session.boundary.begin_epoch()
        step = self._step_by_closure if needs_closure(ctx.optimizer) else self._step
        for group in grouped(session.epoch(), self.grad_accum_steps):
            session.boundary.mark()
            step(session, group)
            if stop.signum is not None:
                stop.raise_if_asked()
        if state.micro_step_in_epoch == 0:
            raise no_batches()
        session.watch.see_parameters()
        session.watch.look()
        steps = -(-state.micro_step_in_epoch // self.grad_accum_steps)
        if ctx.logged_step <= state.global_step - steps:
            session.begin_turns(row=True)
            log_step(ctx)  # so that an epoch that is shorter has a row too

    def _step(self, session: Session, group: Sequence[Any]) -> None:
        """Take an optimizer step over the micro-batches of `group`."""
        optimizer = session.ctx.optimizer
        rows, shares = evaluate(session, group)
        self._bound(session)
        if session.is_first_step:
            self._look_first(session, rows)
        session.boundary.phase = UPDATING
        stepped = session.accelerator.step(optimizer, tells=session.steps_schedule, chose_fused=session.chose_fused)
        self._after_step(session, rows, shares, stepped=stepped)

    def _step_by_closure(self, session: Session, group: Sequence[Any]) -> None:
        """Take a step of an optimizer that evaluates the loss itself; the first time is the one that is logged."""
        optimizer = session.ctx.optimizer
        evaluation = Evaluation(session, lambda *, first: evaluate(session, group, first=first), self._bound)
        rows, shares = evaluation.first
        if session.is_first_step:
            self._look_first(session, rows)
        session.boundary.phase = UPDATING
        # torch means a float, or a tensor of one
        call_step(lambda: optimizer.step(evaluation), chose_fused=False)  # type: ignore[arg-type]
        self._after_step(session, rows, shares, stepped=True)

    def _look_first(self, session: Session, rows: Sequence[dict[str, Any]]) -> None:
        """Look, before the first step changes anything, at what its loss logs and at the gradients that there are."""
        session.is_first_step = False
        check_names(session.ctx.optimizer, rows)
        if session.chose_fused:
            drop_fused(session.ctx.optimizer)

    def _bound(self, session: Session, *, first: bool = True) -> None:
        """Clip the gradients to the global norm that is allowed."""
        if self.grad_clip_norm is not None:
            see = session.watch.see_norm if first else None
            session.accelerator.clip(session.ctx.optimizer, self.grad_clip_norm, see)

    def _after_step(self, session: Session, rows: Sequence[dict[str, Any]], shares: Shares, *, stepped: bool) -> None:
        """Count the step, step the scheduler where it is due, log, and call the callbacks."""
        ctx, state = session.ctx, session.ctx.state
        state.global_step += 1
        state.micro_step_in_epoch += len(rows)
        if ctx.metrics:
            ctx.metrics_ahead[:] = [0] * len(ctx.metrics)
        session.boundary.reach()
        ctx.last_train_logs = StepLogs(*shares.logged(rows), [group["lr"] for group in ctx.optimizer.param_groups])
        scheduler = stepped and session.steps_schedule and is_due(session.bundle, "step", state.global_step)
        row = state.global_step % self.log_every_n_steps == 0
        if scheduler or row:
            session.begin_turns("on_train_step_end", scheduler=scheduler, row=row)
        if scheduler:
            step_schedule(ctx)
        if row:
            session.watch.look()
            log_step(ctx)
        session.hook("on_train_step_end")

    def _end_epoch(self, session: Session) -> None:
        """Validate, log, step what goes by epochs, and let the callbacks see all of it before metrics begin anew."""
        ctx, state = session.ctx, session.ctx.state
        ctx.validated = (state.epoch + 1) % self.val_every_n_epochs == 0
        session.boundary.begin_epoch()
        session.boundary.mark()
        with undone_if_broken_off(ctx.metrics):
            if ctx.validated:
                validate(session)
            rows = epoch_rows(session)
        session.boundary.phase = UPDATING
        for stage, row in rows.items():
            session.log(row, stage)
        if is_due(session.bundle, "epoch", state.epoch + 1):
            session.bundle.scheduler.step()
        if ctx.validated and is_due(session.bundle, "metric", (state.epoch + 1) // self.val_every_n_epochs):
            session.bundle.scheduler.step(monitored(ctx, session.bundle.monitor or "", ("scheduler",)))
        state.epoch_complete = True
        if ctx.validated:
            ctx.run.progress.note_values(ctx.last_val_logs, state.global_step)
        session.hook("on_epoch_end")
        reset_metrics(session)
        session.boundary.phase = BETWEEN
        session.stop.raise_if_asked()

    def _log_hparams(self, session: Session) -> None:
        hparams = session.ctx.run.config or {"run": dict(session.ctx.run), "trainer": vars(self)}
        for logger in session.ctx.loggers:
            if hasattr(logger, "log_hparams"):
                logger.log_hparams(json.loads(masked(json.dumps(hparams, default=str))))


def grouped(batches: Iterator[Any], count: int) -> Iterator[Sequence[Any]]:
    """Return the batches in groups of `count`; the last one may be smaller."""
    return zip(batches) if count == 1 else iter(lambda: list(islice(batches, count)), [])


def has_begun(state: TrainState) -> bool:
    """Return whether an epoch is half-way: it is trained to its end, whoever asks for a stop."""
    return state.micro_step_in_epoch > 0 and not state.epoch_complete


def begin_epoch(session: Session, epoch: int) -> None:
    """Count from the first batch of another epoch, with metrics that begin anew."""
    state = session.ctx.state
    state.epoch, state.micro_step_in_epoch, state.epoch_complete, state.epoch_trained = epoch, 0, False, False
    reset_metrics(session)
