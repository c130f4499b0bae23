"""The gradients of a step: those of one batch that holds all of its micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from otrainer.engine.epoch_means import note_weight
from otrainer.engine.logs import check_norms, detached
from otrainer.engine.loss_check import check_loss, is_sum
from otrainer.engine.metrics import update_metrics
from otrainer.engine.optimizer import clear_gradients, drop_fused, held
from otrainer.engine.optimizers import Optimizers
from otrainer.engine.own_step import OwnStep, logs_of, whole_batch
from otrainer.engine.rates import check_names
from otrainer.engine.tokens import Gathering, TokenShares
from otrainer.engine.weights import Shares, counts_nothing, weight_of
from otrainer.engine.within_step import tell_batch, without_graph

if TYPE_CHECKING:
    import torch

    from otrainer.engine.session import Session

Group = Sequence[Any] | Gathering  # the micro-batches of a step


def evaluate(session: Session, group: Group, *, first: bool = True) -> tuple[list[dict[str, Any]], Shares]:
    """Take the gradients of a step anew, those of one batch that holds all of `group`.

    Not `first`, they are those of a trial inside the step: a line search backs off from one that is not finite.
    """
    clear_gradients(session.ctx.optimizer)
    if isinstance(session.ctx.optimizer, Optimizers):
        session.ctx.optimizer.number = session.ctx.state.global_step + 1
    if isinstance(group, Gathering):
        return gather(session, group, first=first)
    shares = Shares(len(group))
    if len(group) == 1:
        return [backward(session, group[0], 0, shares, first=first)], shares
    rows = [backward(session, batch, index, shares, first=first) for index, batch in enumerate(group)]
    shares.settle(held(session.ctx.optimizer))
    return rows, shares


def gather(session: Session, group: Gathering, *, first: bool) -> tuple[list[dict[str, Any]], Shares]:
    """Take the gradients of as many micro-batches as a step of some tokens has."""
    shares = TokenShares(group.tokens)
    taken = enumerate(group.take(shares))
    rows = [backward(session, batch, index, shares, first=first) for index, batch in taken]
    shares.settle(held(session.ctx.optimizer))
    return rows, shares


def backward(session: Session, batch: Any, index: int, shares: Shares, *, first: bool = True) -> dict[str, Any]:
    """Add the gradients of one of a step's micro-batches; return what is logged of it."""
    ctx, accelerator = session.ctx, session.accelerator
    own: OwnStep | None = ctx.own if ctx.own is not None and ctx.own.trains else None
    if own is not None:
        result = own.take(session, batch, index, first=first)
        if own.stepped:
            row = logs_of(result)
            if ctx.epoch_means is not None:
                note_weight(session, None, shares, whole_batch(batch), None, index)
            if session.sees_batches:
                tell_batch(session, batch, None, row)
            return row
        inputs, targets, meta, outputs = whole_batch(batch), None, None, None
    else:
        inputs, targets, meta = ctx.io.split(batch, stage="train")
        with accelerator.autocast():
            outputs = session.forward(*inputs.args, **inputs.kwargs)
            result = ctx.loss(outputs=outputs, targets=targets, batch=batch, stage="train")
    loss, logs = check_loss(result, ctx.loss), getattr(result, "logs", None)
    seen = session.watch.read(loss)
    share: torch.Tensor | None = loss
    shares.kind = loss.dtype
    if not shares.is_single or session.is_first_step or (first and not session.watch.passes(seen, index)):
        share = shared(session, shares, result, loss, seen, (inputs, meta, index), first=first)
    if first and ctx.epoch_means is not None:
        note_weight(session, result, shares, inputs, meta, index)
    output = without_graph(result, loss) if session.sees_batches and first else None
    del result, loss
    if not ctx.metrics:
        del outputs  # its memory, where the loss does not need it, is free for the gradients
    if share is not None:
        accelerator.backward(share)
    if ctx.metrics and first and own is None:
        update_metrics(session, outputs, targets, batch, "train", number=index)
    row = {"loss": seen} if type(logs) is dict and not logs else detached(seen, logs)
    if output is not None:
        tell_batch(session, batch, output, row)
    return row


def shared(
    session: Session,
    shares: Shares,
    result: Any,
    loss: torch.Tensor,
    seen: float | torch.Tensor,
    batch: Any,
    *,
    first: bool,
) -> torch.Tensor | None:
    """Return what a micro-batch adds to the loss of its step; None where it counts nothing."""
    ctx, (inputs, meta, index) = session.ctx, batch
    shares.is_sum = is_sum(result, ctx.loss)
    is_needed, number = not shares.is_single or not session.watch.is_right(seen), ctx.state.micro_step_in_epoch + index
    loader = ctx.train if shares.by_samples else None
    weight = weight_of(result, meta, loader, number, inputs, is_needed=is_needed)
    if counts_nothing(weight):
        shares.weights.append(weight)
        return None
    if first:
        session.watch.see(seen, index)
    if is_needed:
        session.watch.see_weight(weight, index)
    return shares.share(loss, weight)


def look_first(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Look, before the first step changes anything, at what its loss logs and at the gradients that there are."""
    session.is_first_step = False
    check_names(session.ctx.optimizer, rows)
    check_norms(session.ctx.grad_norms, rows)
    if session.chose_fused:
        drop_fused(session.ctx.optimizer)
