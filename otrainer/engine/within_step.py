"""Callbacks that act within a step, and before what follows: an epoch, a validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.boundary import UPDATING
from otrainer.engine.optimizer import due, members
from otrainer.engine.turns import BATCH_END, BEFORE_STEP
from otrainer.protocols import LossOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otrainer.engine.session import Session


def tell_start(session: Session, hook: str, at: int) -> None:
    """Call a hook that comes before an epoch or a validation, which begins `at` this epoch or step, once.

    Where one callback raises, it and those behind it have their turn after the resume; see `Turns`.
    """
    begun = session.ctx.turns.begun
    if session.has(hook) and begun.get(hook) != at:
        begun[hook] = at
        session.hook(hook)


def tell_epoch_start(session: Session) -> None:
    """Call the hook of an epoch that begins, before anything of it is loaded."""
    state = session.ctx.state
    if state.micro_step_in_epoch == 0:
        tell_start(session, "on_epoch_start", state.epoch)


def tell_before_step(session: Session, name: str | None) -> None:
    """Let callbacks see the gradients of what is stepped now, or of one optimizer: not clipped yet, and not scaled."""
    optimizer = session.ctx.optimizer
    if not session.only_looks:
        session.boundary.phase = UPDATING  # what callbacks have seen cannot be taken back
    for each in (due(optimizer) if name is None else members(optimizer, name)).values():
        session.accelerator.unscale(each)
        session.hook(BEFORE_STEP, None, each)


def without_graph(result: Any, loss: torch.Tensor) -> LossOutput:
    """Return what a loss returned as callbacks see it once the gradients are there; its logs are still to come."""
    weight, reduction = getattr(result, "weight", None), getattr(result, "reduction", "mean")
    return LossOutput(loss.detach(), weight=weight, reduction=reduction)


def tell_batch(session: Session, batch: Any, output: LossOutput | None, row: Mapping[str, Any]) -> None:
    """Let callbacks see a micro-batch and what is logged of it; without an `output`, its loss is in the row or none."""
    if not session.only_looks:
        session.boundary.phase = UPDATING
    logs = {name: value for name, value in row.items() if name != "loss"}
    if output is None:
        output = LossOutput(torch.as_tensor(row.get("loss", float("nan"))), logs)
    output.logs = logs
    session.hook(BATCH_END, None, batch, output)
