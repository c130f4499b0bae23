"""A generative adversarial trainer: two models, two optimizers, one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import softplus

from otrainer.engine.trainer import DefaultTrainer

if TYPE_CHECKING:
    from otrainer.protocols import StepContext

NOISE = 16  # numbers that the generator makes an image of
DIRECTIONS = 64  # along which images are compared


@dataclass
class AdversarialTrainer(DefaultTrainer):
    """Train `models.generator` to draw images that `models.critic` takes for real ones (Goodfellow et al., 2014).

    The critic is kept smooth by `penalty` times the squared slope at real images (R1, Mescheder et al., 2018).
    Raises ValueError for a negative penalty.
    """

    penalty: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.penalty < 0:
            raise ValueError(f"penalty is a number from 0 on, not {self.penalty}")

    def training_step(self, ctx: StepContext, batch: Any) -> dict[str, torch.Tensor]:
        generator, critic = ctx.models["generator"], ctx.models["critic"]
        real = batch["image"].requires_grad_()
        drawn = generator(torch.randn(len(real), NOISE, device=ctx.device))

        with ctx.only("critic"):
            judged = critic(real)
            (slope,) = torch.autograd.grad(judged.sum(), real, create_graph=True)
            smooth = slope.square().sum(dim=(1, 2, 3)).mean()
            told = softplus(-judged).mean() + softplus(critic(drawn.detach())).mean()
            ctx.backward(told + self.penalty / 2 * smooth)
        ctx.step("critic")

        with ctx.only("generator"):
            fooled = softplus(-critic(drawn)).mean()
            ctx.backward(fooled)
        ctx.step("generator")
        return {"critic_loss": told, "generator_loss": fooled}

    def validation_step(self, ctx: StepContext, batch: Any) -> dict[str, torch.Tensor]:
        """Return how far drawn images are from real ones: the sliced Wasserstein distance, the same noise each time."""
        fixed = torch.Generator().manual_seed(0)
        real = batch["image"].flatten(1)
        noise = torch.randn(len(real), NOISE, generator=fixed).to(ctx.device)
        drawn = ctx.models["generator"](noise).flatten(1)
        ways = torch.nn.functional.normalize(torch.randn(real.shape[1], DIRECTIONS, generator=fixed), dim=0)
        apart = (real @ ways.to(ctx.device)).sort(dim=0)[0] - (drawn @ ways.to(ctx.device)).sort(dim=0)[0]
        return {"distance": apart.abs().mean()}


def register(registry: Any) -> None:
    registry.register_module("trainer.adversarial", AdversarialTrainer, tags=("trainer",))
