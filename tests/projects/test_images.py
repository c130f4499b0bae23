"""Images: augmentation, an average of the weights, class weights, early stopping, the best checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from beside_plain import assert_same, lay_out, plain, train, train_with_stops

SMALL = """
model:
  sequential:
    layers:
      _merge_: replace
      _value_:
        - {_type_: conv_bn_act, in_channels: 1, out_channels: 4}
        - {_type_: conv_bn_act, in_channels: 4, out_channels: 8, stride: 2}
        - {_type_: conv_bn_act, in_channels: 8, out_channels: 8}
        - {_type_: nn.AdaptiveAvgPool2d, output_size: 1}
        - {_type_: nn.Flatten}
        - {_type_: nn.Linear, in_features: 8, out_features: 10}
data: {train: {samples: 40}, val: {samples: 40}, batch_size: 16}
trainer: {max_epochs: 5, log_every_n_steps: 1, ema: {decay: 0.5, from_step: 5}}
callbacks:
  _merge_: replace
  _value_:
    - {_type_: cb.early_stopping, monitor: val_accuracy, mode: max, patience: 2, min_delta: 10.0}
    - {_type_: cb.model_checkpoint, save_dir: runs/small/checkpoints, monitor: val_accuracy, mode: max}
"""
SAME = {
    "samples": 40, "width": 4, "batch_size": 16, "max_epochs": 5, "log_every": 1, "ema_decay": 0.5, "ema_from": 5,
    "patience": 2, "min_delta": 10.0,
}  # fmt: skip


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped where an epoch ends and about the first average, which is in the second of three epochs."""
    lay_out(project, "images", SMALL)
    whole, program = train(project), plain("images")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    assert whole.steps == 9  # stopped early, after three epochs
    for name in ("loss", "lr", "val_loss"):
        assert whole.values(name) == [row[name] for row in rows if name in row]
    right = [row["val_accuracy"] for row in rows if "val_accuracy" in row]
    assert whole.values("val_accuracy") == pytest.approx(right)  # torchmetrics divides in single precision

    stopped = train_with_stops(project, 3, 4, 5, 6)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program = plain("images")
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **SAME))
    program.train(program.Config(folder=str(tmp_path / "cut"), **SAME), stop_at=5)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **SAME))

    assert_same(continued, whole)
