"""Losses of torch over predictions `[batch, 3]`, each with the targets that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from .models import OUT


class GaussianOf(nn.Module):
    """A likelihood whose variance is learned, and which counts in a buffer how often it was asked in training."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(OUT))
        self.register_buffer("asked", torch.zeros((), dtype=torch.int64))

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.asked += 1
        return 0.5 * (self.log_variance + (pred - target) ** 2 * torch.exp(-self.log_variance)).mean()


class Prepared(nn.Module):
    """A loss of torch on what is made of the prediction first."""

    def __init__(self, inner: nn.Module, prepare: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.inner, self.prepare = inner, prepare

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.inner(self.prepare(pred), target)


class Penalised(nn.Module):
    """Cross entropy, and a projection of the prediction that is trained with it."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(OUT, OUT)

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.project(pred), target)


class Counted(nn.Module):
    """Cross entropy over the samples that are not of class 0: a mean over these alone, 0 where there are none."""

    def forward(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        total = functional.cross_entropy(pred, target, ignore_index=0, reduction="sum")
        return total / (target != 0).sum().clamp(min=1)


def log_softmax(pred: torch.Tensor) -> torch.Tensor:
    return pred.log_softmax(-1)


@dataclass(frozen=True)
class Kind:
    """How a loss is made, the targets that it takes, and over what it is a mean, or a sum: see `weight_of`."""

    make: Callable[[], Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]
    targets: str = "floats"
    mean_over: str = "samples"


CLASS_WEIGHTS = (0.25, 1.0, 3.0)
LOSSES = {
    "MSELoss": Kind(nn.MSELoss),
    "L1Loss": Kind(nn.L1Loss),
    "SmoothL1Loss": Kind(lambda: nn.SmoothL1Loss(beta=0.3)),
    "HuberLoss": Kind(lambda: nn.HuberLoss(delta=0.5)),
    "CrossEntropyLoss": Kind(nn.CrossEntropyLoss, "classes"),
    "cross entropy, smoothed": Kind(lambda: nn.CrossEntropyLoss(label_smoothing=0.1), "classes"),
    "cross entropy of floats": Kind(nn.CrossEntropyLoss, "shares"),
    "BCEWithLogitsLoss": Kind(nn.BCEWithLogitsLoss, "bits"),
    "BCE, positives weighted": Kind(lambda: nn.BCEWithLogitsLoss(pos_weight=torch.tensor(CLASS_WEIGHTS)), "bits"),
    "NLLLoss": Kind(lambda: Prepared(nn.NLLLoss(), log_softmax), "classes"),
    "KLDivLoss": Kind(lambda: Prepared(nn.KLDivLoss(reduction="batchmean"), log_softmax), "shares"),
    "PoissonNLLLoss": Kind(nn.PoissonNLLLoss, "counts"),
    "MultiLabelSoftMarginLoss": Kind(nn.MultiLabelSoftMarginLoss, "bits"),
    "MultiMarginLoss": Kind(nn.MultiMarginLoss, "classes"),
    "MultiLabelMarginLoss": Kind(nn.MultiLabelMarginLoss, "sets"),
    "SoftMarginLoss": Kind(nn.SoftMarginLoss, "signs"),
    "HingeEmbeddingLoss": Kind(nn.HingeEmbeddingLoss, "signs"),
    "a function": Kind(lambda: functional.mse_loss),
    "with parameters and a buffer": Kind(GaussianOf),
    "with a layer": Kind(Penalised, "classes"),
    "cross entropy, classes weighted": Kind(
        lambda: nn.CrossEntropyLoss(weight=torch.tensor(CLASS_WEIGHTS)), "classes", "class weights"
    ),
    "cross entropy, one class ignored": Kind(Counted, "classes", "classes but 0"),
    "MSE, a sum": Kind(lambda: nn.MSELoss(reduction="sum"), "floats", "sum"),
    "L1, a sum": Kind(lambda: nn.L1Loss(reduction="sum"), "floats", "sum"),
}


def weight_of(kind: str, target: torch.Tensor) -> float:
    """How much a batch counts in means: its samples, or what its loss is a mean over."""
    if LOSSES[kind].mean_over == "class weights":
        return sum(CLASS_WEIGHTS[number] for number in target.tolist())
    return int((target != 0).sum()) if LOSSES[kind].mean_over == "classes but 0" else len(target)


def build_loss(kind: str, dtype: torch.dtype) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The same loss for the same arguments; its own numbers are of the model's precision."""
    torch.manual_seed(5)
    made = LOSSES[kind].make()
    return made.to(dtype) if isinstance(made, nn.Module) and dtype != torch.float32 else made


def draw_targets(kind: str, count: int, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    """Targets of `count` samples."""
    numbers = torch.randn(count, OUT, generator=generator)
    classes = torch.randint(OUT, (count,), generator=generator)
    made = {
        "floats": numbers,
        "classes": classes,
        "shares": numbers.softmax(-1),
        "bits": (numbers > 0).float(),
        "signs": torch.where(numbers > 0, 1.0, -1.0),
        "counts": (numbers.abs() * 2).floor(),
        "sets": torch.stack([classes, torch.full_like(classes, -1), torch.full_like(classes, -1)], 1),
    }[kind]
    return made.to(dtype) if made.is_floating_point() else made
