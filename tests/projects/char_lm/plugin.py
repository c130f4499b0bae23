from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from otrainer.components.loss import LossOutput


class Text:
    def __init__(self, length, part="train", characters=None):
        text = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", "replace")[:characters]
        cut = len(text) * 9 // 10
        self.ids = torch.tensor(list(text[:cut] if part == "train" else text[cut:]))
        self.length = length

    def __len__(self):
        return (len(self.ids) - 1) // self.length

    def __getitem__(self, index):
        ids = self.ids[index * self.length :][: self.length + 1]
        return {"x": ids[:-1], "y": ids[1:]}


class Embedding(nn.Module):
    def __init__(self, width, length):
        super().__init__()
        self.token, self.place = nn.Embedding(128, width), nn.Embedding(length, width)

    def forward(self, x):
        return self.token(x) + self.place.weight[: x.shape[1]]


class Block(nn.Module):
    def __init__(self, width, heads, dropout=0.1):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class NextCharacter:
    def __call__(self, *, outputs, targets, batch, stage):
        return LossOutput(cross_entropy(outputs.flatten(0, 1), targets["y"].flatten()))


def register(registry):
    registry.register_module("dataset.characters", Text)
    registry.register_module("char_lm.embedding", Embedding)
    registry.register_module("char_lm.block", Block)
    registry.register_module("loss.next_character", NextCharacter)
