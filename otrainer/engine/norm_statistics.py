"""Statistics of a model's norms for the averages of its weights, by a pass over training data: torch's `update_bn`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from otrainer.engine.attributes import attributes_kept
from otrainer.engine.averaging import norms_in, statistics_of
from otrainer.engine.data.loader import Loader
from otrainer.engine.modes import restore_modes
from otrainer.engine.seed import derive_seed, seeded

if TYPE_CHECKING:
    from torch.nn.modules.batchnorm import _BatchNorm

    from otrainer.engine.session import Session

log = logging.getLogger("otrainer")


def average_epoch(session: Session) -> None:
    """Take in the weights of an epoch that was trained to its end, if it counts, and make their statistics anew."""
    ctx = session.ctx
    if ctx.averaging is None:
        return
    if not ctx.state.is_cut:
        ctx.averaging.end_epoch(ctx.optimizer, ctx.state.epoch + 1)
    update_norms(session)


def update_norms(session: Session) -> None:
    """Make the statistics of the averages anew, where that is asked for and they changed since.

    A function of the averages and the run's seed alone: batches are the first ones of epoch 0, each norm in training
    mode takes the mean over them, and all that the pass changes besides is put back.
    Raises TrainingInterrupted after a signal.
    """
    ctx = session.ctx
    if ctx.averaging is None or not ctx.averaging.is_behind:
        return
    most = ctx.averaging.update_bn
    with ctx.averaging.in_use(ctx.optimizer), passing(ctx.model, ctx.run.seed) as norms:
        if norms:
            loader = Loader(ctx.datamodule.train_dataloader, seed=ctx.run.seed, stage="train")
            try:
                with loader.peeking(0, None if most is True else most) as batches:
                    for batch in session.accelerator.placed(batches):
                        session.stop.raise_if_asked()
                        pass_through(session, batch)
            finally:
                loader.close()
        elif not ctx.averaging.told:
            log.warning("`update_bn`: the model has no BatchNorm that is in training mode, so nothing is made anew")
        found = {name: buffer.clone() for name, buffer in statistics_of(norms).items()}
    ctx.averaging.catch_up(found)


def pass_through(session: Session, batch: Any) -> None:
    inputs, _, _ = session.ctx.io.split(batch, stage="train")
    with torch.no_grad(), session.accelerator.autocast():
        session.ctx.model(*inputs.args, **inputs.kwargs)


@contextmanager
def passing(model: nn.Module, seed: int) -> Iterator[dict[str, _BatchNorm]]:
    """Let norms in training mode take means from here on; put all but those statistics back after the block."""
    modes = [(each, each.training) for each in model.modules()]
    norms = {name: each for name, each in norms_in(model).items() if each.training}
    momenta = {norm: norm.momentum for norm in norms.values()}
    # Those of floating point are put back with the weights.
    counts = [(each, each.clone()) for each in model.buffers() if not each.is_floating_point()]
    with seeded(derive_seed(seed, "update_bn")), attributes_kept((model,)):
        try:
            for norm in norms.values():
                norm.reset_running_stats()
                norm.momentum = None
            yield norms
        finally:
            for norm, momentum in momenta.items():
                norm.momentum = momentum
            for each, count in counts:
                each.copy_(count)
            restore_modes(model, modes)
