"""The optimizer of a run: built over the model, joined by the loss's parameters, and asked what it holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.factories import check_optimizer
from otrainer.engine.loss_modules import loss_parameters
from otrainer.engine.optimizers import OF, Optimizers
from otrainer.engine.unregistered import unregistered
from otrainer.errors import ConfigError, ConfigPath, nearest

if TYPE_CHECKING:
    from otrainer.engine.parts import Parts

log = logging.getLogger("otrainer")
MOST_NAMED = 4
FUSED = "fused"


def build_optimizer(parts: Parts) -> torch.optim.Optimizer:
    """Return what the optimizer's factory builds, over the parameters of the loss too.

    Raises ConfigError where that is no optimizer.
    """
    with off_the_compiler():
        optimizer: torch.optim.Optimizer = parts.optimizer_factory.build(parts.model, registry=parts.registry)
        check_optimizer(optimizer, parts.optimizer_factory)
        known = {id(parameter) for parameter in (*held(optimizer), *parts.model.parameters())}
        own = [each for each in loss_parameters(parts.loss).values() if each.requires_grad and id(each) not in known]
        if isinstance(optimizer, Optimizers):
            if own and optimizer.trains_loss is not None:
                optimizer.add_param_group({"params": own, "name": "loss", OF: optimizer.trains_loss})
        elif own and isinstance(optimizer, torch.optim.LBFGS):  # which takes one group only
            optimizer.param_groups[0]["params"].extend(own)
        elif own:
            optimizer.add_param_group({"params": own})
    return optimizer


def members(optimizer: Any, name: str | None = None, path: ConfigPath = ("optimizer",)) -> dict[str, Any]:
    """Return the optimizers of a run by their names, or one of them; a single one has the name "".

    Raises ConfigError for a name that there is not, at `path`.
    """
    named: dict[str, Any] = optimizer.members if isinstance(optimizer, Optimizers) else {"": optimizer}
    if name is None:
        return named
    if name not in named:
        raise ConfigError(
            f"There is no optimizer `{name}`.",
            title="unknown optimizer",
            config_path=path,
            suggestions=nearest(name, named),
            hint=f"There is {', '.join(f'`{each}`' for each in named) if '' not in named else 'one without a name'}.",
        )
    return {name: named[name]}


def due(optimizer: Any) -> dict[str, Any]:
    """Return the optimizers of a run that have their turn in the step to come, by their names."""
    return optimizer.due if isinstance(optimizer, Optimizers) else {"": optimizer}


@contextmanager
def only(optimizer: Any, name: str) -> Iterator[None]:
    """Let none but the parameters of one of the optimizers require gradients in the block."""
    mine = {id(each) for member in members(optimizer, name).values() for each in held(member)}
    others = [each for each in held(optimizer) if each.requires_grad and id(each) not in mine]
    for each in others:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in others:
            each.requires_grad_(True)


def held(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """Return the parameters that an optimizer holds now, in its order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def names_of(parts: Any) -> dict[int, str]:
    """Return the names of the parameters of `parts.model` and `parts.loss`, by id; those of the loss begin with it."""
    names = {id(parameter): f"loss.{name}" for name, parameter in loss_parameters(parts.loss).items()}
    return names | {id(parameter): name for name, parameter in parts.model.named_parameters()}


def tell_left_out(optimizer: torch.optim.Optimizer, parts: Any) -> None:
    """Warn of parameters that require gradients and that the optimizer does not hold: nothing trains them."""
    holds = held(optimizer)
    known = {id(parameter) for parameter in holds}
    trains = [*parts.model.parameters(), *loss_parameters(parts.loss).values()]
    names = names_of(parts)
    if left := [names[id(each)] for each in trains if each.requires_grad and id(each) not in known]:
        log.warning(
            "the optimizer does not hold %s: they require gradients, and stay as they are. Freeze them by "
            "`requires_grad_(False)`, or hand them to the optimizer.",
            several(left),
        )
    if astray := unregistered(parts, (*holds, *trains)):
        log.warning(
            "nothing trains, moves or saves as parameters %s: they require gradients, and lie where no module or loss "
            "has its own. Hold layers in an `nn.ModuleList` or `nn.ModuleDict` of the model, and tensors in it as "
            "`nn.Parameter`; a loss has its own in its attributes, or is an `nn.Module` itself. What is not to be "
            "trained is frozen by `requires_grad_(False)`.",
            several(astray),
        )


def several(names: Sequence[str]) -> str:
    """Return the first of some names, and how many there are besides."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:MOST_NAMED]) + more


def clear_gradients(optimizer: Any) -> None:
    """Do what `zero_grad` does, in a fifth of its time; call an optimizer's own where it has one."""
    if isinstance(optimizer, Optimizers):
        for each in optimizer.members.values():
            clear_gradients(each)
    elif type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad:
        with off_the_compiler():
            optimizer.zero_grad(set_to_none=True)
    else:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def fits_fused(parameter: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether fused kernels may go through a parameter and another tensor as through two flat arrays."""
    if other.layout != torch.strided or parameter.layout != torch.strided:
        return False
    strides = zip(parameter.shape, parameter.stride(), other.stride(), strict=True)
    return is_dense(parameter) and all(one == two for size, one, two in strides if size != 1)


def is_dense(tensor: torch.Tensor) -> bool:
    """Return whether a tensor fills the memory that it spans, each place once: a slice of another one does not."""
    spans = sorted((stride, size) for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size != 1)
    place = 1
    for stride, size in spans:
        if stride != place:
            return False
        place *= size
    return True


def drop_fused(optimizer: torch.optim.Optimizer) -> None:
    """Step without the fused kernels where they do not take, or on the CPU would misread, a gradient.

    It is sparse, or lies in memory in another order than its parameter. Nothing was stepped yet.
    """
    if isinstance(optimizer, Optimizers):
        for each in optimizer.members.values():
            drop_fused(each)
        return
    for group in optimizer.param_groups:
        if group.get(FUSED) and any(p.grad is not None and not fits_fused(p, p.grad) for p in group["params"]):
            group[FUSED] = False
    optimizer.defaults[FUSED] = all(group.get(FUSED) for group in optimizer.param_groups)
    if not optimizer.defaults[FUSED]:
        for group in optimizer.param_groups:
            group[FUSED] = False


def call_step(step: Callable[[], Any], *, chose_fused: bool) -> Any:
    """Call an optimizer's step; say what to do where it wants a closure, or has no fused kernel for a gradient."""
    try:
        return step()
    except (RuntimeError, TypeError, AssertionError) as cause:
        if "closure" in str(cause).lower():
            message = f"The optimizer's `step` failed without a closure: {cause}"
            hint = "Give its class the attribute `needs_closure = True`; `step(closure)` then evaluates the loss again."
        elif chose_fused and "_fused_" in str(cause):
            message = f"The fused kernels, which were chosen where `fused` is left out, failed: {cause}"
            hint = "Write `fused: false` in `optimizer.kwargs`."
        else:
            raise
        raise ConfigError(message, title="optimizer failed", config_path=("optimizer",), hint=hint) from cause
