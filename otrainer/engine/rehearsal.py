"""Before the first step: what is sure to fail later fails now, and what will not come out as meant is told."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any

from otrainer.engine.attributes import attributes_kept
from otrainer.engine.gradients import evaluate
from otrainer.engine.kept_tensors import Allowance, Tensors
from otrainer.engine.metrics import stand_ins
from otrainer.engine.modes import evaluating, judging
from otrainer.engine.monitor import LOSS, is_mean, place_of, unknown_monitor
from otrainer.engine.optimizers import in_section
from otrainer.engine.schedule_length import schedule_mistakes
from otrainer.engine.seed import random_state, set_random_state
from otrainer.engine.set_metrics import in_set
from otrainer.engine.stage_notes import told_stage
from otrainer.engine.tried_metrics import add_metrics
from otrainer.engine.validation import judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otrainer.engine.data.loader import Loader
    from otrainer.engine.length import Length
    from otrainer.engine.rhythm import Rhythm
    from otrainer.engine.session import Session
    from otrainer.engine.stage_notes import ToldStage
    from otrainer.errors import ConfigPath

log = logging.getLogger("otrainer")
MOST_BYTES = 2**30  # of buffers and frozen parameters that are copied, for as long as a batch is tried


def rehearse(session: Session, length: Length, rhythm: Rhythm, batches: int = 1) -> None:
    """Try so many validation batches, and compare monitors and the schedule's length with what the run will be.

    A run that goes on as it was has done so, and one that is at its end needs it no more.
    Nothing of the run is changed by it. Raises ConfigError for what is sure to fail, and whatever the parts raise.
    """
    state = session.ctx.state
    if session.is_rehearsed or length.is_reached(state):
        return
    check_schedule(session, length, rhythm)
    if not rhythm.comes(length, state, session.ctx.train.batches()):
        tell_never_validated(session, length, rhythm)
        return
    if not batches:
        return
    logged, is_whole = try_validation(session, rhythm.first_epoch(state), batches)
    check_monitors(session, logged, is_whole=is_whole)


def check_schedule(session: Session, length: Length, rhythm: Rhythm) -> None:
    """Warn of a schedule that does not end with the run; raise ConfigError for one that is too short."""
    batches = session.ctx.train.batches()
    for name, bundle in session.schedule.bundles.items():
        steps = rhythm.turns(length, batches).turns(bundle.interval, bundle.frequency)
        if steps is None:
            continue
        with in_section("scheduler", name) if name else nullcontext():
            mistakes = schedule_mistakes(bundle.scheduler, steps, bundle.interval, bundle.frequency)
        for mistake in mistakes:
            log.warning("%s%s", f"{name}: " if name else "", mistake)


def try_validation(session: Session, epoch: int, most: int) -> tuple[dict[str, Any], bool]:
    """Return what a validation in `epoch` would log, judged by up to `most` batches, and whether that is all of it."""
    if not session.val:
        return metrics_alone(session)
    try:
        return tried(session, epoch, most)
    except Exception as error:  # noqa: BLE001 - raised below, unless training says it better
        failed = error
    # A mistake that training makes too is not one of validation; the run ends in either case.
    for batch in islice(session.epoch(), 1):
        evaluate(session, [batch])
    raise failed


def tried(session: Session, epoch: int, most: int) -> tuple[dict[str, Any], bool]:
    """Return the same, or raise what fails, with a note that it was in validation."""
    with told_stage("rehearsal", 0) as where:
        found, is_whole = dict[str, Any](), True
        for name, loader in session.val.by_name().items():
            where.name = name
            batches = loader.peek(epoch, most)
            if not batches:
                continue
            logged, is_all = tried_batches(session, loader, batches, where)
            named = {in_set(of, name): value for of, value in logged.items()} if name else {}
            found, is_whole = {**logged, **found, **named}, is_whole and is_all
        return (found, is_whole) if found else metrics_alone(session)


def tried_batches(
    session: Session, loader: Loader, batches: Sequence[Any], where: ToldStage
) -> tuple[dict[str, Any], bool]:
    """Return what validation would log of the last of these batches, and whether that is all that it may log."""
    gradients = judging(session.modules, gradients=session.val_gradients)
    with unchanged(session), evaluating(session.modules, session.ctx), gradients, unheard():
        for number, batch in enumerate(batches):
            where.batch = number
            placed = session.accelerator.place(batch)
            row, _ = judge(session, loader, placed, number)
        logged = {f"val_{name}": value for name, value in row.items()}
        return logged, add_metrics(session, logged, placed)


@contextmanager
def unheard() -> Iterator[None]:
    """Let nobody hear warnings of Python's in the block: what is odd about one batch may be right of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def metrics_alone(session: Session) -> tuple[dict[str, Any], bool]:
    """Return what is logged where there is nothing to validate: what metrics make of training."""
    logged: dict[str, Any] = {}
    with unchanged(session):
        return logged, add_metrics(session, logged)


