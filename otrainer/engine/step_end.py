"""What comes once a step is taken: the schedule, the row and the callbacks, now or right after a resume."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.logs import StepLogs
from otrainer.engine.rates import check_names, named_rates

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.state import RunContext

log = logging.getLogger("otrainer")


def take_open(session: Session) -> None:
    """Let those have their turn whom the checkpoint says to be without it, in the order of every step.

    A row that cannot be made is told and left out: it could not be made at the next attempt either.
    """
    ctx, turns = session.ctx, session.ctx.turns
    if turns.scheduler:
        step_schedule(session)
    if turns.row:
        try:
            step_row(ctx)
        except Exception as error:  # noqa: BLE001 - whatever a value raises that is no number
            log.warning("the row of step %d is left out: its values cannot be read: %s", ctx.state.global_step, error)
            turns.loggers = ()
        log_step(ctx)
    if turns.callbacks:
        session.hook(turns.hook, turns.callbacks)


def log_step(ctx: RunContext) -> None:
    """Hand the row of the last step to each logger that is still to have it."""
    turns = ctx.turns
    row = step_row(ctx) if turns.loggers else {}
    while turns.loggers:
        place, *later = turns.loggers
        if row and hasattr(ctx.loggers[place], "log_metrics"):
            ctx.loggers[place].log_metrics(row, step=ctx.state.global_step, stage="train")
        turns.loggers = later
    ctx.logged_step, turns.row = ctx.state.global_step, False


def step_row(ctx: RunContext) -> dict[str, float]:
    """Return loss and logs of the last step, and the learning rates that it was taken with; empty where none was."""
    logs = ctx.last_train_logs
    if not isinstance(logs, StepLogs):
        return {}
    check_names(ctx.optimizer, [logs])  # groups and logs may have come after the first step
    return {**logs, **named_rates(ctx.optimizer, logs.rates)}


def step_schedule(session: Session) -> None:
    """Step what is due of the schedule; where it raises, it stands as it stood, so that the next is no second step."""
    ctx = session.ctx
    kept = [(own, own.copy()) for own in held_by(ctx.scheduler)]
    groups = [(group, settings_of(group)) for group in ctx.optimizer.param_groups]
    try:
        for _, bundle in session.schedule.due("step", ctx.state.global_step):
            bundle.scheduler.step()
    except BaseException:
        for now, before in kept:
            now.clear()
            now.update(before)
        for group, settings in groups:
            put_back(group, settings)
        raise
    ctx.turns.scheduler = False


def held_by(scheduler: Any) -> list[dict[str, Any]]:
    """Return the attributes of a scheduler and of those that it steps, as sequential and chained ones do."""
    own = getattr(scheduler, "__dict__", None)
    if own is None:
        return []
    return [own, *(inner for each in own["_schedulers"] for inner in held_by(each))] if "_schedulers" in own else [own]


def settings_of(group: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a group's settings; a learning rate that is a tensor is written to, so it is copied too."""
    settings = group.copy()
    if isinstance(settings.get("lr"), torch.Tensor):
        settings["lr"] = settings["lr"].detach().clone()
    return settings


def put_back(group: dict[str, Any], settings: dict[str, Any]) -> None:
    rate = group.get("lr")
    group.update(settings)
    if isinstance(rate, torch.Tensor):  # the optimizer, or a graph of its step, holds this very tensor
        group["lr"] = rate.copy_(settings["lr"])
