"""What a loss was given: both sides with their shapes, and why torch's own losses do not take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from otrainer.components.loss import TorchLoss
from otrainer.stages.failures.parts import subject_of
from otrainer.stages.failures.values import described, extremes

if TYPE_CHECKING:
    from otrainer.diagnostics.exceptions import Step

CLASSIFIES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)


def sides(steps: Sequence[Step]) -> tuple[Any, Any, Any] | None:
    """The function, the prediction and the target of a `loss.torch` that is among `steps`."""
    for step in reversed(steps):
        subject = subject_of(step.frame) if step.frame else None
        if step.frame and isinstance(subject, TorchLoss) and "target" in step.frame.f_locals:
            return subject.fn, step.frame.f_locals["prediction"], step.frame.f_locals["target"]
    return None


def misfit(fn: Any, prediction: Any, target: Any) -> tuple[str, str]:
    """Why a loss of torch's does not take its two sides, and what to do; empty where that is not plain."""
    tensors = isinstance(prediction, torch.Tensor) and isinstance(target, torch.Tensor)
    if not type(fn).__module__.startswith("torch.") or not tensors or not prediction.dim():
        return "", ""
    if isinstance(fn, CLASSIFIES):
        return next(filter(any, (judge(prediction, target) for judge in OF_CLASSES)), ("", ""))
    if prediction.shape != target.shape:
        return (
            "Both sides need one shape.",
            "Let the model give the target's shape, or the data the prediction's.",
        )
    return "", ""


def wrong_dtype(prediction: torch.Tensor, target: torch.Tensor) -> tuple[str, str]:
    if not target.is_floating_point() or target.shape == prediction.shape:
        return "", ""
    classes = [*prediction.shape[:1], *prediction.shape[2:]]
    return (
        f"Its target is the number of a class (int64 {classes}), or a probability for each ({described(prediction)}).",
        "Let the data give whole numbers, or choose a loss for real ones, such as nn.MSELoss.",
    )


def wrong_count(prediction: torch.Tensor, target: torch.Tensor) -> tuple[str, str]:
    if target.dim() and target.shape[0] != prediction.shape[0]:
        return (
            f"The prediction has {prediction.shape[0]} samples, and the target {target.shape[0]}.",
            "Something on the way changes the first dimension: look for a reshape in the model or in the data.",
        )
    return "", ""


def wrong_class(prediction: torch.Tensor, target: torch.Tensor) -> tuple[str, str]:
    found = extremes(target)
    classes = prediction.shape[1 if prediction.dim() > 1 else 0]
    if found is None or (found[0] >= 0 and found[1] < classes):
        return "", ""
    return (
        f"The prediction has {classes} classes, 0 to {classes - 1}, and the target goes from {found[0]} to {found[1]}.",
        "Let the model's last layer have one output a class, or number the classes from 0 on.",
    )


OF_CLASSES = (wrong_dtype, wrong_count, wrong_class)
