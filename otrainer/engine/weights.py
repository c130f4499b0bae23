"""How much a batch counts: in the means of validation and logs, and in a step over several micro-batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.logs import numbers
from otrainer.engine.tree import leaves
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.data.loader import Loader
    from otrainer.protocols import ArgsKwargs, LossOutput

Weight = float | torch.Tensor


def weight_of(
    result: LossOutput, meta: Any, loader: Loader | None, number: int, inputs: ArgsKwargs, *, is_needed: bool = True
) -> Weight:
    """Return what a batch counts: as its loss says, else `meta`, else its number of samples.

    These are what a loader of ours knows of batch `number`, else the first dimension of the model's first tensor.
    Where it is not `is_needed`, what is said is only looked at, and the weight is 1. Raises ConfigError as
    `checked_weight` does, and where nothing is said and there is no loader.
    """
    part, weight = "loss", getattr(result, "weight", None)
    if weight is None and isinstance(meta, Mapping):
        part, weight = "io", meta.get("weight")
    if not is_needed:
        if weight is not None and not callable(weight):
            checked_weight(weight, part)
        return 1.0
    if weight is not None:
        return checked_weight(weight() if callable(weight) else weight, part)
    if loader is None:
        raise no_weight()
    samples = loader.samples(number)
    return float(first_dimension(inputs) if samples is None else samples)


def checked_weight(weight: Any, part: str = "loss") -> Weight:
    """Return a weight that a part gave: a finite number that is not negative; one on a device is not waited for.

    Raises ConfigError at the part for anything else.
    """
    if isinstance(weight, torch.Tensor):
        if weight.numel() != 1 or weight.is_complex():
            raise not_a_weight(f"a {weight.dtype} of shape {tuple(weight.shape)}", part)
        if weight.device.type != "cpu":
            single: torch.Tensor = weight.detach().reshape(())
            return single
    try:
        value = float(weight.item() if hasattr(weight, "item") else weight)
    except (TypeError, ValueError):
        raise not_a_weight(f"of type {type(weight).__name__}", part) from None
    if not 0 <= value < inf or isinstance(weight, str):
        raise not_a_weight(repr(weight if isinstance(weight, str) else value), part)
    return value


def read_weights(weights: Sequence[Weight]) -> Sequence[Weight]:
    """Return weights as numbers, which waits for a device; raises ConfigError for one that is none."""
    if not any(isinstance(weight, torch.Tensor) for weight in weights):
        return weights
    return [checked_weight(weight) for weight in numbers(weights)]


def not_a_weight(found: str, part: str) -> ConfigError:
    """Report what a loss or an io gave for a batch's weight."""
    return ConfigError(
        f"The `weight` of a batch is {found}, as the {part} says it.",
        title="not a weight",
        config_path=(part,),
        hint="It is one finite number, 0 or more: how many samples, tokens or boxes the loss is a mean over. Where "
        "each sample has a weight of its own, it is their sum, and the loss the mean that they weight.",
    )


def no_weight() -> ConfigError:
    """Report that nobody says how many tokens a batch has."""
    return ConfigError(
        "Neither the loss nor the io says what a batch counts, which `trainer.accumulate` sums up.",
        title="not a weight",
        config_path=("loss",),
        hint="Let the loss return `LossOutput(loss, weight=...)` with the number of tokens that it is a mean over.",
    )


def first_dimension(inputs: ArgsKwargs) -> int:
    """Return the first dimension of the first input that has one, else 1."""
    return next((leaf.shape[0] for leaf in leaves([inputs.args, inputs.kwargs]) if leaf.dim() > 0), 1)


def counts_nothing(weight: Weight) -> bool:
    """Return whether a weight is known to be zero; one on a device is not waited for."""
    return not isinstance(weight, torch.Tensor) and weight == 0


class Shares:
    """What each of a step's `count` micro-batches adds to its gradients, so that they are those of one whole batch.

    The total is known after the last one only: gradients are first taken relative to the first weight, and `rest` is
    what they are to be multiplied by then, which is 1 where all weights are equal. A loss that is a sum goes in as it
    is.
    """

    by_samples = True  # where neither loss nor io says what one counts

    def __init__(self, count: int) -> None:
        self.count = count
        self.weights: list[Weight] = []
        self.is_sum = False
        self.kind: torch.dtype | None = None

    @property
    def is_single(self) -> bool:
        """Return whether there is one micro-batch alone, which is the whole batch."""
        return self.count == 1

    def share(self, loss: torch.Tensor, weight: Weight) -> torch.Tensor:
        """Return a micro-batch's loss as it goes into the gradients."""
        self.weights.append(weight)
        if self.is_sum or self.count == 1:
            return loss
        first = self._first
        if first is weight or (not isinstance(weight, torch.Tensor) and weight == first):
            return loss / self.count
        return loss * (weight / first) / self.count

    @property
    def _first(self) -> Weight:
        return next((weight for weight in self.weights if not counts_nothing(weight)), 1.0)

    @property
    def rest(self) -> Weight:
        """Return the factor that is left for the gradients."""
        total: Any = sum(self.weights)
        if self.is_sum or self.count == 1 or counts_nothing(total):
            return 1.0
        rest: Weight = self.count * self._first / total
        return rest

    def settle(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Multiply the gradients of the step by what is left."""
        rest = self.rest
        if isinstance(rest, torch.Tensor) or rest != 1.0:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(rest)

    def loss(self, rows: Sequence[Mapping[str, Any]], device: torch.device) -> torch.Tensor:
        """Return the loss of the step, of one batch that held all of it, in its own precision."""
        losses = [torch.as_tensor(row["loss"], device=device, dtype=self.kind).reshape(()) for row in rows]
        if self.count == 1:
            return losses[0]
        if self.is_sum:
            return torch.stack(losses).sum()
        counted = [
            (loss, weight) for loss, weight in zip(losses, self.weights, strict=True) if not counts_nothing(weight)
        ]
        total: Any = sum(weight for _, weight in counted)
        return torch.stack([loss * (weight / total) for loss, weight in counted]).sum()

    def logged(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Mapping[str, Any]], Sequence[Weight] | None]:
        """Return a step's rows and weights, by which the mean of a loss that is a sum is the sum of them all."""
        if self.count == 1:
            return rows, None
        if not self.is_sum:
            return rows, self.weights
        total: Any = sum(self.weights)
        pairs = zip(rows, self.weights, strict=True)
        return [
            row if counts_nothing(w) else {**row, "loss": row["loss"] * (total / w)} for row, w in pairs
        ], self.weights
