"""`doit evaluate`: trains what is due, judges a checkpoint once, and again only if what it is made of changes."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from projects import shipped, write
from trained import copy
from warm import doit

PLUGIN = """
import torch
from otrainer.components.loss import LossOutput


class Squares:
    def __init__(self, path, n):
        self.path = path

    def files(self):
        return [self.path]

    def __len__(self):
        return len(torch.load(self.path, weights_only=True))

    def __getitem__(self, index):
        x = torch.load(self.path, weights_only=True)[index]
        return {"x": x, "y": x ** 2}


class Mae:
    def __init__(self):
        self.reset()

    def reset(self):
        self.errors = []

    def update(self, *, outputs, targets, batch, stage):
        if stage == "val":
            self.errors.append((outputs - targets["y"]).abs().mean().item())

    def compute(self):
        return {"val_mae": sum(self.errors) / max(len(self.errors), 1)}


def register(registry):
    registry.register_module("dataset.squares", Squares)
    registry.register_module("metric.mae", Mae)
"""
EXPERIMENT = """
defaults: [baseline.yaml]
imports: [extensions.squares]
run: {name: squares}
data:
  _merge_: replace
  _value_:
    _type_: data.dataset
    batch_size: 4
    train: {_type_: dataset.squares, path: train.pt, n: 12}
    val: {_type_: dataset.squares, path: val.pt, n: 5}
    test: {_type_: dataset.squares, path: test.pt, n: 7}
model: {_merge_: replace, _value_: {sequential: {layers: [{_type_: mlp, dims: [3, 8, 3]}]}}}
metrics: [{_type_: metric.mae}]
loggers: []
callbacks:
  - {_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints', monitor: val_loss}
"""
RUN = Path("runs/squares")


def lay_out(project: Path) -> None:
    import torch

    (project / "extensions/squares.py").write_text(PLUGIN)
    write(project, "squares", EXPERIMENT)
    for seed, (name, count) in enumerate({"train": 12, "val": 5, "test": 7}.items()):
        values = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
        torch.save(values, project / f"{name}.pt")


def evaluations(folder: Path = RUN) -> dict[tuple[str, str], dict[str, Any]]:
    found = json.loads((folder / "evaluation.json").read_text())["evaluations"]
    return {(each["split"], each["checkpoint"]): each for each in found}


def executed(project: Path, *words: str) -> list[str]:
    """The stages that a call executes, which ends well."""
    done = doit(project, "evaluate", "EXP=squares", *words)
    assert done.returncode == 0, done.stderr
    return [line.partition(":")[0][3:] for line in done.stdout.splitlines() if line.startswith(".  ")]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after its first call, for each test to copy."""
    root = tmp_path_factory.mktemp("evaluated") / "project"
    shipped(root)
    lay_out(root)
    assert executed(root) == ["resolve", "manifest", "validate", "fit", "evaluate"]
    return root


@pytest.fixture
def squares(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(copy(evaluated, tmp_path / "project"))
    return tmp_path / "project"


def test_it_comes_to_the_runs_own_validation_and_several_lie_side_by_side(squares: Path) -> None:
    metrics = json.loads((RUN / "run.json").read_text())["metrics"]
    assert executed(squares, "CHECKPOINT=last") == executed(squares, "SPLIT=test") == ["evaluate"]
    found = evaluations()

    assert set(found) == {("val", "best"), ("val", "last"), ("test", "best")}
    assert {f"val_{name}": value for name, value in found["val", "last"]["values"].items()} == metrics
    assert [found[key]["samples"] for key in (("val", "best"), ("test", "best"))] == [5, 7]
    assert executed(squares) == executed(squares, "CHECKPOINT=last") == executed(squares, "SPLIT=test") == []


def test_it_prints_the_values_also_where_they_are_known_already(squares: Path) -> None:
    loss = evaluations()["val", "best"]["values"]["loss"]
    done = doit(squares, "evaluate", "EXP=squares")

    assert "squares: val with runs/squares/checkpoints/best.pt (step 6), 5 samples\n" in done.stdout
    assert f"  loss  {loss:.6g}\n" in done.stdout


def test_what_an_evaluation_is_not_made_of_leaves_it_alone(squares: Path) -> None:
    config = squares / "configs/experiments/squares.yaml"
    edit(config, "batch_size: 4", "batch_size: 4  # a comment")
    assert executed(squares) == ["resolve"]
    edit(config, "loggers: []", "loggers: [{_type_: log.stdout}]")
    assert executed(squares) == ["resolve", "validate"]
    edit(squares / "extensions/squares.py", "import torch\n", "import torch\n\n# a comment\n")
    assert "evaluate" not in executed(squares)
    assert executed(squares) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("extensions/squares.py", "abs().mean()", "abs().sum()", "metric.mae"),
        ("configs/experiments/squares.yaml", "dims: [3, 8, 3]", "dims: [3, 9, 3]", "model"),
    ],
)
def test_edited_code_and_config_are_evaluated_again(squares: Path, file: str, old: str, new: str, why: str) -> None:
    before = evaluations()["val", "best"]
    edit(squares / file, old, new)

    assert executed(squares)[-1] == "evaluate"
    after = evaluations()["val", "best"]
    assert after["values"] != before["values"]
    changed = [name for part in ("config", "code") for name in after["made_of"][part]
               if after["made_of"][part][name] != before["made_of"][part].get(name)]  # fmt: skip
    assert why in changed
    assert executed(squares) == []


