"""A policy by flow matching: what a camera and a hand's own place say decides the hand's next moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import torch
from torch import nn
from torch.utils.data import Dataset

from extensions.reaching import EPISODES, STEPS, camera, demonstrate
from otrainer.components.loss import LossOutput
from otrainer.engine.trainer import DefaultTrainer

if TYPE_CHECKING:
    from otrainer.protocols import StepContext

HORIZON, HELD_OUT = 8, 30


class Episodes(Dataset[dict[str, torch.Tensor]]):
    """Moments of recorded episodes, each with the next `HORIZON` moves; `part` is `train` or `held_out`."""

    def __init__(self, path: str = "build/reaching.parquet", part: str = "train") -> None:
        self.path = Path(path)
        if not self.path.exists():
            demonstrate(self.path)
        table = pq.read_table(self.path).sort_by("episode")
        chosen = slice(-HELD_OUT, None) if part == "held_out" else slice(-HELD_OUT)
        self.image, self.hand, self.move = (
            torch.tensor(table[name].to_pylist()).view(EPISODES, STEPS, -1)[chosen]
            for name in ("image", "hand", "move")
        )

    def files(self) -> list[Path]:
        return [self.path]

    def __len__(self) -> int:
        return len(self.hand) * (STEPS - HORIZON + 1)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        at, step = divmod(index, STEPS - HORIZON + 1)
        image, moves = self.image[at, step].view(1, 8, 8), self.move[at, step : step + HORIZON]
        return {"image": image, "hand": self.hand[at, step], "moves": moves}


class FlowMatching(DefaultTrainer):
    """Train the field that carries noise to moves along straight lines (Lipman et al., 2023)."""

    def training_step(self, ctx: StepContext, batch: Any) -> LossOutput:
        models = ctx.models
        moves = models["scale"](batch["moves"]).flatten(1)
        noise, time = torch.randn_like(moves), torch.rand(len(moves), 1, device=moves.device)
        seen = models["vision"](batch["image"]), models["proprioception"](batch["hand"])
        field = models["action"](torch.lerp(noise, moves, time), time, *seen)
        return LossOutput(nn.functional.mse_loss(field, moves - noise))

    def validation_step(self, ctx: StepContext, batch: Any) -> dict[str, float]:
        """Return how far from its target the hand ends, and how often it gets there, by acting itself."""
        random = torch.Generator().manual_seed(0)
        target, hand = torch.rand(2, 100, 2, generator=random).to(ctx.device)
        for _ in range(STEPS // HORIZON):
            for move in self.moves(ctx.models, camera(target), hand, random).unbind(dim=1):
                hand = hand + move
        apart = (hand - target).norm(dim=1)
        return {"distance": apart.mean().item(), "success": (apart < 0.1).float().mean().item()}

    def moves(self, models: Any, image: torch.Tensor, hand: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Return the next moves `[n, HORIZON, 2]`: noise, carried along the field in ten steps."""
        moves = torch.randn(len(hand), 2 * HORIZON, generator=random).to(hand)
        seen = models["vision"](image), models["proprioception"](hand)
        for step in range(10):
            moves = moves + models["action"](moves, torch.full_like(hand[:, :1], step / 10), *seen) / 10
        carried: torch.Tensor = models["scale"](moves.view(len(hand), HORIZON, 2), inverse=True)
        return carried


def register(registry: Any) -> None:
    registry.register_module("dataset.episodes", Episodes, tags=("dataset",))
    registry.register_module("trainer.flow_matching", FlowMatching, tags=("trainer",))
