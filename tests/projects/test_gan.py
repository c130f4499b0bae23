"""A generative adversarial network: two models, two optimizers with turns of their own, one step."""

from __future__ import annotations

from pathlib import Path

from beside_plain import assert_same, lay_out, plain, train, train_with_stops

SMALL = """
model:
  components:
    generator: {sequential: {layers: [{_type_: mlp, dims: [16, 8, 8, 64], final_activation: sigmoid}]}}
    critic: {sequential: {layers: [{_type_: mlp, dims: [64, 8, 8, 1], activation: leaky_relu}]}}
data: {train: {samples: 50}, batch_size: 16}
trainer: {max_epochs: 3, log_every_n_steps: 1}
"""
SAME = {"samples": 50, "width": 8, "batch_size": 16, "max_epochs": 3, "log_every": 1}


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped between the turns of the second optimizer, and where an epoch of three steps ends."""
    lay_out(project, "gan", SMALL)
    whole, program = train(project), plain("gan")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    for name in ("critic_loss", "generator_loss"):
        assert whole.values(name) == [row[name] for row in rows if name in row]

    stopped = train_with_stops(project, 1, 2, 3, 6)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program = plain("gan")
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **SAME))
    program.train(program.Config(folder=str(tmp_path / "cut"), **SAME), stop_at=3)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **SAME))

    assert_same(continued, whole)
