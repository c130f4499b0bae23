"""Pictures of several handwritten digits, of which each pixel is to be told: which digit is written there, or none."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

HELD_OUT = 360  # the last fifth: written by other people than most of what comes before
INK = 0.3  # above it a pixel belongs to a digit


class Scenes(Dataset[dict[str, torch.Tensor]]):
    """Digits strewn over a picture, and what is where: `{"image": [1, size, size], "mask": [size, size]}`.

    `image` is ink in [0, 1]; `mask` is 0 for paper and 1 + the digit for ink, that of the upper one where two meet.
    `part` is `train` (the first 1,437 digits, each with others at places drawn anew whenever it is read) or `held_out`
    (the last 360, each time the same); `count` is how many digits lie on a picture, `size` its sides in pixels.

    Raises ValueError for any other part, no digit, or less room than a digit takes.
    """

    def __init__(self, part: str = "train", size: int = 24, count: int = 3) -> None:
        if part not in ("train", "held_out"):
            raise ValueError(f"part is `train` or `held_out`, not `{part}`")
        if size < 8 or count < 1:
            raise ValueError(f"a picture has 8 pixels a side or more, and a digit, not size {size} and count {count}")
        self.training, self.size, self.count = part == "train", size, count
        digits = load_digits()
        rows = slice(-HELD_OUT) if part == "train" else slice(-HELD_OUT, None)
        self.images = torch.tensor(digits.images[rows], dtype=torch.float32) / 16
        self.labels = torch.tensor(digits.target[rows])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        drawn = None if self.training else torch.Generator().manual_seed(index)
        others = torch.randint(len(self), (self.count - 1,), generator=drawn).tolist()
        places = torch.randint(self.size - 7, (self.count, 2), generator=drawn).tolist()
        image = torch.zeros(1, self.size, self.size)
        mask = torch.zeros(self.size, self.size, dtype=torch.long)
        for which, (top, left) in zip([*others, index], places, strict=True):
            there = (slice(top, top + 8), slice(left, left + 8))
            ink = self.images[which]
            image[0][there] = torch.maximum(image[0][there], ink)
            mask[there] = torch.where(ink > INK, self.labels[which] + 1, mask[there])
        return {"image": image, "mask": mask}


def register(registry: Any) -> None:
    registry.register_module("dataset.scenes", Scenes, tags=("dataset",))
