"""Whose turn it is once a step is taken: those that a failure left without theirs have it right after a resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BATCH_END = "on_train_batch_end"
BEFORE_STEP = "on_before_optimizer_step"
# Hooks that a run which goes on does not come to by itself; the others are called again.
KEPT_HOOKS = (
    "on_epoch_start", "on_train_step_end", "on_validation_start", "on_validation_end", "on_train_epoch_end",
    "on_epoch_end",
)  # fmt: skip


@dataclass
class Turns:
    """Who is still to have a turn where training stands.

    `scheduler` and `row` say whether the schedule is to be stepped, and the last step to be logged, `validation`
    whether it is to be validated then; `loggers` and `callbacks` are the places, in the run's lists, of those that
    are to be given the row, and to be called by `hook`. `begun` says of hooks that come before something at which
    epoch, or step, they were called last: what begins anew after a stop calls them no second time.
    """

    scheduler: bool = False
    row: bool = False
    validation: bool = False
    hook: str = ""
    loggers: Sequence[int] = ()
    callbacks: Sequence[int] = ()
    begun: dict[str, int] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Return what is no entry of a list: a checkpoint has loggers and callbacks with their states."""
        hook = self.hook if self.callbacks else ""
        begun = {"begun": dict(self.begun)} if self.begun else {}
        return {"scheduler": self.scheduler, "row": self.row, "validation": self.validation, "hook": hook, **begun}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take that back; a checkpoint of before there were turns has none that are open."""
        self.scheduler, self.row = bool(state.get("scheduler")), bool(state.get("row"))
        self.validation = bool(state.get("validation"))
        self.hook, self.begun = str(state.get("hook", "")), dict(state.get("begun", {}))
