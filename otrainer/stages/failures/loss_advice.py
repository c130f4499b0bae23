"""Find what a loss was given, and say why torch's own losses do not take these two sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from otrainer.components.loss import TorchLoss
from otrainer.stages.failures.describe import describe, extremes
from otrainer.stages.failures.frames import receiver, variables

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step
    from otrainer.stages.failures.advice import Misfit

CLASSIFIES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)


def find_loss_call(steps: Sequence[Step]) -> tuple[Any, Any, Any] | None:
    """Return the function, the prediction and the target of a `loss.torch` that is among `steps`."""
    for step in reversed(steps):
        loss, local = receiver(step), variables(step)
        if isinstance(loss, TorchLoss) and "target" in local:
            return loss.fn, local["prediction"], local["target"]
    return None


def judge_sides(fn: Any, prediction: Any, target: Any) -> Misfit | None:
    """Say why a loss of torch's does not take its two sides, and what to do; None where that is not plain."""
    tensors = isinstance(prediction, torch.Tensor) and isinstance(target, torch.Tensor)
    if not type(fn).__module__.startswith("torch.") or not tensors or not prediction.dim():
        return None
    if isinstance(fn, CLASSIFIES):
        return next(filter(None, (judge(prediction, target) for judge in OF_CLASSES)), None)
    if prediction.shape == target.shape:
        return None
    return "Both sides need one shape.", "Let the model give the target's shape, or the data the prediction's."


def wrong_dtype(prediction: torch.Tensor, target: torch.Tensor) -> Misfit | None:
    if not target.is_floating_point() or target.shape == prediction.shape:
        return None
    classes = [*prediction.shape[:1], *prediction.shape[2:]]
    return (
        f"Its target is the number of a class (int64 {classes}), or a probability for each ({describe(prediction)}).",
        "Let the data give whole numbers, or choose a loss for real ones, such as nn.MSELoss.",
    )


def wrong_count(prediction: torch.Tensor, target: torch.Tensor) -> Misfit | None:
    if not target.dim() or target.shape[0] == prediction.shape[0]:
        return None
    return (
        f"The prediction has {prediction.shape[0]} samples, and the target {target.shape[0]}.",
        "Something on the way changes the first dimension: look for a reshape in the model or in the data.",
    )


def wrong_class(prediction: torch.Tensor, target: torch.Tensor) -> Misfit | None:
    found = extremes(target)
    classes = prediction.shape[1 if prediction.dim() > 1 else 0]
    if found is None or (found[0] >= 0 and found[1] < classes):
        return None
    return (
        f"The prediction has {classes} classes, 0 to {classes - 1}, and the target goes from {found[0]} to {found[1]}.",
        "Let the model's last layer have one output a class, or number the classes from 0 on.",
    )


OF_CLASSES = (wrong_dtype, wrong_count, wrong_class)