def test_other_test_data_are_evaluated_again(squares: Path) -> None:
    import torch

    assert executed(squares, "SPLIT=test") == ["evaluate"]
    before = evaluations()["test", "best"]["values"]
    torch.save(torch.ones(7, 3), squares / "test.pt")

    assert executed(squares, "SPLIT=test")[-1] == "evaluate"
    assert evaluations()["test", "best"]["values"] != before


def test_outputs_are_kept_once_asked_for_and_go_with_an_evaluation_that_is_old(squares: Path) -> None:
    kept = RUN / "predictions/test-best.npz"
    assert executed(squares, "SPLIT=test", "PREDICTIONS=1") == ["evaluate"]
    with np.load(kept) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {"outputs": (7, 3), "targets.y": (7, 3)}
        outputs = arrays["outputs"]
    assert executed(squares, "SPLIT=test", "PREDICTIONS=1") == executed(squares, "SPLIT=test") == []
    assert executed(squares, "SPLIT=test", "PREDICTIONS=parquet") == ["evaluate"]
    assert not kept.exists()
    table = pq.read_table(kept.with_suffix(".parquet"))
    assert np.array_equal(np.array(table["outputs"].to_pylist(), np.float32), outputs)
    assert executed(squares, "SPLIT=test", "PREDICTIONS=1") == ["evaluate"]
    kept.unlink()
    assert executed(squares, "SPLIT=test") == []
    assert executed(squares, "SPLIT=test", "PREDICTIONS=1") == ["evaluate"]
    edit(squares / "extensions/squares.py", "abs().mean()", "abs().sum()")
    assert executed(squares, "SPLIT=test")[-1] == "evaluate"
    assert not kept.exists()


def test_a_checkpoint_can_be_any_file_and_one_of_another_model_is_refused(squares: Path) -> None:
    (squares / "mine.pt").write_bytes((RUN / "checkpoints/last.pt").read_bytes())
    assert executed(squares, "CHECKPOINT=mine.pt") == ["evaluate"]
    assert executed(squares, "CHECKPOINT=last") == ["evaluate"]
    found = evaluations()
    assert found["val", "mine.pt"]["values"] == found["val", "last"]["values"]

    assert doit(squares, "train", "EXP=baseline").returncode == 0
    done = doit(squares, "evaluate", "EXP=squares", "CHECKPOINT=runs/baseline/checkpoints/last.pt")
    assert done.returncode == 1
    assert "do not fit this model" in done.stderr
    assert evaluations() == found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["SPLIT=tests"], "There is no split `tests`. Did you mean `test`?"),
        (["CHECKPOINT=bset"], "It has best, last. Did you mean `best`?"),
        (["PREDICTIONS=csv"], "Predictions are kept as npz or parquet, not as `csv`."),
        (["CHEKPOINT=best"], "Did you mean `CHECKPOINT`?"),
    ],
)
def test_what_is_asked_for_and_not_there_is_told_with_the_nearest_name(
    squares: Path, words: list[str], told: str
) -> None:
    before = (RUN / "evaluation.json").read_bytes()
    done = doit(squares, "evaluate", "EXP=squares", *words)

    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert (RUN / "evaluation.json").read_bytes() == before


