import torch
from sklearn.datasets import load_digits
from torch.nn.functional import pad


class ShiftedDigits:
    def __init__(self, part="train", samples=None):
        digits, rows = load_digits(), slice(None, -360) if part == "train" else slice(-360, None)
        self.images = torch.tensor(digits.images[rows][:samples], dtype=torch.float32).unsqueeze(1) / 16
        self.labels = torch.tensor(digits.target[rows][:samples])
        self.moves = part == "train"

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        if self.moves:
            down, right = torch.randint(3, (2,)).tolist()
            image = pad(image, (1, 1, 1, 1))[:, down : down + 8, right : right + 8]
        return {"image": image, "label": self.labels[index]}


def register(registry):
    registry.register_module("dataset.shifted_digits", ShiftedDigits)
