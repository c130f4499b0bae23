"""A table: a test split and folds, statistics of what is trained on, a plateau's rate, and the test in the end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import warm
from beside_plain import assert_same, lay_out, plain, train, train_with_stops
from sklearn.datasets import load_wine

pytest.importorskip("pyarrow")

SMALL = """
model: {sequential: {layers: {_merge_: replace, _value_: [{_type_: mlp, dims: [13, 16, 16, 3], dropout: 0.2}]}}}
data: {fold: {index: 2}}
optimizer: {kwargs: {lr: 0.03}}
scheduler: {kwargs: {patience: 0}}
trainer: {max_epochs: 4, log_every_n_steps: 1}
"""
SAME = {"width": 16, "fold": 2, "patience": 0, "lr": 0.03, "max_epochs": 4, "log_every": 1}


def leave_table(folder: Path) -> Path:
    wine = load_wine()
    with (folder / "wine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*wine.feature_names, "class"])
        rows = zip(wine.data.tolist(), wine.target, strict=True)
        writer.writerows([*values, wine.target_names[target]] for values, target in rows)
    return folder / "wine.csv"


def test_it_trains_as_its_plain_program_and_stops_change_nothing(project: Path) -> None:
    """Stopped about validations, with which the rate changes; the epochs have four steps."""
    leave_table(project)
    lay_out(project, "tabular", SMALL)
    whole, program = train(project), plain("tabular")
    weights, rows = program.train(program.Config(**SAME))

    assert_same(whole.weights, weights)
    for name in ("loss", "lr", "val_loss"):
        assert whole.values(name) == [row[name] for row in rows if name in row]
    right = [row["val_accuracy"] for row in rows if "val_accuracy" in row]
    assert whole.values("val_accuracy") == pytest.approx(right)

    stopped = train_with_stops(project, 3, 4, 5, 8)
    assert_same(stopped.weights, whole.weights)
    assert stopped.rows == whole.rows


def test_its_plain_program_goes_on_exactly_too(tmp_path: Path) -> None:
    program, more = plain("tabular"), {**SAME, "table": str(leave_table(tmp_path))}
    whole, _ = program.train(program.Config(folder=str(tmp_path / "whole"), **more))
    program.train(program.Config(folder=str(tmp_path / "cut"), **more), stop_at=5)
    continued, _ = program.train(program.Config(folder=str(tmp_path / "cut"), **more))

    assert_same(continued, whole)


def test_the_test_split_is_judged_as_the_plain_program_does(project: Path) -> None:
    leave_table(project)
    lay_out(project, "tabular", SMALL)
    program = plain("tabular")
    program.train(program.Config(**SAME))
    done = warm.doit(project, "evaluate", "EXP=small", "SPLIT=test")
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads((project / "runs/small/evaluation.json").read_text())["evaluations"]
    plainly = json.loads((project / "runs/tabular/test.json").read_text())

    assert found["values"]["loss"] == plainly["loss"]
    assert found["values"]["accuracy"] == pytest.approx(plainly["accuracy"])
