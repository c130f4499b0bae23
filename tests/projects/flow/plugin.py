import torch
from torch.nn.functional import mse_loss

from otrainer.components.loss import LossOutput
from otrainer.engine.trainer import DefaultTrainer

PIXELS = torch.cartesian_prod(torch.linspace(0, 1, 8), torch.linspace(0, 1, 8))


def reaching(count, seed):
    target, hand = torch.rand(2, count, 2, generator=torch.Generator().manual_seed(seed))
    image = torch.exp(-30 * torch.cdist(target, PIXELS) ** 2).view(-1, 1, 8, 8)
    moves = torch.stack([(target - hand) * 0.3 * 0.7**step for step in range(4)], dim=1)
    return image, hand, 10 * moves.flatten(1)


class Reaching:
    def __init__(self, count, seed):
        self.image, self.hand, self.moves = reaching(count, seed)

    def __len__(self):
        return len(self.hand)

    def __getitem__(self, index):
        return {"image": self.image[index], "hand": self.hand[index], "moves": self.moves[index]}


class Flow(DefaultTrainer):
    def training_step(self, ctx, batch):
        moves, seen = batch["moves"], self.seen(ctx, batch)
        noise, time = torch.randn_like(moves), torch.rand(len(moves), 1, device=moves.device)
        velocity = self.velocity(ctx, torch.lerp(noise, moves, time), time, seen)
        return LossOutput(mse_loss(velocity, moves - noise))

    def validation_step(self, ctx, batch):
        moves, seen = batch["moves"], self.seen(ctx, batch)
        made = torch.randn(moves.shape, generator=torch.Generator().manual_seed(0)).to(moves)
        for step in range(10):
            made = made + self.velocity(ctx, made, torch.full_like(made[:, :1], step / 10), seen) / 10
        return {"error": mse_loss(made, moves)}

    def seen(self, ctx, batch):
        return torch.cat([ctx.models["vision"](batch["image"]), ctx.models["hand"](batch["hand"])], dim=1)

    def velocity(self, ctx, moves, time, seen):
        return ctx.models["field"](torch.cat([moves, time, seen], dim=1))


def register(registry):
    registry.register_module("dataset.reaching", Reaching)
    registry.register_module("trainer.flow", Flow)
