"""The value to go backward from: the experiment's loss, or where that needs numbers, a sum of the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from otrainer.commands.show_model.fake import is_unfollowed, reason, said
from otrainer.commands.show_model.trace import unknown_in
from otrainer.commands.show_model.words import shapes
from otrainer.engine.loss_check import check_loss
from otrainer.engine.tree import leaves
from otrainer.errors import ConfigError, Finding
from otrainer.model.meta import empty_like, remade

if TYPE_CHECKING:
    from otrainer.commands.show_model.estimate import Estimate


def scalar(loss: Any, outputs: Any, targets: Any, batch: Any, made: Estimate) -> torch.Tensor | None:
    """The loss of the outputs, or what stands for it, which `made` is told; None where nothing has a gradient."""
    if unknown_in(outputs):
        made.notes.append("The loss is unchecked, as what the model returns is.")
        return summed(outputs)
    try:
        return check_loss(loss(outputs=outputs, targets=targets, batch=batch, stage="train"), loss)
    except ConfigError as error:
        made.findings += error.findings
    except Exception as error:  # noqa: BLE001 - whatever a loss raises is told with its place
        if is_unfollowed(error):
            made.notes.append(f"The loss is unchecked, and the sum of the outputs stands for it: {reason(error)}.")
            return summed(outputs)
        message = f"`{type(loss).__qualname__}` fails: {said(error)}."
        hint = f"It was given outputs {shapes(outputs)} and targets {shapes(targets)}."
        made.findings.append(Finding(message, title="loss fails", config_path=("loss",), hint=hint))
    return None


def place(loss: Any, device: torch.device) -> None:
    """Let a loss that is a module, or holds some, have tensors without numbers on `device`, as training moves it."""
    for part in (loss, *getattr(loss, "__dict__", {}).values()):
        if isinstance(part, torch.nn.Module):
            remade(part, lambda tensor: empty_like(tensor, device))


def summed(outputs: Any) -> torch.Tensor | None:
    """The sum of all outputs that have a gradient."""
    parts = [leaf.float().sum() for leaf in leaves(outputs) if leaf.requires_grad]
    return torch.stack(parts).sum() if parts else None
