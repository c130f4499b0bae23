"""The shipped vision transformer, and another run that goes on from its weights with another head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from otrainer import load_model, run_experiment
from otrainer.model import build_model

pytest.importorskip("sklearn")
pytest.importorskip("torchmetrics")


@pytest.fixture
def short(project: Path) -> Path:
    """The experiment `short`: `vit` for two batches."""
    less = "trainer: {max_epochs: 1, train_batches: 2, val_every_n_epochs: 1}\ndata: {batch_size: 4}\n"
    (project / "configs/experiments/short.yaml").write_text(f"defaults: [vit.yaml]\nrun: {{name: short}}\n{less}")
    return project


def test_its_blocks_run_over_patches_that_know_their_places(project: Path) -> None:
    model: Any = build_model("configs/experiments/vit.yaml").eval()
    image = torch.rand(3, 1, 8, 8)
    patches, positions, *blocks, norm, first, head = model.layers

    rows = patches(image).flatten(2).transpose(1, 2) @ torch.eye(64)
    rows = torch.cat([positions.first.expand(3, 1, 64), rows], 1) + positions.place
    for block in blocks:
        assert isinstance(block, nn.TransformerEncoderLayer)
        rows = block(rows)
    assert len(blocks) == 4
    assert torch.allclose(model(image=image), head(norm(rows)[:, 0]), atol=1e-5)
    assert torch.equal(first(rows), rows[:, 0])


def test_another_run_goes_on_from_its_weights_with_another_head(short: Path) -> None:
    first: Any = load_model(run_experiment("configs/experiments/short.yaml").run_dir)
    text = (short / "configs/finetuning/vit_parity.yaml").read_text().replace("runs/vit/", "runs/short/")
    (short / "configs/finetuning/vit_parity.yaml").write_text(text)
    less = "trainer: {max_epochs: 2, train_batches: 2}\ndata: {batch_size: 4}\n"
    (short / "configs/finetuning/short.yaml").write_text(f"defaults: [vit_parity.yaml]\n{less}")

    one_epoch = "defaults: [short.yaml]\nrun: {name: frozen}\ntrainer: {max_epochs: 1}\n"
    (short / "configs/finetuning/frozen.yaml").write_text(one_epoch)
    frozen: Any = load_model(run_experiment("configs/finetuning/frozen.yaml").run_dir)
    result = run_experiment("configs/finetuning/short.yaml")
    tuned: Any = load_model(result.run_dir)

    body = [name for name, _ in first.named_parameters() if not name.startswith("layers.8.")]
    assert all(torch.equal(frozen.get_parameter(name), first.get_parameter(name)) for name in body)
    assert not torch.equal(tuned.layers[0].weight, first.layers[0].weight)
    assert tuned(image=torch.rand(2, 1, 8, 8)).shape == (2, 2)
    assert result.metrics.keys() == {"val_loss", "val_accuracy"}


def test_parity_is_what_the_digits_leave_by_two(project: Path) -> None:
    from extensions.digits import Digits
    from extensions.vit import Parity

    assert torch.equal(Parity("held_out").labels, Digits("held_out").labels % 2)
