"""A policy by flow matching: three models, two optimizers and schedules, own steps, an average of all."""

from __future__ import annotations

from pathlib import Path

from beside_plain import assert_same, lay_out, plain, train, train_with_stops

SMALL = """
model: {components: {field: {sequential: {layers: [{_type_: mlp, dims: [73, 8, 8, 8], activation: silu}]}}}}
data: {train: {count: 20}, val: {count: 10}, batch_size: 8}
trainer: {max_steps: 10, val_every_n_steps: 4, log_every_n_steps: 1, ema: {decay: 0.5, from_step: 3}}
"""
SAME = {
    "samples": 20, "held_out": 10, "width": 8, "batch_size": 8, "max_steps": 10, "val_every": 4, "log_every": 1,
    "ema_decay": 0.5, "ema_from": 3,
}  # fmt: skip


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped where warm-up ends, about the first average, and about a validation within an epoch."""
    lay_out(project, "flow", SMALL)
    whole, program = train(project), plain("flow")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    for name in ("loss", "lr_vision", "lr_policy", "val_error"):
        assert whole.values(name) == [row[name] for row in rows if name in row]

    stopped = train_with_stops(project, 1, 2, 3, 4)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program = plain("flow")
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **SAME))
    program.train(program.Config(folder=str(tmp_path / "cut"), **SAME), stop_at=4)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **SAME))

    assert_same(continued, whole)
