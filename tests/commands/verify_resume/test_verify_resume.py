"""`doit verify-resume` proves exactness on an experiment, or names the first fact that a stop changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from projects import doit, write

from otrainer.commands.verify_resume import relocate, report_end
from otrainer.commands.verify_resume.compare import compare
from otrainer.diagnostics.drawing import draw, draw_error
from otrainer.errors import ConfigError
from otrainer.storage.inside_project import written

PLUGIN = """
import random

from otrainer.components.loss import LossOutput


class Noisy:
    '''A loss with a generator of its own, which no checkpoint holds.'''

    def __init__(self):
        self.random = random.Random(0)

    def __call__(self, *, outputs, targets, batch, stage):
        weight = 1 + self.random.random()
        return LossOutput(weight * ((outputs - targets["y"]) ** 2).mean())


class Failing:
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == 2:
            raise ValueError("two is too many")


def register(registry):
    registry.register_module("loss.noisy", Noisy)
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


def test_what_is_written_elsewhere_goes_elsewhere_too(tmp_path: Path) -> None:
    """Else the check would put its own checkpoints in the place of the experiment's."""
    callbacks = [
        {"_type_": "cb.model_checkpoint", "save_dir": "runs/a/checkpoints"},
        {"_type_": "cb.model_checkpoint", "save_dir": "weights"},
        {"_type_": "cb.model_checkpoint", "_args_": ["/far/weights"]},
    ]
    run = {"out_dir": "runs/a", "resume_from": "weights/first.pt"}
    config = {"run": run, "callbacks": callbacks, "loggers": [{"_type_": "log.json_lines", "path": "rows.jsonl"}]}
    there = relocate({"run_dir": "runs/a", "config": config}, tmp_path)["config"]
    paths = [path for path, _ in written(there)]

    assert len(set(paths)) == len(paths) == 5
    assert all(Path(path).is_relative_to(tmp_path) for path in paths)
    assert there["run"]["resume_from"] == "weights/first.pt"
    assert callbacks[1]["save_dir"] == "weights"


def test_the_first_fact_that_differs_is_named(project: Path) -> None:
    experiment(project, "loss: {_merge_: replace, _value_: {_type_: loss.noisy}}")
    done = doit(project, "verify-resume", "EXP=odd")

    assert done.returncode == 1
    assert done.stderr.startswith("not exact\n")
    assert "After step 4, continued, `loss` is another" in done.stderr
    assert "Traceback" not in done.stderr


def rows(*values: str) -> list[dict[str, Any]]:
    return [{"step": step, "facts": {"batch": "a", "rng.torch": value}} for step, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("straight", "stopped", "words"),
    [
        (rows("a", "b"), rows("x", "b"), "already differ after step 1: `rng.torch` is another"),
        (rows("a", "b", "c", "d"), rows("a", "b", "c", "x"), "After step 4, continued, `rng.torch` is another"),
        (rows("a", "b"), rows("a"), "Straight it took the steps [1, 2], with stops [1]"),
        ([], [], "No step was seen"),
    ],
)
def test_what_it_came_to_is_told(straight: Any, stopped: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compare(straight, stopped)

    assert words in draw_error(caught.value)
    if straight:
        compare(straight, straight)


def test_what_fails_in_the_check_is_told(project: Path) -> None:
    experiment(project, "callbacks: {_merge_: append, _value_: [{_type_: cb.failing}]}")
    done = doit(project, "verify-resume", "EXP=odd")

    assert done.returncode == 1
    assert done.stderr.startswith("callback failed ── extensions/odd.py:21:13\n")
    assert "in the config: configs/experiments/odd.yaml:" in done.stderr
    assert "ValueError: two is too many" in done.stderr


def test_a_training_for_the_check_that_dies_is_told_with_its_last_words() -> None:
    assert draw(report_end(-9, "\n".join(["killed"] * 30))).startswith(
        "check failed\n  Training for the check ended with exit status -9.\n  killed\n"
    )


def test_without_an_experiment_it_says_what_to_type(project: Path) -> None:
    assert "  doit verify-resume EXP=baseline" in doit(project, "verify-resume").stdout
