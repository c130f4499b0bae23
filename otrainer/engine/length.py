"""How long a run is: so many epochs, optimizer steps or hours, whichever it reaches first, and how long its epochs are.

All but the hours are functions of the step: a run that was stopped anywhere ends where it would have ended.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.state import TrainState

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
DURATION = re.compile(r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", re.ASCII)  # as Slurm writes it, with days in front
AS_WRITTEN = 'a time such as `90m`, `2h30m`, `1d` or `"01:30:00"`'


@dataclass(frozen=True)
class Length:
    """The bounds of a run, None for each that there is not; `batches` is how many micro-batches an epoch has at most.

    `accumulate` micro-batches make a step, or as many as come to `tokens`: then nobody knows how many an epoch has.
    """

    epochs: int | None
    steps: int | None = None
    seconds: float | None = None
    batches: int | None = None
    accumulate: int = 1
    tokens: int | None = None

    @classmethod
    def of(
        cls,
        epochs: int | None,
        steps: int | None,
        hours: str | float | None,
        batches: int | None,
        accumulate: int,
        tokens: int | None = None,
    ) -> Length:
        """Return the length that a config gives, one epoch where it gives none. Raises ValueError for a wrong time."""
        seconds = None if hours is None else seconds_of(hours)
        says_nothing = epochs is None and steps is None and seconds is None
        return cls(1 if says_nothing else epochs, steps, seconds, batches, accumulate, tokens)

    def is_reached(self, state: TrainState) -> bool:
        """Return whether training has come to its end, where it stands between two epochs."""
        return (
            (self.epochs is not None and state.epochs_done >= self.epochs)
            or (self.steps is not None and state.global_step >= self.steps)
            or (self.seconds is not None and state.seconds >= self.seconds)
        )

    def check(self, state: TrainState) -> None:
        """Raise ConfigError where a checkpoint is further than this."""
        for name, done, most, what in (
            ("max_epochs", state.epochs_done, self.epochs, "epochs"),
            ("max_steps", state.global_step, self.steps, "steps"),
        ):
            if most is not None and done > most:
                message = f"The checkpoint has {done} {what}, and `{name}` is {most}."
                hint = f"Ask for more {what} than it has, or train from the start."
                raise ConfigError(message, title="nothing left to train", config_path=("trainer", name), hint=hint)

    def batches_left(self, state: TrainState) -> int | None:
        """Return how many micro-batches the epoch may still have; None where all that there are."""
        return None if self.batches is None else max(0, self.batches - state.micro_step_in_epoch)

    def batches_in(self, batches: int | None) -> int | None:
        """Return how many micro-batches an epoch has of data that have so many; None where that is not known."""
        if batches is None or self.batches is None:
            return self.batches if batches is None else batches
        return min(batches, self.batches)

    def steps_over(self, batches: int) -> int:
        """Return how many optimizer steps so many micro-batches of an epoch make: at least one, where tokens count."""
        return -(-batches // self.accumulate) if self.tokens is None else min(batches, 1)

    def total_steps(self, batches: int | None) -> int | None:
        """Return how many optimizer steps the run has over data of so many batches; None where that is not known."""
        in_epoch = self.batches_in(batches)
        is_known = bool(in_epoch) and self.epochs is not None and self.tokens is None
        by_epochs = self.steps_over(in_epoch or 0) * (self.epochs or 0) if is_known else None
        known = [each for each in (by_epochs, self.steps) if each is not None]
        return min(known, default=None)

    def total_epochs(self, batches: int | None) -> int | None:
        """Return how many epochs the run has, a last one that is cut counted; None where that is not known."""
        in_epoch, epochs = self.batches_in(batches), self.epochs
        if self.steps is None or not in_epoch or self.tokens is not None:
            return epochs if self.steps is None else None
        by_steps = -(-self.steps // self.steps_over(in_epoch))
        return by_steps if epochs is None else min(by_steps, epochs)

    def cuts(self, state: TrainState, batches: int | None) -> bool:
        """Return whether an epoch of data of so many batches ends here with some of them left, as far as known."""
        in_epoch = self.batches_in(batches)
        by_steps = self.steps is not None and state.global_step >= self.steps
        by_time = self.seconds is not None and state.seconds >= self.seconds
        is_over = by_steps or by_time or state.should_stop
        return is_over and (in_epoch is None or state.micro_step_in_epoch < in_epoch)

    def cut(self, groups: Iterator[Any], state: TrainState) -> Iterator[Any]:
        """Return as many of an epoch's groups of micro-batches as the run still takes."""
        if self.steps is not None:
            groups = islice(groups, max(0, self.steps - state.global_step))
        return groups if self.seconds is None else in_time(groups, state, self.seconds)


def in_time(groups: Iterator[Any], state: TrainState, seconds: float) -> Iterator[Any]:
    """Yield groups until the run was trained for so many seconds, all of its attempts together; `state` counts them."""
    last = time.monotonic()
    while state.seconds < seconds and (group := next(groups, None)) is not None:
        yield group
        now = time.monotonic()
        state.seconds, last = state.seconds + now - last, now


def seconds_of(duration: str | float) -> float:
    """Return a time in seconds, given as those, in units (`2h30m`), or as a clock and Slurm write it (`1-12:00:00`).

    Raises ValueError for anything else.
    """
    if isinstance(duration, int | float) and not isinstance(duration, bool) and 0 < duration < float("inf"):
        return float(duration)
    text = duration.replace(" ", "") if isinstance(duration, str) else ""
    if units := DURATION.fullmatch(text):
        found = sum(int(count or 0) * size for count, size in zip(units.groups(), UNITS.values(), strict=True))
    elif clock := CLOCK.fullmatch(text):
        found = sum(int(count or 0) * size for count, size in zip(clock.groups(), UNITS.values(), strict=True))
    else:
        found = 0
    if not found:
        raise ValueError(f"max_time is {AS_WRITTEN}, or a number of seconds, not {duration!r}")
    return float(found)
