"""The default training loop: one device, readable from top to bottom."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import chdir
from typing import TYPE_CHECKING, Any, ClassVar

from otrainer.engine.boundary import UPDATING
from otrainer.engine.checkpoint import begin_state
from otrainer.engine.clipping import clip, norms_of
from otrainer.engine.closure import step_by_closure
from otrainer.engine.data.loader import worker_trouble
from otrainer.engine.epoch_end import end_epoch
from otrainer.engine.epochs import begin_epoch, groups_left, has_begun
from otrainer.engine.factories import needs_closure
from otrainer.engine.gradients import Group, evaluate, look_first
from otrainer.engine.logs import StepLogs
from otrainer.engine.metrics import reset_metrics
from otrainer.engine.modes import anomalies_told, set_mode
from otrainer.engine.norm_statistics import average_epoch
from otrainer.engine.optimizer import tell_left_out
from otrainer.engine.own_step import own_step, own_steps, run_parts
from otrainer.engine.parts import Parts
from otrainer.engine.recompute import recomputing
from otrainer.engine.rehearsal import rehearse
from otrainer.engine.settings import TrainerSettings
from otrainer.engine.setup import begin, no_batches
from otrainer.engine.state import RunSettings
from otrainer.engine.step_end import log_step, step_schedule, take_open
from otrainer.engine.validation import validate_within
from otrainer.engine.within_step import tell_before_step, tell_epoch_start

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.state import TrainState
    from otrainer.engine.weights import Shares
    from otrainer.protocols import StepContext


class DefaultTrainer(TrainerSettings):
    """Train with gradient accumulation and clipping, validate, log, checkpoint and resume, as `TrainerSettings` say."""

    infers_widths: ClassVar[bool] = True  # of a lazy model, before it starts from given weights

    def fit(self, *, run: Any, **parts: Any) -> None:
        """Train a model from where `run.resume_from` left it, or from the start, to its `length`.

        `parts` are the fields of `Parts`, `run` is a RunSettings or a mapping with its keys. Raises ConfigError where
        parts do not fit together, TrainingInterrupted after a signal (callbacks have seen it by `on_exception` then),
        and whatever the user's parts raise.
        """
        with worker_trouble(), chdir(os.curdir):  # the folder that paths start from, wherever a part goes
            session = begin(Parts(**parts), RunSettings.of(run), self)
            session.ctx.own = own_step(self, DefaultTrainer, self._bound, self.gathers)
        failed: BaseException | None = None
        try:
            set_mode(session.ctx.optimizer, "train")
            session.log_hparams(self)
            with chdir(os.curdir):
                session.hook("on_fit_start")
            begin_state(session.ctx)
            tell_left_out(session.ctx.optimizer, session.ctx)
            compiles = bool(session.ctx.run.compile)
            recomputes = recomputing(session.ctx.model, self.checkpoint_activations, compiles=compiles)
            with worker_trouble(), anomalies_told(self.detect_anomaly), recomputes:
                rehearse(session, self.length, self.rhythm, self.sanity_batches)
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

    def training_step(self, ctx: StepContext, batch: Any) -> Any:
        """Return the loss of a micro-batch, to be minimised, for a class of your own to change.

        Called under autocast, with gradients cleared before the first micro-batch of a step. One that calls `ctx.step`
        itself returns what is to be logged, by name, or None. `protocols.StepContext` says what `ctx` can do.
        """
        return run_parts(ctx, batch, "train")

    def validation_step(self, ctx: StepContext, batch: Any) -> Any:
        """Return the loss of a validation batch, or values to be logged as `val_...`, for a class of your own."""
        return run_parts(ctx, batch, "val")

    def check_progress(self, state: TrainState) -> None:
        """Raise ConfigError where a checkpoint is further than is asked for."""
        self.length.check(state)

    def _epochs(self, session: Session) -> None:
        ctx, state, length = session.ctx, session.ctx.state, self.length
        length.check(state)
        take_open(session)
        if ctx.turns.validation:
            validate_within(session, self.rhythm, self.val_batches)
        if state.epoch_complete:
            reset_metrics(session)  # the checkpoint of an epoch's end has them as its callbacks saw them
        while has_begun(state) or not (length.is_reached(state) or ctx.should_stop):
            was_cut, done = state.is_cut, state.global_step
            if state.epoch_complete:
                begin_epoch(session)
            if not state.epoch_trained:
                self._train_epoch(session)
                state.epoch_trained = True
                if was_cut and state.global_step == done:  # it had no more, and was at its end already
                    state.epoch_complete = True
                    continue
                average_epoch(session)
                session.hook("on_train_epoch_end")
            end_epoch(session, self.rhythm, self.val_batches)

    def _train_epoch(self, session: Session) -> None:
        ctx, state, stop, length = session.ctx, session.ctx.state, session.stop, self.length
        tell_epoch_start(session)
        session.boundary.begin_epoch()
        step = self._step_by_closure if needs_closure(ctx.optimizer) else self._step
        for group in groups_left(session, length, self.rhythm):
            session.boundary.mark()
            step(session, group)
            if stop.signum is not None:
                stop.raise_if_asked()
        if state.micro_step_in_epoch == 0:
            raise no_batches()
        state.is_cut = length.cuts(state, ctx.train.batches())
        session.watch.see_parameters()
        session.watch.look()
        if session.log_rhythm.is_due_after_epoch(state, ctx.logged_step, length.steps_over(state.micro_step_in_epoch)):
            session.begin_turns(row=True)
            log_step(ctx)

    def _step(self, session: Session, group: Group) -> None:
        """Take an optimizer step over the micro-batches of `group`."""
        optimizer = session.ctx.optimizer
        rows, shares = evaluate(session, group)
        if (own := own_steps(session.ctx)) is not None:
            self._after_step(session, rows, shares, stepped=own.is_whole)
            return
        self._bound(session)
        if session.is_first_step:
            look_first(session, rows)
        session.boundary.phase = UPDATING
        stepped = session.accelerator.step(optimizer, tells=session.steps_schedule, chose_fused=session.chose_fused)
        self._after_step(session, rows, shares, stepped=stepped)

    def _step_by_closure(self, session: Session, group: Group) -> None:
        """Take a step of an optimizer that evaluates the loss itself."""
        self._after_step(session, *step_by_closure(session, group, self._bound), stepped=True)

    def _bound(self, session: Session, *, first: bool = True, name: str | None = None) -> None:
        """Clip the gradients to what is allowed; of several optimizers, those of each by themselves."""
        if session.sees_gradients and first:
            tell_before_step(session, name)
        clip(session, self.grad_clip_norm, self.grad_clip_value, logs=self.log_grad_norm, first=first, name=name)

    def _after_step(self, session: Session, rows: Sequence[dict[str, Any]], shares: Shares, *, stepped: bool) -> None:
        """Count the step, step the scheduler where it is due, log, and call the callbacks."""
        ctx, state = session.ctx, session.ctx.state
        state.global_step += 1
        state.micro_step_in_epoch += len(rows)
        if ctx.metrics:
            ctx.metrics_ahead[:] = [0] * len(ctx.metrics)
        if ctx.epoch_means is not None:
            ctx.epoch_means.add(rows)
        if ctx.averaging is not None:
            ctx.averaging.update(ctx.optimizer, state.global_step)
        session.boundary.reach()
        rates = [group["lr"] for group in ctx.optimizer.param_groups]
        ctx.last_train_logs = StepLogs(*shares.logged(rows), rates, norms_of(ctx))
        scheduler = stepped and session.steps_schedule and bool(session.schedule.due("step", state.global_step))
        row = session.log_rhythm.is_due_after_step(state)
        validation = session.rhythm is not None and session.rhythm.is_due_after_step(state)
        if scheduler or row or validation:
            session.begin_turns("on_train_step_end", scheduler=scheduler, row=row, validation=validation)
        if scheduler:
            step_schedule(session)
        if row:
            session.watch.look()
            log_step(ctx)
        session.hook("on_train_step_end")
        if validation:
            validate_within(session, self.rhythm, self.val_batches)
