"""Fine-tuning: somebody's weights under another head, layers that thaw by epochs, rates by layer, a cosine."""

from __future__ import annotations

from pathlib import Path

import torch
from beside_plain import assert_same, lay_out, plain, train, train_with_stops
from torch import nn

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
        - {_type_: nn.Linear, in_features: 8, out_features: 2}
data: {train: {samples: 50}, batch_size: 16}
trainer: {max_epochs: 3, log_every_n_steps: 1}
"""
SAME = {"samples": 50, "width": 4, "batch_size": 16, "max_epochs": 3, "log_every": 1}


def leave_backbone(folder: Path) -> Path:
    """Write what somebody trained: three blocks, and a head of ten classes."""
    torch.manual_seed(9)
    shapes = ((1, 4, 1), (4, 8, 2), (8, 8, 1))
    blocks = [nn.Sequential(nn.Conv2d(a, b, 3, s, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()) for a, b, s in shapes]
    model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    model(torch.randn(32, 1, 8, 8))  # which leaves statistics
    torch.save(model.state_dict(), folder / "backbone.pt")
    return folder / "backbone.pt"


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped about the ends of both epochs with which layers thaw; the epochs have three steps."""
    leave_backbone(project)
    lay_out(project, "finetune", SMALL)
    whole, program = train(project), plain("finetune")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    for name in ("loss", "val_loss"):
        assert whole.values(name) == [row[name] for row in rows if name in row]
    rates = [value for name, value in whole.rows[0].items() if name.startswith("lr")]
    assert sorted(set(rates)) == sorted(set(rows[0]["rates"]))
    assert len(set(rates)) == 4  # of three blocks and a head

    stopped = train_with_stops(project, 2, 3, 4, 6, 7)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program, more = plain("finetune"), {**SAME, "backbone": str(leave_backbone(tmp_path))}
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **more))
    program.train(program.Config(folder=str(tmp_path / "cut"), **more), stop_at=4)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **more))

    assert_same(continued, whole)
