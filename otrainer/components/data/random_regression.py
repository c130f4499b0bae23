"""data.random_regression: random inputs and noisy linear targets, for a first run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import torch

from otrainer.components.data.batches import Epochs
from otrainer.engine.seed import derive_seed
from otrainer.errors import check_whole, is_whole


@dataclass
class RandomRegressionDataModule:
    """Random inputs `x` and noisy linear targets `y`, each batch a function of the run's seed and its number.

    Batches are `{"x": [batch_size, *x_shape], "y": [batch_size, *y_shape]}`; `y = W x / sqrt(len(x)) + noise * n`
    with W and n standard normal, W the same for all batches; `noise` is the standard deviation of what is added. An
    epoch trains on `steps_per_epoch` batches of `batch_size` samples each and validates on `val_steps_per_epoch`;
    `x_shape` and `y_shape` are the shapes of a sample, as `[3, 32, 32]`.
    """

    batch_size: int = 32
    steps_per_epoch: int = 20
    val_steps_per_epoch: int = 5
    x_shape: Sequence[int] = field(default_factory=lambda: [32])
    y_shape: Sequence[int] = field(default_factory=lambda: [16])
    noise: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("steps_per_epoch", 1), ("val_steps_per_epoch", 0)):
            check_whole(name, getattr(self, name), least)
        for name in ("x_shape", "y_shape"):
            if not all(map(is_whole, getattr(self, name))):
                raise ValueError(f"{name} is a list of sizes such as [3, 32, 32], not {getattr(self, name)!r}")

    def setup(self, stage: str | None = None) -> None:
        return

    def example_batch(self) -> dict[str, torch.Tensor]:
        """Return a batch without numbers."""
        return {
            "x": torch.empty(self.batch_size, *self.x_shape, device="meta"),
            "y": torch.empty(self.batch_size, *self.y_shape, device="meta"),
        }

    def train_dataloader(self) -> RandomRegression:
        return RandomRegression(self, self.steps_per_epoch)

    def val_dataloader(self) -> RandomRegression | None:
        return RandomRegression(self, self.val_steps_per_epoch) if self.val_steps_per_epoch > 0 else None


@dataclass
class RandomRegression(Epochs):
    """The batches of one stage of RandomRegressionDataModule."""

    shape: RandomRegressionDataModule
    steps: int

    def __len__(self) -> int:
        return self.steps

    def samples_in(self, number: int) -> int:
        return self.shape.batch_size

    def position_facts(self, seed: int) -> dict[str, str]:
        """Return what a position depends on: batches of another size are as random, and leave no sample out."""
        return {"order": type(self).__name__}

    def iterate_epoch(self, *, seed: int, epoch: int, start: int) -> Iterator[dict[str, torch.Tensor]]:
        for index in range(start, self.steps):
            yield self._batch(torch.Generator().manual_seed(derive_seed(seed, epoch, index)))

    @cached_property
    def weights(self) -> torch.Tensor:
        inputs, targets = prod(self.shape.x_shape), prod(self.shape.y_shape)
        return torch.randn(inputs, targets, generator=torch.Generator().manual_seed(0))

    def _batch(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        shape = self.shape
        inputs, targets = prod(shape.x_shape), prod(shape.y_shape)
        x = torch.randn(shape.batch_size, inputs, generator=generator)
        y = x @ self.weights / inputs**0.5 + shape.noise * torch.randn(shape.batch_size, targets, generator=generator)
        return {"x": x.reshape(-1, *shape.x_shape), "y": y.reshape(-1, *shape.y_shape)}
