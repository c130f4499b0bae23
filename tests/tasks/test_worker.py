"""The worker, talked to as doit does: over its pipes, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from otrainer.diagnostics.drawing import draw
from otrainer.storage.experiments import Experiment, find_experiment
from otrainer.tasks.interrupts import Interrupts
from otrainer.tasks.worker.client import Client, death
from otrainer.tasks.worker.handle import Worker

from .processes import REPO, STUB, until, until_gone


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project with one experiment, whose processes run the small stages of the task tests."""
    monkeypatch.setenv("PYTHONPATH", f"{STUB}{os.pathsep}{REPO}")
    write(tmp_path, "lr: 1\n")
    return tmp_path


def write(root, text) -> Experiment:
    folder = root / "configs" / "experiments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.yaml").write_text(text)
    return find_experiment("a", root)


@pytest.fixture
def worker(root):
    """A worker that is ended with the test."""
    started = Worker(root)
    yield started
    started.kill()
    started.close()


def test_a_worker_answers_each_request_with_an_outcome(root, worker):
    """Failures are outcomes too, and the next request finds the same process."""
    good = write(root, "lr: 1\n")
    assert worker.ask("resolve", good).status == "ok"
    write(root, "wrong: manifest\n")
    failed = worker.ask("manifest", good)
    assert (failed.status, failed.exit_code) == ("failed", 1)
    assert failed.drawn.splitlines()[0] == "wrong value ── configs/experiments/a.yaml:1:1"
    write(root, "lr: 1\n")
    assert worker.ask("manifest", good).status == "ok"
    pids = {line.split()[-1] for line in (root / "log.txt").read_text().splitlines()}
    assert len(pids) == 1


def test_a_long_report_arrives_whole(root, worker):
    """More than a pipe holds at once, with whatever letters."""
    experiment = write(root, f"say: {'ü' * 200_000}\n")
    report = worker.ask("resolve", experiment).report
    assert report == "ü" * 200_000


def test_a_closed_worker_ends_by_itself(root):
    """The end of its pipe is the end of its work."""
    worker = Worker(root)
    assert worker.ask("resolve", find_experiment("a", root)).status == "ok"
    assert worker.close() == 0
    assert worker.close() == 0


def test_a_worker_that_dies_says_of_what_once(root):
    """The client tells the signal, and starts another for the next stage."""
    client = Client(root, Interrupts(), alone=True)
    experiment = write(root, "die: resolve\n")
    outcome = client.run("resolve", experiment)
    assert outcome.status == "crashed"
    assert outcome.drawn.splitlines()[1] == "  The process that ran `resolve:a` was ended by SIGKILL."
    write(root, "lr: 1\n")
    assert client.run("resolve", experiment).status == "ok"
    client.close()


def test_a_child_that_outlives_the_worker_does_not_keep_doit_waiting(root):
    """A forked data worker may live on for a moment, and holds copies of what its parent had open."""
    client = Client(root, Interrupts(), alone=True)
    experiment = write(root, "orphan: resolve\ndie: resolve\n")
    began = time.monotonic()
    assert client.run("resolve", experiment).status == "crashed"
    assert time.monotonic() - began < 10
    os.kill(int((root / "orphan").read_text()), signal.SIGKILL)
    client.close()


def test_a_worker_ends_when_doit_is_gone_without_a_word(root):
    """Its parent is killed: it neither waits nor trains on."""
    write(root, "wait: resolve\n")
    code = (
        "import sys; from pathlib import Path; from otrainer.tasks.worker.handle import Worker\n"
        "from otrainer.storage.experiments import find_experiment\n"
        "root = Path(sys.argv[1]); Worker(root).ask('resolve', find_experiment('a', root))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "waiting\n"
        pid = int((root / "log.txt").read_text().split()[-1])
        parent.kill()
    until_gone(pid)


def test_an_answer_that_nobody_reads_any_more_is_no_traceback(root, worker, capfd):
    """doit closes its pipes one after the other, and an answer may come in between."""
    experiment, log = write(root, "lr: 1\n"), root / "log.txt"
    request = {"stage": "resolve", "experiment": {key: str(value) for key, value in experiment._asdict().items()}}
    os.close(worker._answers)
    worker._answers = os.open(os.devnull, os.O_RDONLY)
    for count in (1, 2):
        worker._send(request)
        until(lambda count=count: log.exists() and len(log.read_text().splitlines()) == count)

    assert capfd.readouterr().err == ""


def test_the_project_comes_first_on_the_path(root, worker):
    """Plugins are imported from the project's root, in data workers too."""
    worker.ask("resolve", find_experiment("a", root))
    assert (root / "path.txt").read_text().splitlines()[:2] == [str(root), str(root)]


def test_a_death_is_told_in_plain_words():
    """An exit status, a signal, and what a person may do about it."""
    assert draw(death("fit:a", 3)) == (
        "worker died\n  The process that ran `fit:a` ended with exit status 3.\n  What it printed says why."
    )
    assert draw(death("fit:a", -signal.SIGSEGV)) == (
        "worker died\n"
        "  The process that ran `fit:a` was ended by SIGSEGV.\n"
        "  Native code crashed; with PYTHONFAULTHANDLER=1 in the environment it says where."
    )
