"""A task for policies: a hand reaches for what a camera sees. Episodes of an expert are recorded as parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

if TYPE_CHECKING:
    from pathlib import Path

EPISODES, STEPS = 300, 24
PIXELS = torch.cartesian_prod(torch.linspace(0, 1, 8), torch.linspace(0, 1, 8))


def camera(target: torch.Tensor) -> torch.Tensor:
    """Return what a camera sees of targets `[n, 2]` in the unit square: images `[n, 1, 8, 8]` in [0, 1]."""
    return torch.exp(-30 * torch.cdist(target, PIXELS.to(target)) ** 2).view(-1, 1, 8, 8)


def demonstrate(path: Path) -> None:
    """Write episodes of an expert, who reaches for the target in a bow to one side or the other, as parquet."""
    random = torch.Generator().manual_seed(0)
    target, hand = torch.rand(2, EPISODES, 2, generator=random)
    bow = torch.rand(EPISODES, 1, generator=random).round() * 2 - 1
    rows: dict[str, list[Any]] = {"episode": [], "image": [], "hand": [], "move": []}
    for step in range(STEPS):
        way, left = target - hand, 1 - step / STEPS
        move = way * 0.2 + 0.15 * left * bow * torch.stack([-way[:, 1], way[:, 0]], dim=1)
        for name, value in (("image", camera(target).flatten(1)), ("hand", hand), ("move", move)):
            rows[name] += value.tolist()
        rows["episode"] += range(EPISODES)
        hand = hand + move
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pq.write_table(pa.table(rows), part)
    part.replace(path)
