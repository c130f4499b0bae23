"""A character language model: steps, bf16, accumulation over an epoch's end, groups, warm-up and cosine."""

from __future__ import annotations

from pathlib import Path

from beside_plain import assert_same, lay_out, plain, train, train_with_stops

SMALL = """
model:
  sequential:
    layers:
      _merge_: replace
      _value_:
        - {_type_: char_lm.embedding, width: 16, length: 8}
        - {repeat: 2, of: {_type_: char_lm.block, width: 16, heads: 2}}
        - {_type_: nn.LayerNorm, normalized_shape: 16}
        - {_type_: nn.Linear, in_features: 16, out_features: 128}
data: {train: {length: 8, characters: 500}, val: {length: 8, characters: 500}, batch_size: 8}
trainer: {max_steps: 10, grad_accum_steps: 2, val_every_n_steps: 4, log_every_n_steps: 1}
"""
SAME = {
    "length": 8, "width": 16, "heads": 2, "blocks": 2, "characters": 500, "batch_size": 8, "max_steps": 10,
    "accumulate": 2, "val_every": 4, "log_every": 1,
}  # fmt: skip


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped in warm-up, where it ends, at an epoch's end within accumulation, and about a validation."""
    lay_out(project, "char_lm", SMALL)
    whole, program = train(project), plain("char_lm")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    assert whole.values("loss") == [row["loss"] for row in rows if "loss" in row]
    assert whole.values("val_loss") == [row["val_loss"] for row in rows if "val_loss" in row]
    assert whole.values("lr") == [row["lr"] for row in rows if "lr" in row]

    stopped = train_with_stops(project, 1, 2, 4, 5)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program = plain("char_lm")
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **SAME))
    program.train(program.Config(folder=str(tmp_path / "cut"), **SAME), stop_at=3)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **SAME))

    assert_same(continued, whole)
