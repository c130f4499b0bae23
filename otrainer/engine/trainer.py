"""The default training loop: one device, readable from top to bottom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from otrainer.diagnostics.redaction.values import masked
from otrainer.engine.data.loader import worker_trouble
from otrainer.engine.logs import StepLogs, detached, mean_of
from otrainer.engine.loss_check import check_loss
from otrainer.engine.metrics import Snapshot, log_epoch, reset_metrics, update_metrics
from otrainer.engine.monitor import monitored
from otrainer.engine.parts import Parts
from otrainer.engine.schedule import is_due
from otrainer.engine.setup import begin, no_batches
from otrainer.engine.signals import TrainingInterrupted
from otrainer.engine.state import RunSettings
from otrainer.engine.tree import count_samples
from otrainer.errors import ConfigError, check_whole

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.state import TrainState


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
        with worker_trouble():
            session = begin(Parts(**parts), RunSettings.of(run))
        try:
            self._log_hparams(session)
            session.hook("on_fit_start")
            with worker_trouble():
                self._epochs(session)
            session.hook("on_fit_end")
        except (Exception, KeyboardInterrupt) as exc:
            session.hook_exception(exc)
            if isinstance(exc, TrainingInterrupted):
                session.give_up()
            raise
        finally:
            session.close()

    def check_progress(self, state: TrainState) -> None:
        """Raise ConfigError where a checkpoint has more epochs than are asked for."""
        if state.epochs_done > self.max_epochs:
            message = f"The checkpoint has {state.epochs_done} epochs, and `max_epochs` is {self.max_epochs}."
            hint = "Ask for more epochs than it has, or train from the start."
            raise ConfigError(message, title="nothing left to train", config_path=("trainer", "max_epochs"), hint=hint)

    def _epochs(self, session: Session) -> None:
        ctx, state = session.ctx, session.ctx.state
        self.check_progress(state)
        if state.epoch_complete:
            reset_metrics(session)  # the checkpoint of an epoch's end has them as its callbacks saw them
        while state.epochs_done < self.max_epochs and not ctx.should_stop:
            if state.epoch_complete:
                begin_epoch(session, state.epoch + 1)
            self._train_epoch(session)
            session.hook("on_train_epoch_end")
            self._end_epoch(session)

    def _train_epoch(self, session: Session) -> None:
        ctx, state, stop = session.ctx, session.ctx.state, session.stop
        ctx.model.train()
        step = self._step_by_closure if isinstance(ctx.optimizer, torch.optim.LBFGS) else self._step
        for group in grouped(session.epoch(), self.grad_accum_steps):
            step(session, group)
            if stop.signum is not None:
                stop.raise_if_asked()
        if state.micro_step_in_epoch == 0:
            raise no_batches()
        session.watch.look()

    def _step(self, session: Session, group: Sequence[Any]) -> None:
        """Take an optimizer step over the micro-batches of `group`."""
        session.clear_gradients()
        rows = [self._backward(session, batch, index, len(group)) for index, batch in enumerate(group)]
        optimizer, parameters = session.ctx.optimizer, session.parameters
        stepped = session.accelerator.step(optimizer, parameters, self.grad_clip_norm, tells=session.steps_schedule)
        self._after_step(session, rows, stepped=stepped)

    def _step_by_closure(self, session: Session, group: Sequence[Any]) -> None:
        """Step an optimizer that evaluates the loss several times; the first time is the one that is logged."""
        kept: list[dict[str, Any]] = []

        def closure() -> torch.Tensor:
            session.clear_gradients()
            rows = [
                self._backward(session, batch, index, len(group), first=not kept) for index, batch in enumerate(group)
            ]
            kept.extend(rows if not kept else ())
            if self.grad_clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(session.parameters, self.grad_clip_norm)
            return torch.stack([torch.as_tensor(row["loss"]).reshape(()) for row in rows]).mean()

        session.ctx.optimizer.step(closure)  # type: ignore[arg-type]  # torch means a float, or a tensor of one
        self._after_step(session, kept, stepped=True)

    def _backward(self, session: Session, batch: Any, index: int, count: int, *, first: bool = True) -> dict[str, Any]:
        """Add the gradients of one of a step's `count` micro-batches; return what is logged of it."""
        ctx, accelerator = session.ctx, session.accelerator
        inputs, targets, _ = ctx.io.split(batch, stage="train")
        with accelerator.autocast():
            outputs = session.forward(*inputs.args, **inputs.kwargs)
            result = ctx.loss(outputs=outputs, targets=targets, batch=batch, stage="train")
        loss = check_loss(result, ctx.loss)
        if not ctx.metrics:
            del outputs  # its memory, where the loss does not need it, is free for the gradients
        seen = session.watch.see(loss, index)
        accelerator.backward(loss if count == 1 else loss / count)
        if ctx.metrics and first:
            update_metrics(session, outputs, targets, batch, "train")
        return detached(seen, getattr(result, "logs", None))

    def _after_step(self, session: Session, rows: Sequence[dict[str, Any]], *, stepped: bool) -> None:
        """Count the step, step the scheduler where it is due, log, and call the callbacks."""
        ctx, state = session.ctx, session.ctx.state
        state.global_step += 1
        state.micro_step_in_epoch += len(rows)
        ctx.last_train_logs = StepLogs(rows)
        lr = ctx.optimizer.param_groups[0]["lr"]
        if stepped and is_due(session.bundle, "step", state.global_step):
            session.bundle.scheduler.step()
        if state.global_step % self.log_every_n_steps == 0:
            session.watch.look()
            session.log({**ctx.last_train_logs, "lr": float(lr)}, "train")
        session.hook("on_train_step_end")

    def _end_epoch(self, session: Session) -> None:
        """Validate, log, step what goes by epochs, and let the callbacks see all of it before metrics begin anew."""
        ctx, state = session.ctx, session.ctx.state
        ctx.validated = (state.epoch + 1) % self.val_every_n_epochs == 0
        if ctx.validated:
            self._validate(session)
        log_epoch(session)
        if is_due(session.bundle, "epoch", state.epoch + 1):
            session.bundle.scheduler.step()
        if ctx.validated and is_due(session.bundle, "metric", (state.epoch + 1) // self.val_every_n_epochs):
            session.bundle.scheduler.step(monitored(ctx, session.bundle.monitor or "", ("scheduler",)))
        state.epoch_complete = True
        ctx.run.progress.metrics = dict(ctx.last_val_logs)
        session.hook("on_epoch_end")
        reset_metrics(session)
        session.stop.raise_if_asked()

    def _validate(self, session: Session) -> None:
        """Take means of loss and logs over all samples of the validation data; a signal undoes what it has counted."""
        ctx = session.ctx
        before = Snapshot(ctx.metrics)
        ctx.model.eval()
        rows, weights = [], []
        with torch.no_grad():
            for batch in session.accelerator.placed(session.val.epoch(ctx.state.epoch)):
                if session.stop.signum is not None:
                    before.restore()
                    session.stop.raise_if_asked()
                row, count = self._judge(session, batch)
                rows.append(row)
                weights.append(count)
        ctx.model.train()
        ctx.last_val_logs = {f"val_{name}": value for name, value in mean_of(rows, weights).items()}

    def _judge(self, session: Session, batch: Any) -> tuple[dict[str, Any], int]:
        """Return what is logged of a validation batch, and its samples; drop its outputs before the next one comes."""
        ctx = session.ctx
        inputs, targets, _ = ctx.io.split(batch, stage="val")
        with session.accelerator.autocast():
            outputs = session.forward(*inputs.args, **inputs.kwargs)
            result = ctx.loss(outputs=outputs, targets=targets, batch=batch, stage="val")
        update_metrics(session, outputs, targets, batch, "val")
        return detached(result.loss, getattr(result, "logs", None)), count_samples(targets, batch)

    def _log_hparams(self, session: Session) -> None:
        hparams = session.ctx.run.config or {"run": dict(session.ctx.run), "trainer": vars(self)}
        for logger in session.ctx.loggers:
            if hasattr(logger, "log_hparams"):
                logger.log_hparams(json.loads(masked(json.dumps(hparams, default=str))))


def grouped(batches: Iterator[Any], count: int) -> Iterator[Sequence[Any]]:
    """Return the batches in groups of `count`; the last one may be smaller."""
    return zip(batches) if count == 1 else iter(lambda: list(islice(batches, count)), [])


def begin_epoch(session: Session, epoch: int) -> None:
    """Count from the first batch of another epoch, with metrics that begin anew."""
    state = session.ctx.state
    state.epoch, state.micro_step_in_epoch, state.epoch_complete = epoch, 0, False
    reset_metrics(session)
