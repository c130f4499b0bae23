"""cb.early_stopping: the end of training once a value no longer improves, of validation or of training."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT, NUMBER, Maybe
from otrainer.engine.monitor import check_mode, improves, is_mean, is_of_now, monitored, place_of, trained
from otrainer.errors import check_whole

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")
UNITS = ("validation", "step", "epoch")


class EarlyStopping:
    """Stop after `patience` looks in a row without an improvement of `monitor` by more than `min_delta`.

    `monitor` is the name of a logged value; `mode` is `min` where less of it is better, or `max`. By `every` it looks
    after each `validation`, at what that logs, or at a value of training, such as `loss`: after each optimizer `step`,
    which ends training within the epoch then, or after each `epoch`, at the mean over its steps. Looking at a step
    waits for the device. Means that count each batch by its size or tokens, such as `train_loss`, are there with the
    trainer's `log_epoch_means`.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "min",
        patience: int = 3,
        min_delta: float = 0.0,
        every: str = "validation",
    ) -> None:
        check_mode(mode)
        if every not in UNITS:
            raise ValueError(f"every is {', '.join(f'`{name}`' for name in UNITS)}, not `{every}`")
        check_whole("patience", patience)
        if min_delta < 0:
            raise ValueError(f"min_delta is a number from 0 on, not {min_delta!r}")
        self.monitor, self.mode, self.patience, self.min_delta = monitor, mode, patience, float(min_delta)
        self.every = every
        self.best: float | None = None
        self.waited = 0
        # Of the steps of the epoch so far, where an epoch's mean is watched.
        self._sum, self._steps = 0.0, 0

    @property
    def stops_within_epoch(self) -> bool:
        """Whether training is to end at the next step once this says so."""
        return self.every == "step"

    @property
    def watched(self) -> dict[str, list[str]]:
        """The values of validation that it needs, by the argument that names them."""
        return {"monitor": [self.monitor]} if self.every == "validation" else {}

    def on_train_step_end(self, ctx: RunContext) -> None:
        """Look at a step, or add it to the mean of its epoch."""
        if self.every == "validation" or self._watches_a_mean(ctx):
            return
        value = trained(ctx, self.monitor, place_of(self, ctx))
        if self.every == "step":
            self._look(ctx, value)
        else:
            self._sum, self._steps = self._sum + value, self._steps + 1

    def on_validation_end(self, ctx: RunContext) -> None:
        """Look at a validation within an epoch; at an epoch's end other callbacks may still log what is watched."""
        if self.every == "validation" and not ctx.state.epoch_trained and is_of_now(ctx, self.monitor):
            self._look(ctx, monitored(ctx, self.monitor, place_of(self, ctx)))

    def on_epoch_end(self, ctx: RunContext) -> None:
        """Look at the validation of an epoch's end, or at the mean over its steps."""
        if ctx.validated if self.every == "validation" else self._watches_a_mean(ctx):
            self._look(ctx, monitored(ctx, self.monitor, place_of(self, ctx)))
        elif self.every == "epoch" and self._steps:
            mean, self._sum, self._steps = self._sum / self._steps, 0.0, 0
            self._look(ctx, mean)

    def _watches_a_mean(self, ctx: RunContext) -> bool:
        return self.every == "epoch" and is_mean(ctx, self.monitor)

    def _look(self, ctx: RunContext, value: float) -> None:
        if ctx.should_stop:
            return
        if improves(value, self.best, self.mode, self.min_delta):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self._tell()
            ctx.should_stop = True

    def _tell(self) -> None:
        if self.best is None:
            log.warning("stopped early: %s was no number (NaN) in %d %ss", self.monitor, self.waited, self.every)
            return
        told = self.monitor, self.best, self.waited, self.every
        log.warning("stopped early: %s has not improved on %s for %d %ss", *told)

    def state_dict(self) -> dict[str, Any]:
        epoch = {"sum": self._sum, "steps": self._steps} if self.every == "epoch" else {}
        unit = {} if self.every == "validation" else {"every": self.every}
        return {"best": self.best, "waited": self.waited, "monitor": self.monitor, "mode": self.mode, **unit, **epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same monitor, mode and rhythm; the best by another one says nothing of this one."""
        before = state.get("monitor", self.monitor), state.get("mode", self.mode), state.get("every", "validation")
        if before == (self.monitor, self.mode, self.every):
            refuse_misfits(state, {"best": Maybe(NUMBER), "waited": COUNT, "sum?": NUMBER, "steps?": COUNT})
            self.best, self.waited = state["best"], state["waited"]
            self._sum, self._steps = state.get("sum", 0.0), state.get("steps", 0)
