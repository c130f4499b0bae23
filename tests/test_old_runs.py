"""Run folders that an earlier otrainer wrote are listed, loaded and gone on from.

`old_runs/runs.tar.xz` holds what commit 0900115 left of `doit train EXP=done` and `STOP_AT=27 doit train EXP=stopped`
in a project with the configs and the plugin beside it, each file as it was written.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from warm import doit

import otrainer

OLD = Path(__file__).with_name("old_runs")
PARENT = "3445cf729f8941bad65491f9b3ac8a36194bf9f6a2371bffbdbc1dedcaa33f46"
# What a checkpoint did not say then of where training stands.
SINCE = {
    "epoch_trained": True, "should_stop": False, "is_cut": False, "seconds": 0.0, "validated_at": 0.0, "validations": 0,
    "logged_at": 0.0,
}  # fmt: skip
OUTPUTS = [[-0.4532638490200043], [0.03373858332633972]]


@pytest.fixture
def old(project: Path) -> Path:
    """A project with the old runs, whose plugin was edited since: their definitions are not today's."""
    for name in ("configs", "extensions"):
        shutil.copytree(OLD / name, project / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    with tarfile.open(OLD / "runs.tar.xz") as archive:
        archive.extractall(project, filter="data")
    plugin = project / "extensions/nine_parts.py"
    plugin.write_text(plugin.read_text().replace("EDITION = 1\n", "EDITION = 2\n"))
    return project


def book_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def checkpoint_of(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.pt", weights_only=True)


def files_of(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def same_floats(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Equality of the tensors of two flat mappings, kernels of other machines allowed for."""
    return found.keys() == wanted.keys() and all(
        torch.allclose(value, wanted[name], atol=1e-5) for name, value in found.items()
    )


def test_old_runs_are_listed_and_reasoned_about(old: Path) -> None:
    listed, why = doit(old, "runs"), doit(old, "why", "EXP=done")

    assert (listed.returncode, why.returncode) == (0, 0), listed.stderr + why.stderr
    rows = [line.split()[:3] for line in listed.stdout.splitlines()]
    assert ["done", "complete", "40"] in rows
    assert ["stopped", "interrupted", "27"] in rows
    assert "would run" in next(line for line in why.stdout.splitlines() if line.split()[:1] == ["fit"])


def test_the_model_of_an_old_run_gives_the_outputs_that_it_gave_then(old: Path) -> None:
    model = otrainer.load_model(old / "runs/done")

    outputs = model(torch.linspace(-1, 1, 8).reshape(2, 4))
    assert torch.allclose(outputs, torch.tensor(OUTPUTS), atol=1e-6)


def test_an_old_interrupted_run_is_kept_and_a_child_of_it_comes_to_what_the_whole_run_came_to(old: Path) -> None:
    """Every part goes on from its own state: weights, scheduler, metric within its epoch, both kinds of callbacks."""
    before = files_of(old / "runs/stopped")
    resumed = doit(old, "resume", "EXP=stopped")

    assert resumed.returncode == 0, resumed.stderr
    (kept,) = (old / "runs/.kept/stopped").iterdir()
    assert files_of(kept) == before
    child = book_of(old / "runs/stopped")
    assert child["lineage"] == {"parent": PARENT, "global_step": 27, "before": {}}
    assert (child["state"], child["global_step"], child["definition"] == PARENT) == ("complete", 40, False)
    assert f"continued from {PARENT[:8]} at step 27" in resumed.stdout

    found, whole = checkpoint_of(old / "runs/stopped"), checkpoint_of(old / "runs/done")
    assert same_floats(found["model"], whole["model"])
    assert found["scheduler"] == whole["scheduler"]
    assert found["train_state"] == {**whole["progress"], **SINCE}
    mean, rates = ([part["callbacks"][place]["state"] for part in (found, whole)] for place in (1, 2))
    assert mean[0]["state_dict"]["steps"] == mean[1]["state_dict"]["steps"] == 40
    assert same_floats(*(each["state_dict"]["mean"] for each in mean))
    assert rates[0]["attributes"] == rates[1]["attributes"]
    wanted = rows_of(old / "runs/done")
    rows = [{name: row[name] for name in row if name != "lr_1"} for row in rows_of(old / "runs/stopped")]
    assert rows == [  # where only the first group's rate was logged
        {name: pytest.approx(value, abs=1e-5) if isinstance(value, float) else value for name, value in row.items()}
        for row in wanted
    ]


def test_a_run_can_start_from_the_checkpoint_of_an_old_one(old: Path) -> None:
    longer = doit(old, "train", "EXP=longer")

    assert longer.returncode == 0, longer.stderr
    found, book = checkpoint_of(old / "runs/longer"), book_of(old / "runs/longer")
    assert (book["state"], book["global_step"]) == ("complete", 60)
    assert next(row["step"] for row in rows_of(old / "runs/longer")) == 45
    assert found["callbacks"][1]["state"]["state_dict"]["steps"] == 60
    assert len(found["callbacks"][2]["state"]["attributes"]["rates"]) == 6
    assert found["scheduler"]["last_epoch"] == 60
