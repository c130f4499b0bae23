"""Two experiments never train into one run directory, whether in one call or in two."""

from __future__ import annotations

import json
import os
import time


def test_two_experiments_of_one_call_are_refused_with_both_names(project):
    """The first of them is trained, and its run is not touched by the second."""
    project.write("b", "out_dir: runs/a\n")
    done = project.doit("train", "EXP=a,b")

    assert done.code == 1
    assert done.err == (
        "one run directory for two ── run.out_dir\n"
        "  `b` and `a` both train into `runs/a`.\n"
        "  Give each its own `run.name`, or train them one after the other by two calls.\n"
        "  while claiming the run directory of b\n"
    )
    assert json.loads((project.root / "runs/a/run.json").read_text())["experiment"] == "configs/experiments/a.yaml"
    assert not (project.root / "runs/.kept").exists()


def test_a_second_process_is_refused_within_two_seconds_and_told_the_pid(project, running):
    """Whichever experiment it trains into that directory, by whatever path."""
    project.write("a", "wait: fit\n")
    (project.root / "runs").mkdir()
    (project.root / "linked").symlink_to(project.root / "runs")
    project.write("b", "out_dir: linked/a\n")
    process = running("train", "EXP=a", until="waiting")
    began = time.monotonic()
    done = project.doit("train", "EXP=b")

    assert time.monotonic() - began < 2
    assert done.code == 1
    assert f"is being written by process {process.pid} on {os.uname().nodename}." in done.err
    assert project.executed() == [*(f"{stage} a" for stage in ("resolve", "manifest", "validate", "fit")), "resolve b"]


def test_a_run_within_another_run_is_refused_before_anything_is_made_there(project):
    project.doit("train", "EXP=a")
    before = sorted((project.root / "runs/a").iterdir())
    project.write("b", "out_dir: runs/a/b\n")
    done = project.doit("train", "EXP=b")

    assert done.code == 1
    assert "a run within a run ── run.out_dir\n  `runs/a/b` lies in `runs/a`, and a run takes" in done.err
    assert sorted((project.root / "runs/a").iterdir()) == before
