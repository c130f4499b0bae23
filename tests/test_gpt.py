"""The shipped GPT: a text that every Python brings, tied weights, and what its steps are taken with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from warm import doit

from otrainer import load_model, run_experiment


@pytest.fixture
def short(project: Path) -> Path:
    """The experiment `short`: `gpt` for four steps of two micro-batches."""
    text = "defaults: [gpt.yaml]\nrun: {name: short}\ntrainer: {max_steps: 4, val_every_n_steps: 2, val_batches: 1}\n"
    less = "data: {batch_size: 2}\n"
    (project / "configs/experiments/short.yaml").write_text(text + less)
    return project


def test_it_trains_by_steps_and_reads_back_what_it_embeds(short: Path) -> None:
    result = run_experiment("configs/experiments/short.yaml")
    model: Any = load_model(result.run_dir)
    x = torch.randint(96, (2, 64))

    assert result.global_step == 4
    assert {path.name: len(path.read_text()) for path in result.run_dir.glob("samples/*")} == {
        f"step_{step}.txt": len("The ") + 240 + 1 for step in (0, 2, 4)
    }
    assert result.metrics.keys() == {"val_loss"}
    assert model(x=x).shape == (2, 96, 64)
    assert model.layers[5].weight is model.layers[0].token.weight


def test_no_character_sees_those_behind_it(short: Path) -> None:
    run_experiment("configs/experiments/short.yaml")
    model: Any = load_model("runs/short")
    x = torch.randint(96, (1, 64))
    other = x.clone()
    other[0, 40:] = (other[0, 40:] + 1) % 96

    with torch.no_grad():
        assert torch.equal(model(x=x)[..., :40], model(x=other)[..., :40])


def test_show_tells_the_groups_and_counts_what_is_tied_once(short: Path) -> None:
    said = doit(short, "show", "EXP=short", "MODEL=1").stdout

    assert "no_decay" in said
    tied = 96 * 96
    blocks = 3 * (2 * 2 * 96 + (96 + 1) * 288 + (96 + 1) * 96 + (96 + 1) * 384 + (384 + 1) * 96)
    assert f"{tied + 64 * 96 + blocks + 2 * 96:,}" in said
