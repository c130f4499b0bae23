"""A model that comes back says where its code is no longer that of its run."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import write

import otrainer
from otrainer.experiment import run_experiment

GROUND = """
import torch

SCALE = 1.0


class Scaled(torch.nn.Module):
    def forward(self, x):
        return x * SCALE


class Beside:
    pass


def register(registry):
    registry.register_module("scaled", Scaled)
"""
EXPERIMENT = """
defaults: [baseline.yaml]
imports: [extensions.ground]
run: {name: scaled}
trainer: {max_epochs: 1}
data: {steps_per_epoch: 2}
model: {sequential: {layers: [{_type_: scaled}, {_type_: mlp, dims: [null, 16], activation: gelu}]}}
"""


def test_parts_of_a_model_whose_code_changed_are_named(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A comment, a class beside it and the code of other parts change nothing; a constant that it reads does."""
    plugin = project / "extensions/ground.py"
    plugin.write_text(GROUND)
    write(project, "scaled", EXPERIMENT)
    run_experiment("configs/experiments/scaled.yaml")
    caplog.clear()
    for text in (GROUND, GROUND.replace("    pass", "    more = 1  # of it")):
        plugin.write_text(text)
        otrainer.load_model("runs/scaled")
        assert not caplog.records

    plugin.write_text(GROUND.replace("SCALE = 1.0", "SCALE = 2.0"))
    otrainer.load_model("runs/scaled")
    (warning,) = caplog.messages
    assert warning.startswith("`runs/scaled`: since it was trained, the code of `scaled` changed")
    assert "runs/scaled/code`" in warning
