"""Layers computed again for the gradients: the bits of plain training, fewer values kept, and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, parameters_of, random_batches, same_leaves
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.recompute import recomputed
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Dropout(0.3), nn.Linear(32, 8))
        self.calls = 0  # an attribute of the user's, which stays as it is

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        y: torch.Tensor = x + scale * self.inner(x)
        return y


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first = nn.Linear(4, 8)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x, scale=0.5)
        y: torch.Tensor = self.head(x)
        return y


def train(
    folder: Path, patterns: list[str] | None, *stops: int, kind: type[nn.Module] = Net
) -> tuple[torch.Tensor, dict[str, Any]]:
    last = None
    for stop in (*stops, None):
        model = kind()
        try:
            with StopRequest():
                fit(
                    model,
                    Batches(random_batches(4), random_batches(2, seed=5)),
                    trainer={"max_epochs": 2, "checkpoint_activations": patterns},
                    callbacks=[StopAt(stop), ModelCheckpoint(str(folder))],
                    run={"seed": 3, "resume_from": last},
                )
        except TrainingInterrupted:
            last = str(folder / "last.pt")
    assert not any("forward" in vars(module) for module in model.modules())
    return parameters_of(model), load_checkpoint(folder / "last.pt")


@pytest.mark.parametrize("patterns", [["blocks.*"], ["blocks.1", "head"], ["re:^blocks.[02]$"]])
def test_the_bits_are_those_of_training_without_it(patterns: list[str], tmp_path: Path) -> None:
    weights, saved = train(tmp_path / "again", patterns)
    plain, kept = train(tmp_path / "plain", None)

    assert torch.equal(weights, plain)
    assert saved["model"].keys() == kept["model"].keys()
    assert saved["attributes"] == kept["attributes"]


def test_a_stopped_run_goes_on_exactly(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", ["blocks.*"])
    for stops in ((1, 2), (3, 5), (4, 5)):
        assert torch.equal(train(tmp_path / str(stops), ["blocks.*"], *stops)[0], whole)


def kept_bytes(patterns: list[str] | None) -> int:
    """How much the graph of a step keeps."""
    kept = []

    class Seen(DefaultTrainer):
        def training_step(self, ctx: Any, batch: Any) -> Any:
            def pack(value: torch.Tensor) -> torch.Tensor:
                kept.append(value.nbytes)
                return value

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
                return super().training_step(ctx, batch)

    trainer = Seen(max_steps=1, checkpoint_activations=patterns)
    fit(Net(), Batches(random_batches(1, size=64)), trainer=trainer)
    return sum(kept)


def test_less_is_kept_for_the_gradients() -> None:
    assert kept_bytes(["blocks.*"]) < 0.5 * kept_bytes(None)


def test_of_layers_within_layers_the_outermost_is_computed_again() -> None:
    model = Net()
    assert recomputed(model, ["blocks.*", "blocks.1.inner.*"]) == [*model.blocks]


class Normed(nn.Sequential):
    """Layers with buffers that each pass in training changes, and one that holds the number of the pass."""

    def __init__(self) -> None:
        torch.manual_seed(4)
        first = nn.Sequential(spectral_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4), nn.Dropout(0.2), Counting())
        super().__init__(first, nn.Linear(4, 1))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count = self.count + 1
        y: torch.Tensor = x * torch.sigmoid(x * self.count)
        return y


@pytest.mark.parametrize("stops", [(), (1, 2), (3, 5)])
def test_buffers_that_a_pass_changes_count_each_batch_once(stops: tuple[int, ...], tmp_path: Path) -> None:
    """pytorch#96136: statistics of batches were updated in the backward pass as well."""
    weights, saved = train(tmp_path / "again", ["0"], *stops, kind=Normed)
    plain, kept = train(tmp_path / "plain", None, kind=Normed)

    assert torch.equal(weights, plain)
    assert same_leaves(dict(saved["model"]), dict(kept["model"]))
    assert saved["model"]["0.1.num_batches_tracked"] == 8
    assert saved["model"]["0.3.count"] == 8 + 4  # validation's batches too


@pytest.mark.parametrize(
    ("model", "patterns", "place", "words"),
    [
        (Net(), ["blocks.*", "block.*"], (1,), "No part of the model is called `block.*`"),
        (Normed(), ["re:("], (0,), "re:"),
        (Net(), "blocks.*", (), "lists patterns"),
    ],
)
def test_what_cannot_be_computed_again_is_told_at_its_place(
    model: nn.Module, patterns: Any, place: tuple[int, ...], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        fit(model, Batches(random_batches(1)), trainer={"max_epochs": 1, "checkpoint_activations": patterns})
    assert caught.value.findings[0].config_path == ("trainer", "checkpoint_activations", *place)
    assert words in str(caught.value)


def test_statistics_are_refused_where_the_model_is_compiled() -> None:
    """Torch's compiler has its own way of computing again, which counts them twice or fails."""
    with pytest.raises(ConfigError, match=r"`0\.1` is a BatchNorm1d") as caught:
        recomputed(Normed(), ["0"], compiles=True)
    assert caught.value.findings[0].config_path == ("trainer", "checkpoint_activations")
    plain = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)))
    assert recomputed(plain, ["0"], compiles=True) == [plain[0]]
