import torch
from sklearn.datasets import load_digits


class Strokes:
    def __init__(self, part="train", samples=None):
        rows = slice(None, -360) if part == "train" else slice(-360, None)
        images = torch.tensor(load_digits().images[rows][:samples], dtype=torch.float32) / 16
        self.masks = (images > 0.5).long().masked_fill((images > 0.3) & (images <= 0.5), 255)
        self.images, self.augments = images.unsqueeze(1), part == "train"

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, index):
        image, mask = self.images[index], self.masks[index]
        if self.augments:
            if torch.rand(()) < 0.5:
                image, mask = image.flip(-1), mask.flip(-1)
            image = image + 0.2 * torch.randn(image.shape)
        return {"image": image, "mask": mask}


def register(registry):
    registry.register_module("dataset.strokes", Strokes)
