"""The shipped policy: several models, statistics of the data kept with the run, episodes in parquet that count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from warm import doit

from otrainer import load_model, run_experiment

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def short(project: Path) -> Path:
    """The experiment `short`: `flow_policy` for six steps."""
    text = "defaults: [flow_policy.yaml]\nrun: {name: short}\ntrainer: {max_steps: 6, val_every_n_steps: 3}\n"
    (project / "configs/experiments/short.yaml").write_text(text)
    return project


def test_it_trains_and_keeps_the_scale_of_its_moves_with_the_weights(short: Path) -> None:
    result = run_experiment("configs/experiments/short.yaml")
    model: Any = load_model(result.run_dir)
    moves = torch.tensor(pq.read_table("build/reaching.parquet").sort_by("episode")["move"].to_pylist(), dtype=float)
    trained = moves.view(300, 24, 2)[:-30].unfold(1, 8, 1).movedim(2, 3).reshape(-1, 2)

    assert result.global_step == 6
    assert result.metrics.keys() == {"val_distance", "val_success"}
    assert torch.equal(model.scale.center, trained.mean(dim=0).float())
    assert torch.equal(model.scale.scale, trained.std(dim=0, correction=0).float())


def test_other_episodes_train_it_anew_and_the_same_ones_do_not(short: Path) -> None:
    assert doit(short, "train", "EXP=short").returncode == 0
    path = short / "build/reaching.parquet"
    table = pq.read_table(path)
    path.touch()
    assert "would run" not in doit(short, "why", "EXP=short").stdout
    pq.write_table(table.slice(1).append_column("note", [["later"] * (len(table) - 1)]), path)
    said = doit(short, "why", "EXP=short").stdout

    assert "reaching.parquet" in said
    assert "would run" in said
