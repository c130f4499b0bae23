"""Check the training loss: it has to be a scalar with a gradient, and finite."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import torch

from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.state import TrainState


class LossWatch:
    """Stops a run whose loss is not finite.

    On the CPU each loss is looked at before it changes a parameter. Elsewhere looking means waiting for the device, so
    losses are put by until `look` is called, which still names the first one that was wrong.
    """

    def __init__(self, device: torch.device, state: TrainState) -> None:
        self.state = state
        self.at_once = device.type == "cpu"
        self._waiting: list[tuple[int, int, int, torch.Tensor]] = []

    def see(self, loss: torch.Tensor, index: int) -> float | torch.Tensor:
        """Take the loss of a step's micro-batch number `index`, from 0; return its value, without a graph.

        Raises ConfigError as `look` does.
        """
        state = self.state
        if self.at_once:
            value = loss.item()
            if not isfinite(value):
                raise not_finite(value, state.global_step + 1, state.epoch, state.micro_step_in_epoch + index)
            return value
        kept = loss.detach()
        self._waiting.append((state.global_step + 1, state.epoch, state.micro_step_in_epoch + index, kept))
        return kept

    def look(self) -> None:
        """Look at all that was put by; raise ConfigError for the first that is not finite."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        values = torch.stack([loss.reshape(()).float() for *_, loss in waiting]).tolist()
        for (step, epoch, batch, _), value in zip(waiting, values, strict=True):
            if not isfinite(value):
                raise not_finite(value, step, epoch, batch)


def not_finite(value: float, step: int, epoch: int, batch: int) -> ConfigError:
    message = f"The loss of step {step:,} is {value}: batch {batch:,} of epoch {epoch}, both counted from 0."
    hint = "Look at that batch, or try a smaller learning rate or `trainer.grad_clip_norm`. Checkpoints stay."
    return ConfigError(message, title="loss is not finite", config_path=("loss",), hint=hint)


def check_loss(result: Any, loss: Any) -> torch.Tensor:
    """Return the loss that a component returned; raise ConfigError unless it is a scalar that has a gradient."""
    value = getattr(result, "loss", None)
    if isinstance(value, torch.Tensor) and value.numel() == 1 and value.requires_grad:
        return value
    if isinstance(value, torch.Tensor):
        wrong = f"`loss` of shape {tuple(value.shape)}" if value.numel() != 1 else "`loss` without a gradient"
    else:
        wrong = "None" if result is None else f"a {type(result).__name__}"
    message = f"`{type(loss).__qualname__}` returned {wrong}."
    hint = "It returns `LossOutput(loss=...)` of otrainer.components.loss, with a scalar that depends on the model."
    raise ConfigError(message, title="not a loss", config_path=("loss",), hint=hint)
