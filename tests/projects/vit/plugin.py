import torch
from sklearn.datasets import load_digits
from torch import nn


class Patches(nn.Module):
    def __init__(self, size, patch, width):
        super().__init__()
        self.cut = nn.Conv2d(1, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + (size // patch) ** 2, width))

    def forward(self, image):
        patches = self.cut(image).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(image), -1, -1), patches], dim=1) + self.place


class Digits:
    def __init__(self, samples=None):
        digits = load_digits()
        self.images = torch.tensor(digits.images[:samples], dtype=torch.float32).unsqueeze(1) / 16
        self.labels = torch.tensor(digits.target[:samples])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"image": self.images[index], "label": self.labels[index]}


def register(registry):
    registry.register_module("vit.patches", Patches)
    registry.register_module("dataset.digits", Digits)