def test_a_damaged_checkpoint_is_told_and_not_trained_over(squares: Path) -> None:
    """Its end, by which the run knows it, is whole."""
    broken = squares / "broken.pt"
    content = bytearray((RUN / "checkpoints/best.pt").read_bytes())
    content[200] ^= 1
    broken.write_bytes(content)
    done = doit(squares, "evaluate", "EXP=squares", "CHECKPOINT=broken.pt")

    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_somebody_else_is_left_alone(squares: Path) -> None:
    path = RUN / "evaluation.json"
    path.write_text('{"mine": 1}')
    done = doit(squares, "evaluate", "EXP=squares")

    assert done.returncode == 1
    assert "`runs/squares/evaluation.json` is no file of evaluations" in done.stderr
    assert path.read_text() == '{"mine": 1}'


def test_another_process_that_writes_the_run_is_waited_for_by_nobody(squares: Path) -> None:
    held = "import sys; from otrainer.storage.runs.lock import lock_run\n"
    held += "with lock_run('runs/squares'): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held], cwd=squares, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        done = doit(squares, "evaluate", "EXP=squares", "SPLIT=test")
        other.communicate(b"")

    assert done.returncode == 1
    assert f"is being written by process {other.pid}" in done.stderr
    assert executed(squares, "SPLIT=test") == ["evaluate"]


def test_ctrl_c_ends_it_and_leaves_what_was_there(squares: Path) -> None:
    edit(
        squares / "extensions/squares.py",
        "        x = torch.load(self.path",
        "        import os, signal\n"
        "        if (self.path, index) == ('test.pt', 0):\n            os.kill(os.getpid(), signal.SIGINT)\n"
        "        x = torch.load(self.path",
    )
    assert "evaluate" in executed(squares)
    before = hashlib.sha256((RUN / "evaluation.json").read_bytes()).hexdigest()
    done = doit(squares, "evaluate", "EXP=squares", "SPLIT=test")

    assert done.returncode == 128 + signal.SIGINT
    assert "nothing was evaluated" in done.stdout + done.stderr
    assert hashlib.sha256((RUN / "evaluation.json").read_bytes()).hexdigest() == before


def test_a_failed_training_is_not_evaluated(project: Path) -> None:
    lay_out(project)
    edit(project / "extensions/squares.py", "x ** 2", "x ** 2 / 0")
    done = doit(project, "evaluate", "EXP=squares")

    assert done.returncode == 1
    assert ".  evaluate" not in done.stdout
    assert not (RUN / "evaluation.json").exists()


def test_it_is_listed_with_its_run_and_explained_with_its_stages(squares: Path) -> None:
    loss = evaluations()["val", "best"]["values"]["loss"]
    assert f"val of best: loss {loss:.4g}, mae " in doit(squares, "runs").stdout

    def told() -> list[str]:
        lines = doit(squares, "why", "EXP=squares").stdout.splitlines()
        return [line.strip() for line in lines[lines.index(next(each for each in lines if "evaluate" in each)) :]]

    assert told() == ["evaluate  up to date", "On `val` with `best`."]
    edit(squares / "extensions/squares.py", "abs().mean()", "abs().sum()")
    assert told() == ["evaluate  would run", "The training before it would run.", "On `val` with `best`."]
    assert doit(squares, "train", "EXP=squares").returncode == 0
    assert not any("evaluate" in line for line in doit(squares, "why", "EXP=squares").stdout.splitlines())
