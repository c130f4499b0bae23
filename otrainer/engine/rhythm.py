"""When a run validates and when it logs: after so many epochs, optimizer steps, or minutes of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otrainer.protocols import RunLength

if TYPE_CHECKING:
    from otrainer.engine.length import Length
    from otrainer.engine.state import TrainState


@dataclass(frozen=True)
class Rhythm:
    """From one validation to the next, in epochs, steps or minutes; all but one are None.

    Minutes are no function of the step: the state has how long was trained, and when and how often it was validated, so
    that a run that goes on from there does not validate twice.
    """

    epochs: int | None = 1
    steps: int | None = None
    minutes: float | None = None

    @classmethod
    def of(cls, epochs: int | None, steps: int | None, minutes: float | None = None) -> Rhythm:
        """Return the rhythm that a config gives, each epoch where it gives none. Raises ValueError for several."""
        given = {"val_every_n_epochs": epochs, "val_every_n_steps": steps, "val_every_n_minutes": minutes}
        if len(asked := [name for name, every in given.items() if every is not None]) > 1:
            raise ValueError(f"validation goes by {asked[0]} or by {asked[1]}: let one of them be null")
        return cls(epochs if asked else 1, steps, minutes)

    def is_due_after_step(self, state: TrainState) -> bool:
        """Return whether validation comes after a step; by minutes, count it as one that comes."""
        if self.steps is not None:
            return state.global_step % self.steps == 0
        if self.minutes is None or state.seconds - state.validated_at < 60 * self.minutes:
            return False
        state.validated_at, state.validations = state.seconds, state.validations + 1
        return True

    def is_due_after_epoch(self, epoch: int) -> bool:
        """Return whether validation comes at the end of an epoch, counted from 0."""
        return self.epochs is not None and (epoch + 1) % self.epochs == 0

    def number(self, state: TrainState) -> int:
        """Return which validation of the run it is that comes where training stands, counted from 1."""
        if self.minutes is not None:
            return state.validations
        return state.global_step // self.steps if self.steps else (state.epoch + 1) // (self.epochs or 1)

    def validations(self, length: Length, batches: int | None) -> int | None:
        """Return how many validations a run has over data of so many batches; None where that is not known."""
        if self.minutes is not None:
            return None
        every = self.steps or self.epochs or 1
        count = length.total_steps(batches) if self.steps else length.total_epochs(batches)
        return None if count is None else count // every

    def comes(self, length: Length, state: TrainState, batches: int | None) -> bool:
        """Return whether there is another validation after where training stands, as far as known."""
        if self.minutes is not None:
            return True
        if self.steps is not None:
            total = length.total_steps(batches)
            return total is None or (state.global_step // self.steps + 1) * self.steps <= total
        epochs = length.total_epochs(batches)
        return epochs is None or self.first_epoch(state) < epochs

    def turns(self, length: Length, batches: int | None) -> RunLength:
        """Return how often steps, epochs and validations come in a run over data of so many batches."""
        steps, epochs = length.total_steps(batches), length.total_epochs(batches)
        return RunLength(step=steps, epoch=epochs, metric=self.validations(length, batches))

    def first_epoch(self, state: TrainState) -> int:
        """Return the epoch in which the next validation is, as far as that is known without counting its batches."""
        every = self.epochs or 1
        return state.epoch // every * every + every - 1


@dataclass(frozen=True)
class LogRhythm:
    """At which steps a row is logged: each so many of them, the last ones of epochs, those at which minutes are over.

    Each of these that is not None counts; minutes are kept in the state, as those of validation are.
    """

    steps: int | None = 10
    epochs: int | None = None
    minutes: float | None = None

    def is_due_after_step(self, state: TrainState) -> bool:
        """Return whether a step has a row; by minutes, take note of when."""
        by_minutes = self.minutes is not None and state.seconds - state.logged_at >= 60 * self.minutes
        if by_minutes:
            state.logged_at = state.seconds
        return by_minutes or (self.steps is not None and state.global_step % self.steps == 0)

    def is_due_after_epoch(self, state: TrainState, logged: int, steps: int) -> bool:
        """Return whether the last step of an epoch of so many has a row, where step `logged` was the last that had.

        By steps it has one where the epoch would have none.
        """
        if logged == state.global_step:
            return False
        by_epochs = self.epochs is not None and not state.is_cut and (state.epoch + 1) % self.epochs == 0
        return by_epochs or (self.steps is not None and logged <= state.global_step - steps)
