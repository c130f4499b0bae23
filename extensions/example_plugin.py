"""The smallest working plugin: data of your own, and a trainer that adds a word to the default one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from otrainer.engine.trainer import DefaultTrainer


@dataclass
class ConstantRegressionDataModule:
    """Random inputs `x` whose targets `y` are always the same constant."""

    batch_size: int = 32
    steps_per_epoch: int = 20
    val_steps_per_epoch: int = 5
    x_shape: list[int] = field(default_factory=lambda: [32])
    y_shape: list[int] = field(default_factory=lambda: [16])
    value: float = 1.0

    def setup(self, stage: str | None = None) -> None:
        return

    def train_dataloader(self) -> Iterator[dict[str, torch.Tensor]]:
        return self._batches(self.steps_per_epoch)

    def val_dataloader(self) -> Iterator[dict[str, torch.Tensor]]:
        return self._batches(self.val_steps_per_epoch)

    def _batches(self, steps: int) -> Iterator[dict[str, torch.Tensor]]:
        for _ in range(steps):
            x = torch.randn(self.batch_size, *self.x_shape)
            yield {"x": x, "y": torch.full((self.batch_size, *self.y_shape), self.value)}


@dataclass
class VerboseTrainer(DefaultTrainer):
    """The default trainer, which says when it begins and ends."""

    def fit(self, **parts: Any) -> None:
        print(f"VerboseTrainer: {self.max_epochs} epochs of {parts['run'].name} begin")
        super().fit(**parts)
        print("VerboseTrainer: done")


def register(registry: Any) -> None:
    registry.register_module("data.constant_regression", ConstantRegressionDataModule, tags=("data",))
    registry.register_module("trainer.verbose", VerboseTrainer, tags=("trainer",))
