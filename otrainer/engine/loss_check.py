"""Check the training loss: it has to be a scalar with a gradient, and finite."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.finite import (
    NotFiniteError,
    after_last_step,
    all_finite,
    before_this_step,
    first_wrong_gradient,
    gradient_not_finite,
    parameter_not_finite,
    trained,
)
from otrainer.engine.weights import checked_weight
from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

REDUCTIONS = ("mean", "sum")
# In place of a batch's number.
GRADIENTS = -1
PARAMETERS = -2
WEIGHTS = -3


class LossWatch:
    """Stops a run whose loss, the norm of whose gradients, or a parameter at an epoch's end, is not finite.

    On the CPU each one is looked at before it changes a parameter. Elsewhere looking means waiting for the device, so
    they are put by until `look` is called, which still names the first one that was wrong.
    """

    def __init__(self, ctx: RunContext, device: torch.device) -> None:
        self.ctx = ctx
        self.at_once = device.type == "cpu"
        self._waiting: list[tuple[int, int, int, torch.Tensor]] = []

    def read(self, loss: torch.Tensor) -> float | torch.Tensor:
        """Return the value of a loss, without a graph; a number where that means no waiting."""
        return loss.item() if self.at_once else loss.detach()

    def is_right(self, value: float | torch.Tensor) -> bool:
        """Return whether a loss is finite, as far as that is known."""
        return not self.at_once or isfinite(value)

    def passes(self, value: float | torch.Tensor, index: int) -> bool:
        """Return whether a loss is finite, as far as that is known; one on a device is put by."""
        if self.at_once:
            return isfinite(value)
        self.see(value, index)
        return True

    def see(self, value: float | torch.Tensor, index: int) -> None:
        """Take what was read of the loss of a step's micro-batch number `index`, from 0.

        Raises ConfigError as `look` does.
        """
        state = self.ctx.state
        if isinstance(value, torch.Tensor):
            batch = state.micro_step_in_epoch + index
            self._waiting.append((state.global_step + 1, state.epoch, batch, value))
        elif not isfinite(value):
            raise self._not_finite(value, state.global_step + 1, state.epoch, state.micro_step_in_epoch + index)

    def see_weight(self, weight: float | torch.Tensor, index: int) -> None:
        """Take what a step's micro-batch counts; one on a device is looked at by `look`."""
        if isinstance(weight, torch.Tensor):
            state = self.ctx.state
            self._waiting.append((state.global_step + 1, state.epoch, WEIGHTS, weight))

    def see_norm(self, norm: torch.Tensor | None) -> None:
        """Take the norm of a step's gradients, where it is known; raises ConfigError as `look` does."""
        state = self.ctx.state
        if norm is None:
            return
        if not self.at_once:
            self._waiting.append((state.global_step + 1, state.epoch, GRADIENTS, norm.detach()))
        elif not isfinite(norm.item()):
            raise gradient_not_finite(state.global_step + 1, state.epoch, first_wrong_gradient(self.ctx))

    def see_parameters(self) -> None:
        """Take whether the parameters are finite after an epoch's last step, which no loss has seen yet.

        Raises ConfigError as `look` does.
        """
        ctx, state = self.ctx, self.ctx.state
        if not self.at_once:
            is_right = all_finite(trained(ctx.optimizer), ctx.device)
            value = torch.where(is_right, 0.0, float("nan"))
            self._waiting.append((state.global_step, state.epoch, PARAMETERS, value))
        elif error := after_last_step(ctx):
            raise error

    def look(self) -> None:
        """Look at all that was put by; raise ConfigError for the first that is not finite."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        values = torch.stack([loss.reshape(()).float() for *_, loss in waiting]).tolist()
        for (step, epoch, batch, _), value in zip(waiting, values, strict=True):
            if batch == WEIGHTS:
                checked_weight(value)
            elif not isfinite(value):
                if batch == PARAMETERS:
                    raise after_last_step(self.ctx) or parameter_not_finite(step, "optimizer", "?")
                if batch == GRADIENTS:
                    # Gradients are there until the next step takes its own.
                    is_last = step == self.ctx.state.global_step
                    raise gradient_not_finite(step, epoch, first_wrong_gradient(self.ctx) if is_last else None)
                raise self._not_finite(value, step, epoch, batch)

    def _not_finite(self, value: float, step: int, epoch: int, batch: int) -> ConfigError:
        """Report a loss; where parameters were not finite before it, the step before made them so."""
        before = before_this_step(self.ctx) if self.at_once else None
        return before or not_finite(value, step, epoch, batch)


def not_finite(value: float, step: int, epoch: int, batch: int) -> NotFiniteError:
    message = f"The loss of step {step:,} is {value}: batch {batch:,} of epoch {epoch}, both counted from 0."
    hint = "Look at that batch, or try a smaller learning rate or `trainer.grad_clip_norm`. Checkpoints stay."
    return NotFiniteError(message, title="loss is not finite", config_path=("loss",), hint=hint)


def check_loss(result: Any, loss: Any, *, trains: bool = True) -> torch.Tensor:
    """Return the loss that a component returned.

    Raises ConfigError unless it is a real scalar, which has a gradient where it `trains`.
    """
    value = getattr(result, "loss", None)
    if isinstance(value, torch.Tensor):
        is_complex = value.is_complex()
        if value.numel() == 1 and (value.requires_grad or not trains) and not is_complex:
            return value
        kind = "of complex numbers" if is_complex else "without a gradient"
        wrong = f"`loss` of shape {tuple(value.shape)}" if value.numel() != 1 else f"`loss` {kind}"
    else:
        wrong = "None" if result is None else f"a {type(result).__name__}"
    message = f"`{type(loss).__qualname__}` returned {wrong}."
    hint = "It returns `LossOutput(loss=...)` of otrainer.components.loss, with a scalar that depends on the model."
    raise ConfigError(message, title="not a loss", config_path=("loss",), hint=hint)


def is_sum(result: Any, loss: Any) -> bool:
    """Return whether what a component returned is a sum, not a mean; raise ConfigError for any other reduction."""
    reduction = getattr(result, "reduction", "mean")
    if reduction in REDUCTIONS:
        return bool(reduction == "sum")
    raise ConfigError(
        f"`{type(loss).__qualname__}` returned a loss whose `reduction` is {reduction!r}.",
        title="unknown reduction",
        config_path=("loss",),
        suggestions=nearest(str(reduction).lower(), REDUCTIONS),
        hint="It is `mean`, or `sum` where the loss is a sum over its `weight`.",
    )
