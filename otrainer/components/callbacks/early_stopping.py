"""cb.early_stopping: the end of training once a validation value no longer improves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.form import refuse_misfits
from otrainer.engine.checkpoint.forms import COUNT, NUMBER, Maybe
from otrainer.engine.monitor import check_mode, improves, monitored, place_of
from otrainer.errors import check_whole

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


class EarlyStopping:
    """Stop after `patience` validations in a row without an improvement of `monitor` by more than `min_delta`.

    `monitor` is the name of a logged value, and `mode` says what is better of it: `min` or `max`.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "min", patience: int = 3, min_delta: float = 0.0) -> None:
        check_mode(mode)
        check_whole("patience", patience)
        if min_delta < 0:
            raise ValueError(f"min_delta is a number from 0 on, not {min_delta!r}")
        self.monitor, self.mode, self.patience, self.min_delta = monitor, mode, patience, float(min_delta)
        self.best: float | None = None
        self.waited = 0

    def on_validation_end(self, ctx: RunContext) -> None:
        """Look at a validation within an epoch; at an epoch's end other callbacks may still log what is watched."""
        if not ctx.state.epoch_trained:
            self._look(ctx)

    def on_epoch_end(self, ctx: RunContext) -> None:
        if ctx.validated:
            self._look(ctx)

    def _look(self, ctx: RunContext) -> None:
        value = monitored(ctx, self.monitor, place_of(self, ctx))
        if improves(value, self.best, self.mode, self.min_delta):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self._tell()
            ctx.should_stop = True

    def _tell(self) -> None:
        if self.best is None:
            log.warning("stopped early: %s was no number (NaN) in %d validations", self.monitor, self.waited)
            return
        log.warning("stopped early: %s has not improved on %s for %d validations", self.monitor, self.best, self.waited)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "monitor": self.monitor, "mode": self.mode}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same monitor and mode; the best by another one says nothing of this one."""
        if (state.get("monitor", self.monitor), state.get("mode", self.mode)) == (self.monitor, self.mode):
            refuse_misfits(state, {"best": Maybe(NUMBER), "waited": COUNT})
            self.best, self.waited = state["best"], state["waited"]
