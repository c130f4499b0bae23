"""`doit verify-resume` proves exactness on an experiment, or names the first fact that a stop changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import doit, write

PLUGIN = """
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from otrainer.components.loss import LossOutput


class Noisy:
    '''A loss with a generator of its own, which no checkpoint holds.'''

    def __init__(self):
        self.random = random.Random(0)

    def __call__(self, *, outputs, targets, batch, stage):
        weight = 1 + self.random.random()
        return LossOutput(weight * ((outputs - targets["y"]) ** 2).mean())


@dataclass
class Served:
    '''Data that are gone once they were read, as from a queue.'''

    path: str

    def setup(self, stage=None):
        Path(self.path).parent.mkdir(exist_ok=True)

    def train_dataloader(self):
        while True:
            with open(self.path, "a+") as queue:
                queue.write("x")
                served = float(queue.tell())
            yield {"x": torch.full((4, 32), served), "y": torch.zeros(4, 16)}

    def val_dataloader(self):
        return None


class Clock:
    '''A loss that goes by the time of day.'''

    def __call__(self, *, outputs, targets, batch, stage):
        return LossOutput(time.perf_counter_ns() % 1000 * ((outputs - targets["y"]) ** 2).mean())


class Drawing:
    '''A callback that draws numbers, but only in a process that began at the beginning.'''

    fresh = True

    def on_train_step_end(self, ctx):
        if self.fresh:
            torch.rand(1)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        self.fresh = False


class Failing:
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == 2:
            raise ValueError("two is too many")


def register(registry):
    registry.register_module("loss.noisy", Noisy)
    registry.register_module("loss.clock", Clock)
    registry.register_module("data.served", Served)
    registry.register_module("cb.drawing", Drawing)
    registry.register_module("cb.failing", Failing)
"""


def experiment(project: Path, more: str) -> None:
    (project / "extensions/odd.py").write_text(PLUGIN)
    write(project, "odd", f"defaults: [baseline.yaml]\nimports: [extensions.odd]\nrun: {{name: odd}}\n{more}\n")


def test_an_exact_experiment_is_told_to_be_so_and_its_run_is_not_touched(project: Path) -> None:
    assert doit(project, "train", "EXP=baseline").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (project / "runs").rglob("*")}
    done = doit(project, "verify-resume", "EXP=baseline")

    assert done.returncode == 0, done.stderr
    assert "baseline: exact to the bit over 8 steps, straight and stopped after 3 and 5" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in (project / "runs").rglob("*")} == before
    assert not list((project / "build").rglob(".verify-*"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("loss: {_merge_: replace, _value_: {_type_: loss.noisy}}", "After step 4, continued, `loss` is another"),
        (
            "data: {_merge_: replace, _value_: {_type_: data.served, path: '${run.out_dir}/queue'}}",
            "After step 4, continued, `batch` is another",
        ),
        (
            "callbacks: {_merge_: append, _value_: [{_type_: cb.drawing}]}",
            "After step 4, continued, `rng.torch` is another",
        ),
    ],
    ids=["loss", "data", "random numbers"],
)
def test_the_first_fact_that_differs_is_named(project: Path, more: str, words: str) -> None:
    experiment(project, more)
    done = doit(project, "verify-resume", "EXP=odd")

    assert done.returncode == 1
    assert done.stderr.startswith("not exact\n")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_differs_without_any_stop_is_told_apart(project: Path) -> None:
    experiment(project, "loss: {_merge_: replace, _value_: {_type_: loss.clock}}")
    done = doit(project, "verify-resume", "EXP=odd")

    assert done.returncode == 1
    assert done.stderr.startswith("not deterministic\n")
    assert "already differ after step 1: `loss`" in done.stderr


def test_what_fails_in_the_check_is_told(project: Path) -> None:
    experiment(project, "callbacks: {_merge_: append, _value_: [{_type_: cb.failing}]}")
    done = doit(project, "verify-resume", "EXP=odd")

    assert done.returncode == 1
    assert done.stderr.startswith("check failed\n")
    assert "ValueError: two is too many" in done.stderr


def test_without_an_experiment_it_says_what_to_type(project: Path) -> None:
    assert "  doit verify-resume EXP=baseline" in doit(project, "verify-resume").stdout
