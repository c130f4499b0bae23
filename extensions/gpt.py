"""A small GPT over characters: its blocks, and the language reference that every Python brings as its text."""

from __future__ import annotations

from pydoc_data.topics import topics
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.data import Dataset

HELD_OUT = 0.1  # of the text, at its end
NEW_LINE = 95  # the number of a line's end; other characters have their code less 32


class Reference(Dataset[dict[str, torch.Tensor]]):
    """Windows of `length` characters of Python's language reference, and the characters that follow each of them.

    `part` is `train`, of which each window begins `stride` behind the one before, or `held_out`.
    """

    def __init__(self, length: int = 64, stride: int = 16, part: str = "train") -> None:
        text = "\n".join(topics[name] for name in sorted(topics))
        text = "".join(each if each == "\n" or " " <= each <= "~" else "?" for each in text)
        ids = torch.tensor([NEW_LINE if each == "\n" else ord(each) - 32 for each in text])
        cut = int(len(ids) * (1 - HELD_OUT))
        self.ids, self.length = (ids[:cut] if part == "train" else ids[cut:]), length
        self.stride = stride if part == "train" else length

    def __len__(self) -> int:
        return (len(self.ids) - self.length - 1) // self.stride

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        window = self.ids[index * self.stride :][: self.length + 1]
        return {"x": window[:-1], "next": window[1:]}


class Embedding(nn.Module):
    """Characters `[batch, length]` and their places as vectors `[batch, length, width]`."""

    def __init__(self, characters: int, length: int, width: int) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(characters, width), nn.Embedding(length, width)
        for each in (self.token, self.place):
            nn.init.normal_(each.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.token(x) + self.place.weight[: x.shape[1]])


class Block(nn.Module):
    """Causal attention of `heads` heads, then two layers of four times the width, each beside what comes in."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = self.qkv(self.first(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(*parts, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return torch.as_tensor(x + self.mlp(self.second(x)))


class ClassesFirst(nn.Module):
    """Scores `[batch, length, classes]` as losses of torch take them: `[batch, classes, length]`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2)


class Continued:
    """`length` characters that the model draws one by one after `prompt`, of which it sees the last `window` ones."""

    def __init__(self, prompt: str = "The ", length: int = 240, window: int = 64) -> None:
        self.ids = [ord(each) - 32 for each in prompt]
        self.length, self.window = length, window

    def __call__(self, ctx: Any) -> str:
        ids = list(self.ids)
        for _ in range(self.length):
            scores = ctx.model(x=torch.tensor([ids[-self.window :]], device=ctx.device))[0, :, -1]
            ids.append(int(torch.multinomial(scores.float().softmax(0), 1)))
        return "".join("\n" if each == NEW_LINE else chr(each + 32) for each in ids)


def register(registry: Any) -> None:
    registry.register_module("samples.continued", Continued)
    registry.register_module("dataset.reference", Reference, tags=("dataset",))
    registry.register_module("gpt.embedding", Embedding)
    registry.register_module("gpt.block", Block)
    registry.register_module("gpt.classes_first", ClassesFirst)
