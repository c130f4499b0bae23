"""Losses: what the trainer asks for, and torch's own behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from otrainer.components.io import checked_path, pick_one
from otrainer.components.tensors import with_float_weights
from otrainer.errors import ConfigError
from otrainer.protocols import LossOutput as LossOutput

if TYPE_CHECKING:
    from otrainer.engine.tree import Path

# They broadcast two shapes that differ, and so compare numbers that do not belong together; the others refuse.
BROADCASTING = (
    nn.HingeEmbeddingLoss, nn.HuberLoss, nn.KLDivLoss, nn.L1Loss, nn.MSELoss, nn.MultiLabelSoftMarginLoss,
    nn.PoissonNLLLoss, nn.SmoothL1Loss, nn.SoftMarginLoss,
)  # fmt: skip

# What their mean is over; those of neither list divide by the number of samples, as far as it goes.
COUNTING_ELEMENTS = (
    nn.BCELoss, nn.BCEWithLogitsLoss, nn.HingeEmbeddingLoss, nn.HuberLoss, nn.KLDivLoss, nn.L1Loss, nn.MSELoss,
    nn.PoissonNLLLoss, nn.SmoothL1Loss, nn.SoftMarginLoss,
)  # fmt: skip
COUNTING_TARGETS = (nn.CrossEntropyLoss, nn.NLLLoss)


class TorchLoss:
    """A torch loss (`fn(prediction, target)`) on tensors picked by path.

    A batch counts as much as `fn` takes its mean over: elements, or targets that it does not ignore by their classes'
    weights; the samples where `fn` is not one of torch's. Weights of classes that are whole numbers become floats.

    Without `pred_path` the outputs are the prediction (or their only value), without `target_path` the only target.
    Raises ConfigError where one of torch's would broadcast a prediction and a target of different shapes.
    """

    def __init__(
        self, fn: Callable[[Any, Any], torch.Tensor], pred_path: Path | None = None, target_path: Path | None = None
    ) -> None:
        if not callable(fn):
            raise ValueError(f"fn is a loss such as {{_type_: nn.MSELoss}}; it is {fn!r}")
        self.fn = with_float_weights(fn)
        self.same_shape = type(fn) in BROADCASTING
        self.reduction = "sum" if getattr(fn, "reduction", "mean") == "sum" else "mean"
        self.counts = what_counts(fn)
        self.pred_path = None if pred_path is None else checked_path(pred_path, "pred_path")
        self.target_path = None if target_path is None else checked_path(target_path, "target_path")

    def __call__(self, *, outputs: Any, targets: Any, batch: Any = None, stage: str = "train") -> LossOutput:
        prediction = pick_one(outputs, self.pred_path, "outputs", ("loss", "pred_path"))
        target = pick_one(targets, self.target_path, "targets", ("loss", "target_path"))
        if self.same_shape and prediction.shape != target.shape:
            raise different_shapes(self.fn, prediction, target)
        return LossOutput(
            self.fn(prediction, target), weight=self._weight(prediction, target), reduction=self.reduction
        )

    def _weight(self, prediction: Any, target: Any) -> float | Callable[[], torch.Tensor] | None:
        """Return what torch's losses take their mean over, where that is not the samples."""
        if self.counts == "elements":
            return float(prediction.numel())
        if isinstance(self.fn, COUNTING_TARGETS) and self.counts == "targets":
            return partial(counted_targets, self.fn, target)
        return None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what older checkpoints hold: the parameters alone. Newer ones hold `fn` whole, as they do any module."""
        with torch.no_grad():
            for name, parameter in self._parameters():
                parameter.copy_(state[name])

    def _parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        return self.fn.named_parameters() if isinstance(self.fn, torch.nn.Module) else iter(())


def what_counts(fn: Any) -> str:
    """Return what a loss of torch is a mean over: `elements`, `targets` (those that are not ignored), or `samples`."""
    if type(fn) in COUNTING_TARGETS:
        return "targets"
    return "elements" if type(fn) in COUNTING_ELEMENTS and fn.reduction == "mean" else "samples"


def counted_targets(fn: nn.CrossEntropyLoss | nn.NLLLoss, target: torch.Tensor) -> torch.Tensor:
    """Return what `fn` divides the sum of its losses by: the targets that it does not ignore, or their weights.

    As torch.nn.CrossEntropyLoss documents it; a target of probabilities counts its samples (and pixels). Label
    smoothing acts on targets whose class has weight 0 too: where there are no others, what it adds is divided by 0.
    """
    if target.is_floating_point():
        return torch.as_tensor(target.numel() / target.shape[min(1, target.dim() - 1)])
    counted = target != fn.ignore_index
    if fn.weight is None:
        return counted.sum()
    return (fn.weight[torch.where(counted, target, 0)] * counted).sum()


def different_shapes(fn: Any, prediction: torch.Tensor, target: torch.Tensor) -> ConfigError:
    """Return an error with both shapes, and which dimension would have to go or come."""
    name, sides = type(fn).__name__, (prediction, target)
    words = [f"{str(side.dtype).removeprefix('torch.')} {list(side.shape)}" for side in sides]
    wider, narrower = ("target", "prediction") if target.dim() > prediction.dim() else ("prediction", "target")
    spare = prediction.numel() == target.numel() and prediction.dim() != target.dim()
    return ConfigError(
        f"The prediction is {words[0]} and the target {words[1]}: nn.{name} would broadcast them, and compare each "
        "sample with others.",
        title="prediction and target differ in shape",
        config_path=("loss",),
        hint=f"Squeeze the {wider}, or unsqueeze the {narrower}: only a dimension of size 1 differs."
        if spare
        else "Let the model give the target's shape, or the data the prediction's.",
    )
