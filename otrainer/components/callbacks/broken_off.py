"""A run that is broken off: whether its last whole step is saved, and what people are told of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from otrainer.engine.finite import NotFiniteError
from otrainer.engine.signals import TrainingInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otrainer.components.callbacks.saving import Saving
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


def save_what_is_whole(saving: Saving, ctx: RunContext, exc: BaseException, named: Callable[[], str]) -> None:
    """Save the last whole step as it is `named`, unless a second Ctrl-C is in a hurry, or saving is what failed."""
    over = saving.hold_back()  # they stay until something newer is on the disk
    saving.settle(ctx)
    if not saving.saves_runs:
        return
    if is_worth_saving(saving, ctx, exc):
        name = named()
        # The save that was under way may have this state already.
        if saving.newest == ctx.state.state_dict() or saves_now(saving, ctx, exc, name):
            saving.release(over, ctx)
            tell_saved(ctx, exc, saving.folder / name)
        else:
            tell_spoilt(saving, ctx)
    elif not saving.has_failed:
        tell_lost(saving, ctx, exc)


def is_worth_saving(saving: Saving, ctx: RunContext, exc: BaseException) -> bool:
    if isinstance(exc, TrainingInterrupted):
        return True
    if isinstance(exc, KeyboardInterrupt) or saving.has_failed:
        return False
    return ctx.at_boundary and saving.at_start not in (None, ctx.state.state_dict())


def saves_now(saving: Saving, ctx: RunContext, exc: BaseException, name: str) -> bool:
    """Save this state; False where that is refused for parameters that are not finite, as `exc` says already."""
    try:
        saving.save(ctx, [name])
        saving.settle(ctx)
    except NotFiniteError:
        if isinstance(exc, NotFiniteError):
            return False
        raise
    return True


def tell_saved(ctx: RunContext, exc: BaseException, path: Path) -> None:
    step = ctx.state.global_step
    if isinstance(exc, TrainingInterrupted):
        log.warning("checkpoint of step %d saved: %s", step, path)
    else:
        log.warning(
            "checkpoint of step %d, the last whole one before the error, saved: %s; `doit train` goes on from it "
            "under the same config and code, `doit resume` under mended ones",
            step,
            path,
        )


def tell_spoilt(saving: Saving, ctx: RunContext) -> None:
    newest, kept = saving.newest or saving.at_start, saving.newest_path or ctx.run.resume_from
    if newest is None or kept is None:
        log.warning("nothing is saved: the parameters are not finite")
        return
    log.warning(
        "the steps after step %d (checkpoint: %s) are not saved: their parameters are not finite",
        newest["global_step"],
        kept,
    )


def tell_lost(saving: Saving, ctx: RunContext, exc: BaseException) -> None:
    """Say which steps no checkpoint has, and why: those that were taken since the newest one."""
    newest, path = saving.newest or saving.at_start, saving.newest_path or ctx.run.resume_from
    if newest is None or (kept := newest["global_step"]) == ctx.state.global_step:
        return
    if isinstance(exc, KeyboardInterrupt):
        log.warning("the steps after step %d (checkpoint: %s) are lost: it was to stop at once", kept, path)
    else:
        log.warning(
            "the steps after step %d (checkpoint: %s) are lost: nothing is saved now, since what was changed when "
            "the error came cannot be put back",
            kept,
            path,
        )
