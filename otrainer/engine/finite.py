"""Parameters that are not finite: which, and whether a gradient or the optimizer's step made them so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING

import torch

from otrainer.engine.logs import StepLogs
from otrainer.engine.optimizer import held, names_of
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext


class NotFiniteError(ConfigError):
    """A loss, a gradient or a parameter is infinite or no number."""


def extremes(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    """Return values that are infinite or no number if any of a tensor is; unlike `isfinite`, this takes no memory."""
    if not tensor.numel() or not (tensor.is_floating_point() or tensor.is_complex()):
        return ()
    values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    values = values.float() if values.element_size() == 1 else values  # there is no order of 8-bit floats
    return torch.aminmax(values)


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether all numbers of a tensor are finite; this waits for its device."""
    return all(bool(torch.isfinite(extreme)) for extreme in extremes(tensor.detach()))


def trained(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """Return the parameters that an optimizer holds and changes: a frozen one may hold anything, as a mask does."""
    return [each for each in held(optimizer) if each.requires_grad]


def all_finite(tensors: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
    """Return on a device, without waiting for it, whether all numbers of all tensors are finite."""
    found = [torch.isfinite(extreme).to(device) for each in tensors for extreme in extremes(each.detach())]
    return torch.stack(found).all() if found else torch.ones((), dtype=torch.bool, device=device)


def spoilt(ctx: RunContext) -> Iterator[torch.nn.Parameter]:
    """Yield each parameter that is trained and not finite; this waits for the device."""
    return (each for each in trained(ctx.optimizer) if not is_finite(each))


def first_wrong_gradient(ctx: RunContext) -> str | None:
    """Return the name of the first parameter whose gradient is there and not finite."""
    wrong = (each for each in held(ctx.optimizer) if each.grad is not None and not is_finite(values_of(each.grad)))
    return names_of(ctx).get(id(next(wrong, None)))


def values_of(gradient: torch.Tensor) -> torch.Tensor:
    """Return the numbers of a gradient, of a sparse one those that it holds."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def after_last_step(ctx: RunContext) -> NotFiniteError | None:
    """Report a parameter that is not finite, None where all are, while the gradients of the last step are there."""
    first = next(spoilt(ctx), None)
    if first is None:
        return None
    state = ctx.state
    wrong = [each for each in spoilt(ctx) if each.grad is not None and not is_finite(values_of(each.grad))]
    if wrong:
        return gradient_not_finite(state.global_step, state.epoch, names_of(ctx).get(id(wrong[0])))
    if first.grad is None:
        return long_since(state.global_step, *name_in(ctx, first))
    return step_not_finite(ctx, state.global_step, first)


def before_this_step(ctx: RunContext) -> NotFiniteError | None:
    """Report a parameter that the step before made not finite, None where all are finite; its gradient is gone."""
    first, state = next(spoilt(ctx), None), ctx.state
    if first is None:
        return None
    if state.global_step == 0:
        return from_the_start(*name_in(ctx, first))
    if not isfinite(rate_of(ctx, first)):
        return step_not_finite(ctx, state.global_step, first)
    kept = [value for value in state_of(ctx, first) if value.shape == first.shape]
    # Momentum and averages took the gradient in: where they are finite, so was it.
    if kept and all(map(is_finite, kept)):
        return step_not_finite(ctx, state.global_step, first)
    # A step of plain descent that overflows gives infinity, and never what is no number.
    if kept or (type(ctx.optimizer) is torch.optim.SGD and bool(first.isnan().any())):
        return gradient_not_finite(state.global_step, state.epoch, names_of(ctx).get(id(first)))
    return parameter_not_finite(state.global_step, *name_in(ctx, first))


def name_in(ctx: RunContext, parameter: torch.nn.Parameter) -> tuple[str, str]:
    """Return the part that has a parameter, and its name in it; "optimizer" where none has it."""
    name = names_of(ctx).get(id(parameter))
    if name is None:
        return "optimizer", "?"
    of_model = any(each is parameter for each in ctx.model.parameters())
    return ("model", name) if of_model else ("loss", name.removeprefix("loss."))


def state_of(ctx: RunContext, parameter: torch.nn.Parameter) -> list[torch.Tensor]:
    """Return the tensors that an optimizer keeps for a parameter."""
    state = getattr(ctx.optimizer, "state", {}).get(parameter)
    return [value for value in state.values() if isinstance(value, torch.Tensor)] if isinstance(state, dict) else []


def rate_of(ctx: RunContext, parameter: torch.nn.Parameter) -> float:
    """Return the learning rate that a parameter's last step was taken with, 0 where it is not known."""
    logs = ctx.last_train_logs
    rates = logs.rates if isinstance(logs, StepLogs) else ()
    for rate, group in zip(rates, ctx.optimizer.param_groups, strict=False):
        if any(each is parameter for each in group["params"]):
            return float(rate)
    return 0.0


def gradient_not_finite(step: int, epoch: int, name: str | None) -> NotFiniteError:
    """Report a step whose loss was finite and whose gradient was not."""
    whose = "some parameter" if name is None else f"`{name}`"
    message = f"The loss of step {step:,}, in epoch {epoch}, is finite, and its gradient for {whose} is not."
    hint = (
        "Look for a function that has no slope where it was asked for one: a root or a logarithm at 0, a norm of "
        "zeros, a division. Adding a small number there helps. Checkpoints stay."
    )
    return NotFiniteError(message, title="gradient is not finite", config_path=("loss",), hint=hint)


def step_not_finite(ctx: RunContext, step: int, parameter: torch.nn.Parameter) -> NotFiniteError:
    """Report a parameter whose gradient was finite, and that is not so itself after the optimizer's step."""
    rate, (part, name) = rate_of(ctx, parameter), name_in(ctx, parameter)
    if not isfinite(rate):
        message = (
            f"After step {step:,}, `{name}` of the {part} is not finite: the learning rate of that step was {rate}."
        )
        path = "optimizer" if ctx.scheduler is None else "scheduler"
        hint = "Look at what sets the learning rate. Checkpoints stay."
        return NotFiniteError(message, title="parameters are not finite", config_path=(path,), hint=hint)
    message = (
        f"After step {step:,}, `{name}` of the {part} is not finite, though its gradient is: the optimizer's step made "
        "it so."
    )
    hint = "Try a smaller learning rate, or an `eps` above 0, without which Adam divides by zero. Checkpoints stay."
    return NotFiniteError(message, title="parameters are not finite", config_path=("optimizer",), hint=hint)


def long_since(step: int, part: str, name: str) -> NotFiniteError:
    """Report a parameter that is not finite, and that the last step had no gradient for."""
    return NotFiniteError(
        f"After step {step:,}, `{name}` of the {part} is not finite. The last step had no gradient for it, so it was "
        "so before.",
        title="parameters are not finite",
        config_path=("optimizer",),
        hint="Look for a root or a logarithm at 0, a norm of zeros, a division, or a learning rate that is too large. "
        "One that is meant to hold such values is a buffer, or has `requires_grad_(False)`. Checkpoints stay.",
    )


def from_the_start(part: str, name: str) -> NotFiniteError:
    """Report a parameter that no step has changed yet, and that is not finite."""
    return NotFiniteError(
        f"Before the first step, `{name}` of the {part} is not finite.",
        title="parameters are not finite",
        config_path=("model",),
        hint="Look at how it is initialised: `torch.empty` leaves what was in the memory before. One that is meant to "
        "hold such values is a buffer, or has `requires_grad_(False)`.",
    )


def parameter_not_finite(step: int, part: str, name: str) -> NotFiniteError:
    """Report a parameter that a step made not finite, by its gradient or by itself."""
    return NotFiniteError(
        f"After step {step:,}, `{name}` of the {part} is not finite. Checkpoints stay.",
        title="parameters are not finite",
        config_path=("optimizer",),
        hint="A smaller learning rate or `trainer.grad_clip_norm` may keep it finite, unless its gradient was not: "
        "then look for a root or a logarithm at 0, a norm of zeros, a division.",
    )
