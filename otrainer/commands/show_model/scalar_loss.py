"""The value to go backward from: the experiment's loss, or where that needs numbers, a sum of the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from otrainer.commands.show_model.fake import explain, needs_numbers, summarize
from otrainer.commands.show_model.graph_run import has_unknown
from otrainer.commands.show_model.labels import describe_shapes
from otrainer.engine.loss_check import check_loss
from otrainer.engine.tree import leaves
from otrainer.errors import ConfigError, Finding
from otrainer.model.meta import empty_like, remade

if TYPE_CHECKING:
    from otrainer.commands.show_model.estimate import Estimate


def scalar_loss(loss: Any, outputs: Any, targets: Any, batch: Any, estimate: Estimate) -> torch.Tensor | None:
    """Return the loss of the outputs, or what stands for it, noted in `estimate`; None where nothing has a gradient."""
    if has_unknown(outputs):
        estimate.notes.append("The loss is unchecked, as what the model returns is.")
        return sum_outputs(outputs)
    try:
        return check_loss(loss(outputs=outputs, targets=targets, batch=batch, stage="train"), loss)
    except ConfigError as error:
        estimate.findings += error.findings
    except Exception as error:  # noqa: BLE001 - whatever a loss raises is reported with its place
        if needs_numbers(error):
            estimate.notes.append(f"The loss is unchecked, and the sum of the outputs stands for it: {explain(error)}.")
            return sum_outputs(outputs)
        message = f"`{type(loss).__qualname__}` fails: {summarize(error)}."
        hint = f"It was given outputs {describe_shapes(outputs)} and targets {describe_shapes(targets)}."
        estimate.findings.append(Finding(message, title="loss fails", config_path=("loss",), hint=hint))
    return None


def fake_loss_modules(loss: Any, device: torch.device) -> None:
    """Give a loss that is a module, or holds some, tensors without numbers on `device`, where training moves it."""
    for part in (loss, *getattr(loss, "__dict__", {}).values()):
        if isinstance(part, torch.nn.Module):
            remade(part, lambda tensor: empty_like(tensor, device))


def sum_outputs(outputs: Any) -> torch.Tensor | None:
    """Return the sum of all outputs that have a gradient."""
    parts = [leaf.float().sum() for leaf in leaves(outputs) if leaf.requires_grad]
    return torch.stack(parts).sum() if parts else None
