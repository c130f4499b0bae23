"""A vision transformer from given weights: another head, rates by layer, label smoothing, warm-up, clipping."""

from __future__ import annotations

from pathlib import Path

import torch
from beside_plain import assert_same, lay_out, plain, train, train_with_stops

SMALL = """
model:
  graph:
    modules:
      embed: {width: 8}
      blocks: {encoder_layer: {d_model: 8, nhead: 2, dim_feedforward: 32}, num_layers: 2}
      norm: {normalized_shape: 8}
      head: {in_features: 8}
data: {train: {samples: 30}, batch_size: 8}
trainer: {max_epochs: 4, log_every_n_steps: 1}
"""
SAME = {"samples": 30, "width": 8, "heads": 2, "layers": 2, "batch_size": 8, "max_epochs": 4, "log_every": 1}


def leave_weights(folder: Path) -> Path:
    """Write what somebody trained: the same transformer under a head of five classes."""
    torch.manual_seed(1)
    torch.save(plain("vit").ViT(8, 2, 2, 0.1, classes=5).state_dict(), folder / "vit.pt")
    return folder / "vit.pt"


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped where warm-up ends, where an epoch of three steps does, and after it."""
    leave_weights(project)
    lay_out(project, "vit", SMALL)
    whole, program = train(project), plain("vit")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    for name in ("loss", "val_loss"):
        assert whole.values(name) == [row[name] for row in rows if name in row]

    stopped = train_with_stops(project, 1, 3, 4)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program, more = plain("vit"), {**SAME, "weights": str(leave_weights(tmp_path))}
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **more))
    program.train(program.Config(folder=str(tmp_path / "cut"), **more), stop_at=2)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **more))

    assert_same(continued, whole)
