"""Models whose forward changes them, or leaves parts out of a step: a codebook by moving averages, routed experts.

Each is trained as plain torch trains it, to the bit, and goes on exactly after two stops at every pair of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, random_batches
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.trainer import DefaultTrainer
from otrainer.protocols import StepContext

BATCHES, EPOCHS, RATE = 3, 2, 1e-2


class Codes(nn.Module):
    """A vector-quantised autoencoder, whose codebook follows its inputs (van den Oord et al., 2017, appendix A.1)."""

    codebook: torch.Tensor
    counts: torch.Tensor
    sums: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)
        self.register_buffer("codebook", torch.randn(6, 2))
        self.register_buffer("counts", torch.ones(6))
        self.register_buffer("sums", self.codebook.clone())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = self.encoder(x)
        nearest = torch.cdist(z, self.codebook).argmin(dim=1)
        code = self.codebook[nearest]
        if self.training:
            chosen = nn.functional.one_hot(nearest, 6).float()
            self.counts.lerp_(chosen.sum(0), 0.1)
            self.sums.lerp_(chosen.T @ z.detach(), 0.1)
            self.codebook.copy_(self.sums / self.counts.clamp(min=1e-3).unsqueeze(1))
        return self.decoder(z + (code - z).detach()), (z - code.detach()).pow(2).mean()


class Experts(nn.Module):
    """One of four experts for each row, and what it costs that they are not used alike (Shazeer et al., 2017)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.router = nn.Linear(4, 4)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gates = self.router(x).softmax(dim=1)
        weight, chosen = gates.max(dim=1)
        y = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            if len(rows := (chosen == number).nonzero().flatten()):  # an expert without rows has no gradient
                y = y.index_add(0, rows, expert(x[rows]) * weight[rows].unsqueeze(1))
        return y, gates.mean(dim=0).var()


class Rebuilding(DefaultTrainer):
    def training_step(self, ctx: StepContext, batch: Any) -> LossOutput:
        rebuilt, extra = ctx.forward(batch["x"])
        own = nn.functional.mse_loss(rebuilt, batch["x"])
        return LossOutput(own + 0.25 * extra, logs={"own": own, "extra": extra})


def data() -> Batches:
    return Batches(random_batches(BATCHES, size=3))


def state_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([each.flatten() for each in model.state_dict().values()])


def train(make: Callable[[], nn.Module], folder: Path, stops: tuple[int, ...] = ()) -> torch.Tensor:
    last = None
    for stop in (*stops, None):
        model = make()
        try:
            with StopRequest():
                fit(
                    model,
                    data(),
                    trainer=Rebuilding(max_epochs=EPOCHS),
                    optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": RATE}},
                    callbacks=[StopAt(stop), ModelCheckpoint(str(folder))],
                    run={"resume_from": last},
                )
        except TrainingInterrupted:
            last = str(folder / "last.pt")
    return state_of(model)


def by_hand(make: Callable[[], nn.Module]) -> torch.Tensor:
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    for batch in random_batches(BATCHES, size=3) * EPOCHS:
        rebuilt, extra = model(batch["x"])
        optimizer.zero_grad()
        (nn.functional.mse_loss(rebuilt, batch["x"]) + 0.25 * extra).backward()
        optimizer.step()
    return state_of(model)


MODELS = pytest.mark.parametrize("make", [Codes, Experts])


def test_an_expert_is_left_out_of_some_steps() -> None:
    model = Experts()
    chosen = [model.router(batch["x"]).argmax(dim=1) for batch in random_batches(BATCHES, size=3)]
    assert any(len(each.unique()) < 4 for each in chosen)


@MODELS
def test_they_train_as_plain_torch_does(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    assert torch.equal(train(make, tmp_path), by_hand(make))


@MODELS
@pytest.mark.parametrize("stops", [*pairwise(range(1, BATCHES * EPOCHS))])
def test_they_go_on_exactly(make: Callable[[], nn.Module], stops: tuple[int, int], tmp_path: Path) -> None:
    assert torch.equal(train(make, tmp_path / "broken", stops), train(make, tmp_path / "whole"))
