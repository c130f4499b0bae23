import torch
from sklearn.datasets import load_digits
from torch.nn.functional import relu

from otrainer.engine.trainer import DefaultTrainer


class FlatDigits:
    def __init__(self, samples=None):
        self.images = torch.tensor(load_digits().data[:samples], dtype=torch.float32) / 16

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


class Hinge(DefaultTrainer):
    def training_step(self, ctx, batch):
        generator, critic = ctx.models["generator"], ctx.models["critic"]
        drawn = generator(torch.randn(len(batch), 16, device=ctx.device))
        with ctx.only("critic"):
            told = relu(1 - critic(batch)).mean() + relu(1 + critic(drawn.detach())).mean()
            ctx.backward(told)
        ctx.step("critic")
        if not ctx.is_due("generator"):
            return {"critic_loss": told}
        with ctx.only("generator"):
            fooled = -critic(drawn).mean()
            ctx.backward(fooled)
        ctx.step("generator")
        return {"critic_loss": told, "generator_loss": fooled}


def register(registry):
    registry.register_module("dataset.flat_digits", FlatDigits)
    registry.register_module("trainer.hinge", Hinge)
