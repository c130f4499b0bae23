"""Segmentation by a U-Net: image and mask augmented together, pixels that do not count, intersection over union."""

from __future__ import annotations

from pathlib import Path

from beside_plain import assert_same, lay_out, plain, train, train_with_stops

SMALL = """
model:
  graph:
    modules:
      enter: {out_channels: 4}
      down: {in_channels: 4, out_channels: 8}
      bottom: {in_channels: 8, out_channels: 8}
      up: {in_channels: 8, out_channels: 4}
      join: {in_channels: 8, out_channels: 4}
      head: {in_channels: 4}
data: {train: {samples: 20}, val: {samples: 20}, batch_size: 8}
trainer: {max_epochs: 2, log_every_n_steps: 1}
"""
SAME = {"samples": 20, "width": 4, "batch_size": 8, "max_epochs": 2, "log_every": 1}


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped in an epoch of three steps, at its end, and after it."""
    lay_out(project, "unet", SMALL)
    whole, program = train(project), plain("unet")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    for name in ("loss", "lr", "val_loss", "val_jaccard_index"):
        assert whole.values(name) == [row[name] for row in rows if name in row]

    stopped = train_with_stops(project, 1, 3, 4)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program = plain("unet")
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **SAME))
    program.train(program.Config(folder=str(tmp_path / "cut"), **SAME), stop_at=2)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **SAME))

    assert_same(continued, whole)
