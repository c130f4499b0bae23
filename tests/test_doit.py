"""Whole experiments through doit: what is trained when, what is told when it cannot be, and equal bytes each time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import torch
from projects import doit as started
from projects import weights, write
from warm import doit

from otrainer.experiment import run_experiment


def test_mistakes_of_every_kind_come_together_with_their_lines_and_the_nearest_names(project: Path) -> None:
    text = """\
        defaults: [baseline.yaml]
        run: {name: broken, sede: 1}
        schduler: {}
        trainer: {max_epoch: 3}
        data: {_type_: data.random_regresion}
        loss: {fn: {_type_: nn.MSELos}}
        optimizer: {kwargs: {lrr: 1.0e-2}}
        io: {targets: {y: ['${run.nmae}']}}
        model:
          _merge_: replace
          _value_:
            graph:
              inputs: [x]
              modules: {fc: {_type_: nn.Linear, in_features: 32, out_feature: 16}}
              nodes: [{name: a, call: op:ad, args: [$x, 1], out: h}, {name: b, call: module:fc, args: [$hh], out: z}]
              outputs: [$z]
        """
    path = write(project, "broken", text.replace("\n        ", "\n").strip() + "\n")
    result = doit(project, "validate", f"EXP={path}")
    places = {
        (line.partition(" ── ")[0], int(line.split(":")[1])) for line in result.stderr.splitlines() if " ── " in line
    }

    assert result.returncode == 1
    assert {line for _, line in places} == {2, 3, 4, 5, 6, 7, 8, 14, 15}
    for name in ("seed", "scheduler", "max_epochs", "data.random_regression", "nn.MSELoss", "lr", "run.name"):
        assert f"Did you mean `{name}`" in result.stderr, name
    for name in ("out_features", "op:add", "h"):
        assert f"`{name}`" in result.stderr, name
    assert "Traceback" not in result.stderr + result.stdout


def test_every_process_and_both_doors_come_to_the_same_bytes_and_weights(project: Path) -> None:
    results = []
    for seed in ("1", "2"):
        shutil.rmtree(project / "build", ignore_errors=True)
        shutil.rmtree(project / "runs", ignore_errors=True)
        assert started(project, "train", "EXP=baseline", PYTHONHASHSEED=seed).returncode == 0
        artifacts = {
            path.name: path.read_bytes()
            for path in (project / "build/baseline").glob("*.json")
            if "record" not in path.name
        }
        results.append((artifacts, weights("runs/baseline")))
    torch.set_num_threads(1)
    run_experiment("configs/experiments/baseline.yaml")
    here = weights("runs/baseline")

    assert {"resolved.json", "sources.json", "plugins.json", "manifest.json", "validated.json"} <= set(results[0][0])
    assert results[0][0] == results[1][0]
    for _, theirs in results:
        assert all(torch.equal(theirs[key], value) for key, value in here.items())


def test_the_content_of_declared_data_decides_whether_training_is_due(project: Path) -> None:
    """A touched file changes nothing, other bytes in it train again, and a missing one is told."""
    import numpy as np

    def save(seed: int) -> None:
        generator = np.random.default_rng(seed)
        x = generator.normal(size=(64, 32)).astype("float32")
        np.savez(project / "data.npz", x=x, y=x[:, :16])

    save(0)
    write(
        project,
        "arrays",
        "defaults: [baseline.yaml]\nrun: {name: arrays}\n"
        "data: {_merge_: replace, _value_: {_type_: data.dataset, train: {_type_: dataset.arrays, path: data.npz}}}\n",
    )

    def stages(result: subprocess.CompletedProcess[str]) -> list[str]:
        return [line[3:].partition(":")[0] for line in result.stdout.splitlines() if line.startswith(".  ")]

    assert stages(doit(project, "train", "EXP=arrays"))[-1] == "fit"
    assert stages(doit(project, "train", "EXP=arrays")) == []
    os.utime(project / "data.npz", (1, 1))
    assert stages(doit(project, "train", "EXP=arrays")) == []
    save(1)
    assert stages(doit(project, "train", "EXP=arrays")) == ["validate", "fit"]
    (project / "data.npz").unlink()
    missing = doit(project, "train", "EXP=arrays")
    assert missing.returncode == 1
    assert missing.stderr.startswith("data file not found ── configs/experiments/arrays.yaml:3:")
    assert (project / "runs/arrays/checkpoints/last.pt").is_file()


def test_a_plugin_that_python_cannot_read_is_drawn_at_its_line(project: Path) -> None:
    (project / "extensions/broken.py").write_text("def register(registry):\n    registry.register_module(\n")
    write(project, "syntax", "defaults: [baseline.yaml]\nimports: [extensions.broken]\n")
    result = doit(project, "validate", "EXP=syntax")

    assert result.returncode == 1
    assert result.stderr.startswith("plugin failed ── extensions/broken.py:2:")
    assert "Traceback" not in result.stderr


def test_a_run_directory_that_cannot_be_made_is_told(project: Path) -> None:
    (project / "file").touch()
    write(project, "nowhere", "defaults: [baseline.yaml]\nrun: {out_dir: file/run}\n")
    result = doit(project, "train", "EXP=nowhere")

    assert result.returncode == 1
    assert "cannot write" in result.stderr
    assert "Traceback" not in result.stderr


CLEANING = """
import shutil

import torch

class Cleaning:
    def setup(self, stage=None):
        shutil.rmtree("build", ignore_errors=True)

    def train_dataloader(self):
        yield {"x": torch.zeros(2, 32), "y": torch.zeros(2, 16)}

def register(registry):
    registry.register_module("data.cleaning", Cleaning)
"""


def test_build_may_be_deleted_while_a_run_trains(project: Path) -> None:
    (project / "extensions/cleaning.py").write_text(CLEANING)
    text = "defaults: [baseline.yaml]\nimports: [extensions.cleaning]\nrun: {name: cleaning}\n"
    write(project, "cleaning", text + "data: {_merge_: replace, _value_: {_type_: data.cleaning}}\n")
    first = doit(project, "train", "EXP=cleaning")
    again = doit(project, "train", "EXP=cleaning")

    assert (first.returncode, first.stderr) == (0, "")
    assert (again.returncode, again.stderr) == (0, "")
    assert "-- fit:cleaning" in again.stdout