@contextmanager
def unchanged(session: Session) -> Iterator[None]:
    """Put back what the block changes: metrics, random states, tensors, and what parts hold in attributes."""
    ctx = session.ctx
    allowance = Allowance(MOST_BYTES)
    tensors = [Tensors(each, allowance, trained=True) for root in session.modules for each in root.modules()]
    drawn = random_state()
    try:
        with stand_ins(ctx.metrics), attributes_kept((*session.modules, ctx.loss, ctx.io)):
            yield
    finally:
        set_random_state(drawn)
        for part in tensors:
            part.put_back()


def check_monitors(session: Session, logged: Mapping[str, Any], *, is_whole: bool) -> None:
    """Raise ConfigError for a monitor that validation does not log; warn where a part of the user's may still do so."""
    for name, path, is_ours, key in monitors(session):
        if name in logged:
            continue
        is_sure = is_whole or name.startswith("train") or (name == LOSS and not session.val)
        if is_ours and is_sure and not others_act(session):
            raise unknown_monitor(name, logged, path, key)
        log.warning(
            "nothing that validation logs is called `%s` so far, which is watched at %s. There is %s.",
            name,
            ".".join(map(str, path)),
            ", ".join(f"`{each}`" for each in logged) or "no validation data",
        )


def monitors(session: Session) -> Iterator[tuple[str, ConfigPath, bool, str]]:
    """Yield each value that is watched, its place in the config, whether a part of ours watches, and by which key.

    A callback watches its `monitor`, unless `watched` says what it watches of validation by each argument.
    """
    ctx = session.ctx
    for of, bundle in session.schedule.bundles.items():
        if bundle.interval == "metric":
            yield bundle.monitor or "", ("scheduler", of) if of else ("scheduler",), True, "monitor"
    for callback in ctx.callbacks:
        monitor = getattr(callback, "monitor", None)
        watched = getattr(callback, "watched", {"monitor": [monitor] if isinstance(monitor, str) else []})
        for key, names in watched.items() if isinstance(watched, dict) else ():
            for name in names:
                if not is_mean(ctx, name):  # which training makes
                    yield name, place_of(callback, ctx), is_built_in(callback), key


def is_built_in(part: Any) -> bool:
    return type(part).__module__.startswith("otrainer.")


def others_act(session: Session) -> bool:
    """Return whether a callback of the user's could still log something once it was validated."""
    hooks = ("on_validation_end", "on_epoch_end")
    return any(not is_built_in(each) and any(hasattr(each, hook) for hook in hooks) for each in session.ctx.callbacks)


def tell_never_validated(session: Session, length: Length, rhythm: Rhythm) -> None:
    """Warn that nothing will be validated, where there are data for it or something watches what comes of it."""
    watched = list(dict.fromkeys(name for name, *_ in monitors(session)))
    batches, unit = session.ctx.train.batches(), "epochs" if rhythm.steps is None else "steps"
    there_are = length.total_epochs(batches) if rhythm.steps is None else length.total_steps(batches)
    if watched or session.val:
        log.warning(
            "nothing is validated: `trainer.val_every_n_%s` is %d, and there are %d %s, so let it be %d or less%s",
            unit,
            rhythm.steps or rhythm.epochs,
            there_are,
            unit,
            there_are,
            f". So nothing ever logs {', '.join(f'`{name}`' for name in watched)}, which is watched."
            if watched
            else "",
        )
