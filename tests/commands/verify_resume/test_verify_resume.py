"""`doit verify-resume` proves exactness on an experiment, or names the first fact that a stop changes."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from projects import write
from warm import doit

from otrainer.commands.verify_resume import relocate, report_end
from otrainer.commands.verify_resume.beside import kept_beside
from otrainer.commands.verify_resume.compare import compare, stops_of
from otrainer.diagnostics.drawing import draw, draw_error
from otrainer.errors import ConfigError
from otrainer.storage.inside_project import written

PLUGIN = """
import itertools

from otrainer.components.loss import LossOutput

CALLS = itertools.count(1)


class Noisy:
    '''A loss that goes by how often this process called it, which no checkpoint holds.'''

    def __call__(self, *, outputs, targets, batch, stage):
        return LossOutput(next(CALLS) * ((outputs - targets["y"]) ** 2).mean())


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
    assert "exact to the bit over 22 steps, straight and stopped after 3 and at the epoch's end, 20" in done.stdout
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
    assert "goes by something that no checkpoint holds" in done.stderr
    assert "deterministic" not in done.stderr
    assert "Traceback" not in done.stderr


def rows(*values: str) -> list[dict[str, Any]]:
    return [
        {"step": step, "at": "step", "facts": {"batch": "a", "rng.torch": value}}
        for step, value in enumerate(values, 1)
    ]


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


def test_where_it_stops_goes_by_the_epochs() -> None:
    def trace(steps: int, epoch: int) -> list[dict[str, Any]]:
        ends = [{"step": step, "at": "epoch", "facts": {}} for step in range(epoch, steps + 1, epoch)]
        every = [{"step": step, "at": "step", "facts": {}} for step in range(1, steps + 1)]
        return sorted([*every, *ends], key=lambda row: row["step"])

    assert stops_of(trace(8, 100)) == ["3", "5", ""]
    assert stops_of(trace(22, 20)) == ["3", "20e", ""]
    assert stops_of(trace(8, 2)) == ["3", "4e", ""]
    assert stops_of(trace(4, 4)) == ["3", ""]
    assert stops_of(trace(2, 2)) == [""]


def step(number: int, facts: dict[str, str], *, at: str = "step", lost: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"step": number, "at": at, "facts": facts, "lost": list(lost)}


def told(straight: Any, stopped: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        compare(straight, stopped)
    return draw_error(caught.value)


def test_the_first_fact_that_leads_to_the_others_is_the_cause() -> None:
    straight = [step(4, {"batch": "a", "beside.model.count": "a", "loss": "a", "model.weight": "a"})]
    stopped = [step(4, {"batch": "a", "beside.model.count": "x", "loss": "x", "model.weight": "x"})]

    report = told(straight, stopped)
    assert "`model.count` is another than without a stop (2 more)" in report
    assert "No checkpoint holds it" in report
    assert "deterministic" not in report


def test_only_what_already_differs_without_a_stop_is_put_down_to_the_switch() -> None:
    assert "`run.deterministic: true`" in told([step(1, {"loss": "a"})], [step(1, {"loss": "x"})])
    assert "deterministic" not in told([step(4, {"loss": "a"})], [step(4, {"loss": "x"})])
    assert "deterministic" not in told([step(4, {"model.w": "a"})], [step(4, {"model.w": "x"})])


def test_an_epochs_end_right_after_the_first_stop_comes_after_it() -> None:
    straight = [step(3, {"loss": "a"}), step(3, {"loss": "a"}, at="epoch")]
    stopped = [step(3, {"loss": "a"}), step(3, {"loss": "x", "beside.io.began": "x"}, at="epoch")]

    report = told(straight, stopped)
    assert "At the end of the epoch, after step 3, continued, `loss` is another than without a stop (1 more)" in report


def test_times_and_the_like_are_no_difference_but_what_no_checkpoint_can_hold_is_one() -> None:
    straight = [step(number, {"beside.callbacks[0].began": "a"}, lost=("metrics[0].seen",)) for number in (1, 4)]
    stopped = [step(number, {"beside.callbacks[0].began": "x"}) for number in (1, 4)]

    assert "no checkpoint can hold `metrics[0].seen`" in told(straight, stopped)
    compare(stopped, stopped)
    assert "At the end of the epoch, after step 4" in told(
        [step(4, {"loss": "a"}, at="epoch")], [step(4, {"loss": "x"}, at="epoch")]
    )


def test_what_the_users_own_parts_hold_is_looked_at_in_all_kinds() -> None:
    class Own(torch.nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.count, self.name, self.inner = 1, "text", [Held()]

    class Held:
        def __init__(self) -> None:
            self.rng, self.sums, self.seen = random.SystemRandom(), np.zeros(2), [1.0] * 40
            self.mean = np.float32(1)
            self.generator = torch.Generator()

    nothing = {"optimizer": None, "loss": None, "io": None, "metrics": [], "callbacks": [object()]}
    context: Any = SimpleNamespace(model=torch.nn.Sequential(Own()), **nothing)
    found = dict(kept_beside(context, 1))

    names = {name.rpartition(".")[2] for name in found}
    assert {"count", "sums", "seen", "mean", "generator"} <= names
    assert names.isdisjoint({"name", "rng", "weight"})


def test_what_fails_in_the_check_is_told(project: Path) -> None:
    experiment(project, "callbacks: {_merge_: append, _value_: [{_type_: cb.failing}]}")
    done = doit(project, "verify-resume", "EXP=odd")

    assert done.returncode == 1
    assert done.stderr.startswith("callback failed ── extensions/odd.py:19:13\n")
    assert "in the config: configs/experiments/odd.yaml:" in done.stderr
    assert "ValueError: two is too many" in done.stderr


def test_a_training_for_the_check_that_dies_is_told_with_its_last_words() -> None:
    assert draw(report_end(-9, "\n".join(["killed"] * 30))).startswith(
        "check failed\n  Training for the check ended with exit status -9.\n  killed\n"
    )


def test_without_an_experiment_it_says_what_to_type(project: Path) -> None:
    assert "  doit verify-resume EXP=baseline" in doit(project, "verify-resume").stdout
