"""Imitation: nested batches of trajectories of different lengths, two heads and losses."""

from __future__ import annotations

from pathlib import Path

from beside_plain import assert_same, lay_out, plain, train, train_with_stops

SMALL = """
model:
  graph:
    modules:
      memory: {hidden_size: 8}
      force: {in_features: 8}
      brake: {in_features: 8}
data: {train: {count: 10}, val: {count: 5}, batch_size: 4}
trainer: {max_epochs: 2, log_every_n_steps: 1}
"""
SAME = {"trajectories": 10, "held_out": 5, "width": 8, "batch_size": 4, "max_epochs": 2, "log_every": 1}


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped in an epoch of three steps, at its end, and after it."""
    lay_out(project, "imitation", SMALL)
    whole, program = train(project), plain("imitation")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    for name in ("loss", "force_loss", "brake_loss", "val_loss", "val_force_loss"):
        assert whole.values(name) == [row[name] for row in rows if name in row]

    stopped = train_with_stops(project, 1, 3, 4)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program = plain("imitation")
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **SAME))
    program.train(program.Config(folder=str(tmp_path / "cut"), **SAME), stop_at=2)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **SAME))

    assert_same(continued, whole)
