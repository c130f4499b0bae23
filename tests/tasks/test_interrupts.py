"""Ctrl-C, termination and sudden death, with real signals to real processes: training is saved, no child survives."""

from __future__ import annotations

import os
import signal
import time

import pytest

from otrainer.storage.runs.run_json import read_run

from .processes import until_gone


def finish(process):
    """What the process said after it was stopped."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def pid_of(project, stage):
    lines = (project.root / "log.txt").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(stage)).split()[-1])


def interrupt_all(process):
    """As a terminal does for Ctrl-C: doit and its worker get it at once."""
    os.killpg(process.pid, signal.SIGINT)


def interrupt_doit(process):
    process.send_signal(signal.SIGINT)


def terminate_doit(process):
    process.terminate()


@pytest.mark.parametrize(
    ("stop", "code", "word"),
    [(interrupt_all, 130, "SIGINT"), (interrupt_doit, 130, "SIGINT"), (terminate_doit, 143, "SIGTERM")],
)
def test_a_signal_during_training_saves_it_first(project, running, stop, code, word):
    """However it arrives, the worker stops at a step boundary, doit waits for it and ends with the signal's code."""
    project.write("a", "wait: fit\n")
    project.write("b")
    process = running("train", "EXP=a,b", until="waiting")
    stop(process)
    ended, out, err = finish(process)
    assert (ended, err) == (code, "")
    assert f"stopped by {word}: the run can be resumed" in out
    assert "fit:b" not in out
    assert read_run(project.root / "runs" / "a")["state"] == "interrupted"
    until_gone(pid_of(project, "fit a"))
    (project.root / "go").touch()
    assert project.doit("train", "EXP=a").lines[-1] == ".  fit:a"
    assert read_run(project.root / "runs" / "a")["state"] == "complete"


def test_a_second_ctrl_c_ends_at_once(project, running):
    """A training that does not stop is ended with its worker."""
    project.write("a", "wait: fit\nstubborn: yes\n")
    process = running("train", "EXP=a", until="waiting")
    interrupt_all(process)
    running_on = process.stdout.readline()
    assert running_on == "not yet\n"
    interrupt_all(process)
    code, _, err = finish(process)
    assert (code, err) == (130, "ended by SIGINT\n")
    until_gone(pid_of(project, "fit a"))


def test_a_second_ctrl_c_that_only_the_worker_counts_ends_at_once_as_well(project, running):
    """Two signals that arrive at once are one to a process: doit may have seen none or one where its worker saw two."""
    project.write("a", "wait: fit\nstubborn: yes\n")
    process = running("train", "EXP=a", until="waiting")
    worker = pid_of(project, "fit a")
    os.kill(worker, signal.SIGINT)
    assert process.stdout.readline() == "not yet\n"
    os.kill(worker, signal.SIGINT)
    code, _, err = finish(process)
    assert (code, err) == (130, "ended by SIGINT\n")
    until_gone(worker)


@pytest.mark.parametrize(("stop", "code", "word"), [(interrupt_all, 130, "SIGINT"), (terminate_doit, 143, "SIGTERM")])
@pytest.mark.parametrize("stage", ["resolve", "validate"])
def test_a_signal_outside_training_ends_all_with_one_line(project, running, stage, stop, code, word):
    """There is nothing to save: neither process prints a traceback, and neither stays."""
    project.write("a", f"wait: {stage}\n")
    process = running("train", "EXP=a", until="waiting")
    stop(process)
    assert finish(process)[::2] == (code, f"ended by {word}\n")
    until_gone(pid_of(project, stage))


def test_killing_doit_leaves_no_child_training_on(project, running):
    """The worker dies with its parent, and what was finished before is not forgotten."""
    project.write("a", "wait: fit\n")
    process = running("train", "EXP=a", until="waiting")
    worker = pid_of(project, "fit a")
    process.kill()
    process.wait()
    until_gone(worker)
    project.taken()
    (project.root / "go").touch()
    done = project.doit("train", "EXP=a")
    assert done.lines == ["-- resolve:a", "-- manifest:a", "-- validate:a", ".  fit:a"]


def test_killing_a_doit_of_several_processes_leaves_no_child_training_on(project, running):
    """Its processes die with it, and their workers with them."""
    project.write("a", "wait: fit\n")
    project.write("b", "lr: 1\n")
    process = running("-n", "2", "train", "EXP=a,b", until="waiting")
    worker = pid_of(project, "fit a")
    process.kill()
    process.wait()
    until_gone(worker)


def test_a_worker_that_is_stopped_by_itself_is_an_interruption(project, running):
    """Somebody ends the training process with SIGTERM: it saves, and doit ends like it."""
    project.write("a", "wait: fit\n")
    process = running("train", "EXP=a", until="waiting")
    os.kill(pid_of(project, "fit a"), signal.SIGTERM)
    code, out, _ = finish(process)
    assert code == 143
    assert "stopped by SIGTERM" in out


def test_two_trainings_of_one_run_directory_never_run_at_once(project, running):
    """The second is refused within two seconds, before anything slow, and told the pid of the first."""
    project.write("a", "wait: fit\n")
    project.write("b", "out_dir: runs/a\n")
    project.write("c")
    process = running("train", "EXP=a", until="waiting")
    for experiment in ("a", "b"):
        began = time.monotonic()
        done = project.doit("train", f"EXP={experiment}")
        assert time.monotonic() - began < 2
        assert done.code == 1
        assert done.err == (
            "run in use ── run.out_dir\n"
            f"  `runs/a` is being written by process {process.pid} on {os.uname().nodename}.\n"
            "  Wait until it has ended, or give this experiment another `run.name`.\n"
            f"  while claiming the run directory of {experiment}\n"
        )
    assert project.doit("train", "EXP=c").code == 0
    assert project.doit("validate").code == 0
    (project.root / "go").touch()
    assert finish(process)[0] == 0
