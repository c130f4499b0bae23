"""Two experiments never train into one run directory, whether in one call or in two."""

from __future__ import annotations

import json
import os
import time

import pytest


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


def test_one_run_directory_for_two_is_refused_each_time_and_by_several_processes(project):
    """Also when the first one is up to date, whose run would only give its place to the second one's."""
    project.write("b", "out_dir: runs/a\n")
    said = "`b` and `a` both train into `runs/a`."
    for words in ((), (), ("-n", "2"), ("-n", "2", "-P", "thread")):
        done = project.doit(*words, "train", "EXP=a,b")
        assert (done.code, said in done.err) == (1, True), (words, done)
    assert json.loads((project.root / "runs/a/run.json").read_text())["experiment"] == "configs/experiments/a.yaml"
    assert not (project.root / "runs/.kept").exists()
    assert "fit a" in project.executed()


@pytest.mark.parametrize("words", [(), ("-n", "2"), ("-n", "2", "-P", "thread")])
def test_the_run_of_one_that_is_up_to_date_is_not_replaced_in_the_call_that_says_so(project, words):
    """Whichever of the two is named first."""
    project.write("b", "out_dir: runs/a\n")
    assert project.doit("train", "EXP=a").code == 0
    done = project.doit(*words, "train", "EXP=b,a")

    assert done.code == 1
    assert "both train into `runs/a`." in done.err


@pytest.mark.parametrize("words", [("-n", "2"), ("-n", "2", "-P", "thread"), ("-a", "-n", "2")])
def test_the_first_training_of_two_by_several_processes_is_one(project, words):
    project.write("b", "out_dir: runs/a\n")
    done = project.doit(*words, "train", "EXP=a,b")

    assert done.code == 1, done
    assert "`runs/a`" in done.err
    assert [line for line in project.executed() if line.startswith("fit")] in (["fit a"], ["fit b"]), done


def test_each_of_two_at_once_trains_what_it_resolved(project, running):
    """The second one waits for as long as the first one makes the build, and then makes it anew."""
    project.write("a", "wait: validate\nout_dir: runs/first\n")
    first = running("train", "EXP=a", until="waiting")
    project.write("a", "out_dir: runs/second\n")
    second = running(
        "train", "EXP=a", until=f"Waiting for process {first.pid} on {os.uname().nodename}, which is making `build/a`."
    )
    (project.root / "go").touch()

    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert json.loads((project.root / "runs/first/run.json").read_text())["state"] == "complete"
    assert json.loads((project.root / "runs/second/run.json").read_text())["state"] == "complete"


def test_a_doit_that_was_killed_keeps_no_build(project, running):
    project.write("a", "wait: validate\n")
    first = running("train", "EXP=a", until="waiting")
    first.kill()
    first.wait()
    project.write("a")
    began = time.monotonic()

    assert project.doit("train", "EXP=a").code == 0
    assert time.monotonic() - began < 10


def test_a_build_may_be_made_anew_while_its_run_is_trained(project, running):
    """Who edits an experiment that trains may validate it."""
    project.write("a", "wait: fit\n")
    running("train", "EXP=a", until="waiting")
    project.write("a", "lr: 2\n")

    assert project.doit("validate", "EXP=a").code == 0
