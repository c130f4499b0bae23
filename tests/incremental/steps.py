"""A project whose edits are rows: what each costs, counted by the training itself, and whether `doit why` foretold it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

BASE = """\
# What every experiment here begins with.
defaults: [../base/runtime.yaml]
imports: [extensions.parts]
settings: {allowed_import_prefixes: [otrainer., extensions.]}
trainer: {max_epochs: 1, log_every_n_steps: 100}
data: {_merge_: replace, _value_: {_type_: data.listed, files: [numbers.txt, folder]}}
io: {_merge_: replace, _value_: {_type_: io.mapping, model_kwargs: {x: [x]}, targets: {y: [y]}}}
loss: {_merge_: replace, _value_: {_type_: loss.counted, scale: 1.0}}
loggers: {_merge_: replace, _value_: []}
model: {sequential: {inputs: [x], layers: [{_type_: nn.Linear, in_features: 4, out_features: 4}]}}
"""
EXPERIMENT = """\
# Counts its trainings.
defaults: [base.yaml]
run: {name: a, seed: "${env:int:SEED,0}"}
"""
PARTS = '''\
"""Parts that count."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from otrainer.components.loss import LossOutput

from . import helper
from .helper import Base, weighed as weigh

UNUSED = 1


@dataclass
class Listed:
    """Batches, and the files that they stand for."""

    files_: list = field(default_factory=list)

    def __init__(self, files):
        self.files_ = files

    def files(self):
        return self.files_

    def setup(self, stage=None):
        pass

    def train_dataloader(self):
        return [{"x": torch.ones(2, 4), "y": torch.zeros(2, 4)}] * 3

    def val_dataloader(self):
        return []


class Counted(Base):
    """A loss that notes each training."""

    def __init__(self, scale: float = 1.0):
        self.scale = scale
        self.noted = False

    def __call__(self, *, outputs, targets, batch, stage):
        if not self.noted:
            self.noted = True
            with open("trainings.txt", "a") as log:
                log.write("once\\n")
        return LossOutput(weigh(self.scale) * helper.OFFSET * ((outputs - targets["y"]) ** 2).mean() + self.bias)


class Beside(Base):
    """A loss that nobody uses."""

    def __call__(self, *, outputs, targets, batch, stage):
        return LossOutput(outputs.sum() * UNUSED)


def register(registry):
    registry.register_module("loss.counted", Counted)
    registry.register_module("loss.beside", Beside)
    registry.register_module("data.listed", Listed)
'''
HELPER = """\
OFFSET = 1.0
SPARE = 0


def step(fn):
    def call(x):
        return fn(x) * 1
    return call


class Base:
    bias = 0.0


@step
def weighed(x):
    return x * FACTOR


FACTOR = 2.0


def spare():
    return SPARE
"""
ALL = "resolve manifest validate fit"
OLD_NS = 1_600_000_000_000_000_000


class Step(NamedTuple):
    """An edit, the stages that execute after it, and how often it trains."""

    what: str
    change: Callable[[Path], object]
    stages: str
    trainings: int
    environ: Mapping[str, str] | None = None


def make(project: Path) -> None:
    experiments = project / "configs/experiments"
    for path in experiments.iterdir():
        path.unlink()
    (experiments / "base.yaml").write_text(BASE)
    (experiments / "a.yaml").write_text(EXPERIMENT)
    (project / "extensions/parts.py").write_text(PARTS)
    (project / "extensions/helper.py").write_text(HELPER)
    (project / "numbers.txt").write_text("1 2 3")
    (project / "folder").mkdir()
    (project / "folder/more.txt").write_text("4")


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Replace the only place of `old` in a file."""

    def change(project: Path) -> None:
        path = project / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    return change


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda project: (project / name).write_text(text)


def touch(*names: str) -> Callable[[Path], object]:
    return lambda project: [os.utime(project / name, ns=(OLD_NS, OLD_NS)) for name in names]


def remove(name: str) -> Callable[[Path], object]:
    return lambda project: (project / name).unlink()
