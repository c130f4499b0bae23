"""Epochs of a run: their batches in groups that make a step, where one begins, and where one is half-way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from otrainer.engine.length import in_time
from otrainer.engine.metrics import reset_metrics
from otrainer.engine.tokens import gathered

if TYPE_CHECKING:
    from otrainer.engine.length import Length
    from otrainer.engine.rhythm import Rhythm
    from otrainer.engine.session import Session
    from otrainer.engine.state import TrainState


def groups_left(session: Session, length: Length, rhythm: Rhythm) -> Iterator[Any]:
    """Return what the run still takes of the current epoch: a group of micro-batches for each step, or a Gathering.

    Where validation goes by steps or minutes, so does a stop that is asked for, or where a callback that asks for it
    says so.
    """
    state = session.ctx.state
    batches = session.epoch(length.batches_left(state))
    tokens, count = length.tokens, length.accumulate
    groups = length.cut(grouped(batches, count) if tokens is None else gathered(batches, tokens), state)
    by_minutes = rhythm.minutes is not None or session.log_rhythm.minutes is not None
    if by_minutes and length.seconds is None:
        groups = in_time(groups, state, inf)  # which counts how long was trained
    if session.freezing is not None:
        groups = session.freezing.follow(groups, state, session.boundary)
    return groups if rhythm.epochs is not None and not session.stops_within_epoch else until_stopped(groups, state)


def until_stopped(groups: Iterator[Any], state: TrainState) -> Iterator[Any]:
    """Yield groups until `should_stop`, looked at before the next one is loaded."""
    while not state.should_stop and (group := next(groups, None)) is not None:
        yield group


def grouped(batches: Iterator[Any], count: int) -> Iterator[Sequence[Any]]:
    """Return the batches in groups of `count`; the last one may be smaller."""
    return zip(batches) if count == 1 else iter(lambda: list(islice(batches, count)), [])


def has_begun(state: TrainState) -> bool:
    """Return whether an epoch is half-way: it is trained to its end, whoever asks for a stop."""
    return state.micro_step_in_epoch > 0 and not state.epoch_complete


def begin_epoch(session: Session) -> None:
    """Count from the first batch of the next epoch, or go on with one that was cut; metrics begin anew."""
    state = session.ctx.state
    if not state.is_cut:
        if session.ctx.epoch_means is not None:
            session.ctx.epoch_means.begin()
        state.epoch, state.micro_step_in_epoch = state.epoch + 1, 0
    state.epoch_complete, state.epoch_trained, state.is_cut = False, False, False
    reset_metrics(session)
