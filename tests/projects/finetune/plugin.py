import torch
from sklearn.datasets import load_digits


class Parity:
    def __init__(self, samples=None):
        digits = load_digits()
        self.images = torch.tensor(digits.images[:samples], dtype=torch.float32).unsqueeze(1) / 16
        self.odd = torch.tensor(digits.target[:samples]) % 2

    def __len__(self):
        return len(self.odd)

    def __getitem__(self, index):
        return {"image": self.images[index], "odd": self.odd[index]}


def register(registry):
    registry.register_module("dataset.parity", Parity)
