"""Clipped gradients: their values, the norms of groups, then of all, as torch's functions do it, of each optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.group_clips import group_clips
from otrainer.engine.optimizer import due, held, members
from otrainer.engine.optimizers import Optimizers

if TYPE_CHECKING:
    from otrainer.engine.session import Session
    from otrainer.engine.state import RunContext

NORM = "grad_norm"  # its name in rows


def clip(
    session: Session,
    norm: float | None,
    value: float | None,
    *,
    logs: bool = False,
    first: bool = True,
    name: str | None = None,
) -> None:
    """Clip the gradients of all that steps now, or of one optimizer: to `value`, then to `norm`, or to its own norm.

    Those of groups that have norms of their own are clipped to these in between.
    Where it `logs`, the context is told the norms from before the `first` time in a step.
    The session's watch looks at the norm where it is the `first` of a step; not where fp16 scales the gradients, since
    an overflow is no mistake there.
    """
    watch = session.watch.see_norm if first and session.accelerator.scaler is None else None
    logs = logs and first
    for own, optimizer, most in bounds(session.ctx.optimizer, norm, name):
        groups = group_clips(optimizer)
        if value is None and most is None and not logs and not groups:
            continue
        session.accelerator.unscale(optimizer)
        parameters, known = held(optimizer), None
        if logs:
            known = session.ctx.grad_norms[f"{NORM}/{own}" if own else NORM] = norm_of(parameters)
        if value is not None:
            clip_value(parameters, value)
            known = None
        for group in groups:
            clip_norm(group.parameters, group.norm, watch)
            known = None
        if most is not None:
            clip_norm(parameters, most, watch, known)


def norm_of(parameters: list[torch.nn.Parameter]) -> torch.Tensor:
    """Return the global L2 norm of the gradients, as torch's `get_total_norm` computes it."""
    return torch.nn.utils.get_total_norm(gradients_of(parameters))


def norms_of(ctx: RunContext) -> dict[str, torch.Tensor]:
    """Return the norms that a step logs, of each optimizer that it stepped, and forget them."""
    norms = ctx.grad_norms
    if norms:
        ctx.grad_norms = {}
    return norms


def bounds(optimizer: Any, norm: float | None, name: str | None = None) -> Iterator[tuple[str, Any, float | None]]:
    """Yield what steps now, its name, and the norm to which it is clipped: of several each its own if it has one."""
    clips = optimizer.clips if isinstance(optimizer, Optimizers) else {}
    stepped = due(optimizer) if name is None else members(optimizer, name)
    for own, each in stepped.items():
        yield own, each, clips.get(own) or norm


def gradients_of(parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Return the gradients that there are; of sparse ones, which are coalesced in place, the values."""
    found = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            found.append(parameter.grad.values())
        elif parameter.grad is not None:
            found.append(parameter.grad)
    return found


def clip_value(parameters: list[torch.nn.Parameter], most: float) -> None:
    """Clip each value of the gradients, sparse ones too, to -`most` and `most` as torch's `clip_grad_value_` does.

    One that is infinite becomes the bound; one that is no number stays.
    """
    for gradient in gradients_of(parameters):
        gradient.clamp_(-most, most)


def clip_norm(
    parameters: list[torch.nn.Parameter],
    most: float,
    see: Callable[[torch.Tensor], None] | None = None,
    norm: torch.Tensor | None = None,
) -> None:
    """Clip gradients, sparse ones too, to a global norm as torch's `clip_grad_norm_` does; `see` gets what it was.

    `norm` is what it is, where that is known.
    Under a norm that is not finite they stay as they are, so that only those that are wrong spoil something.
    """
    is_sparse = any(each.grad is not None and each.grad.is_sparse for each in parameters)
    if norm is None:
        norm = norm_of(parameters)
    if see is not None:
        see(norm)
    # On the CPU one that is not finite was looked at, and the run is over.
    bound = norm if norm.is_cpu else torch.nan_to_num(norm, nan=0.0, posinf=0.0)
    if not is_sparse:
        torch.nn.utils.clip_grads_with_norm_(parameters, most, bound)
        return
    share = torch.clamp(most / (bound + 1e-6), max=1.0)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(share)
