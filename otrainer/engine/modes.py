"""Training and evaluation modes: whatever they were before validation, they are after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.averaging import averaged_buffers, fill
from otrainer.engine.optimizer import held

if TYPE_CHECKING:
    from torch import nn

    from otrainer.engine.state import RunContext


@contextmanager
def evaluating(modules: Sequence[nn.Module], ctx: RunContext) -> Iterator[None]:
    """Set modules to evaluation, and the weights to those that are for use, in the block."""
    with ExitStack() as after:
        if ctx.averaging is None or ctx.averaging.validates:
            after.enter_context(weights_for_use(ctx))
        for module in modules:
            after.callback(restore_modes, module, [(each, each.training) for each in module.modules()])
            module.eval()
        yield


def anomalies_told(is_asked: bool) -> AbstractContextManager[Any]:
    """Let torch say in the block which operation's gradient is no number first, where that is asked for."""
    return torch.autograd.set_detect_anomaly(True) if is_asked else nullcontext()


@contextmanager
def judging(modules: Sequence[nn.Module], *, gradients: bool) -> Iterator[None]:
    """Record no graph in the block, or where validation differentiates, leave the gradients of training as they are."""
    if not gradients:
        with torch.no_grad():
            yield
        return
    kept = [(each, each.grad) for module in modules for each in module.parameters()]
    for each, _ in kept:
        each.grad = None
    try:
        with torch.enable_grad():
            yield
    finally:
        for each, gradient in kept:
            each.grad = gradient


def restore_modes(root: nn.Module, modes: Sequence[tuple[nn.Module, bool]]) -> None:
    """Put the modes of a module's parts back; `train()` is called once, since a class may do more in it."""
    root.train(modes[0][1])
    put_back(modes)


def put_back(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    """Set modules, given from the outermost on, to their modes: by `train` where one does more in it."""
    for module, training in modes:
        if module.training is not training:
            if does_more(module):
                module.train(training)
            else:
                module.training = training


def does_more(module: nn.Module) -> bool:
    """Return whether a module has a `train` of its own, which may leave parts of it in evaluation mode."""
    return type(module).train is not torch.nn.Module.train or "train" in vars(module)


def begin_training(root: nn.Module) -> None:
    """Call `train()` of those parts in training mode that do more in it, once, as every loop does at its start.

    What is in evaluation mode stays in it.
    """
    modes = [(module, module.training) for module in root.modules()]
    reached: set[nn.Module] = set()
    for module, training in modes:
        if training and module not in reached and does_more(module):
            module.train()
            reached.update(module.modules())
    if reached:
        put_back([(module, training) for module, training in modes if not training])


def has_modes(optimizer: Any) -> bool:
    """Return whether an optimizer is switched itself: a schedule-free one trains other weights than it gives."""
    return callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None))


def set_mode(optimizer: Any, mode: str) -> None:
    """Call `train()` or `eval()` of an optimizer that has both."""
    if has_modes(optimizer):
        switch: Callable[[], Any] = getattr(optimizer, mode)
        switch()


@contextmanager
def weights_for_use(ctx: RunContext) -> Iterator[list[torch.Tensor]]:
    """Set the weights to those for use, averages or what an optimizer with modes has, in the block; all bits are back
    after it.

    Yields copies of the weights that are trained, in the optimizer's order; none where they are for use themselves.
    """
    optimizer: Any = ctx.optimizer
    if ctx.averaging is not None:
        with ctx.averaging.in_use(optimizer) as trained:
            yield trained
        return
    if not has_modes(optimizer):
        yield []
        return
    trained = [parameter.detach().clone() for parameter in held(optimizer)]
    optimizer.eval()
    try:
        yield trained
    finally:
        go_on_with(optimizer, trained)  # back and forth rounds, so the bits are put back


def train_on(ctx: RunContext, trained: Sequence[torch.Tensor]) -> None:
    """Train on with these weights, and take those that there are now for the averages, where a run has some.

    Buffers of the model may follow the weights, where the run of a checkpoint averaged them.
    """
    weights = len(held(ctx.optimizer))
    if ctx.averaging is not None:
        ctx.averaging.take(ctx.optimizer)
    go_on_with(ctx.optimizer, trained[:weights])
    if buffers := trained[weights:]:
        fill([*averaged_buffers(ctx.model).values()], buffers)


def go_on_with(optimizer: Any, trained: Sequence[torch.Tensor]) -> None:
    """Switch an optimizer with modes to training, with these weights."""
    set_mode(optimizer, "train")
    fill(held(optimizer), trained)
