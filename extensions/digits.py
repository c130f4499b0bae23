"""The 1,797 handwritten digits of scikit-learn as a dataset, with a fifth of them held out."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch.utils.data import Dataset

HELD_OUT = 360  # the last fifth: written by other people than most of what comes before


class Digits(Dataset[dict[str, torch.Tensor]]):
    """8x8 images in [0, 1] and their digits: `{"image": [1, 8, 8], "label": []}`.

    `part` is `train` (the first 1,437, moved a little each time that they are read) or `held_out` (the last 360).
    Raises ValueError for any other.
    """

    def __init__(self, part: str = "train") -> None:
        if part not in ("train", "held_out"):
            raise ValueError(f"part is `train` or `held_out`, not `{part}`")
        self.training = part == "train"
        digits = load_digits()
        rows = slice(-HELD_OUT) if part == "train" else slice(-HELD_OUT, None)
        self.images = torch.tensor(digits.images[rows], dtype=torch.float32).unsqueeze(1) / 16
        self.labels = torch.tensor(digits.target[rows])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        image = self.images[index]
        return {"image": moved(image) if self.training else image, "label": self.labels[index]}


def moved(image: torch.Tensor) -> torch.Tensor:
    """Move the image by at most a pixel each way, as another hand would have placed it."""
    down, right = torch.randint(3, (2,)).tolist()
    return torch.nn.functional.pad(image, (1, 1, 1, 1))[:, down : down + 8, right : right + 8]


def register(registry: Any) -> None:
    registry.register_module("dataset.digits", Digits, tags=("dataset",))
