"""A check of very many experiments is shared by processes that the worker forks, and nobody can tell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otrainer.tasks.worker.line import Hand

from .processes import until, until_gone

NAMES = "abcdefghijklmnopqr"  # more than two processes get at once
SHARED = "from otrainer.tasks import ahead\n\nahead.SHARE, ahead.processors = 1, lambda: 3\n"


@pytest.fixture
def many(project):
    """Experiments with one manifest, and a doit for which few of them are worth two hands."""
    dodo = project.root / "dodo.py"
    dodo.write_text(f"{dodo.read_text()}\n{SHARED}")
    for name in NAMES:
        project.write(name, "shared: yes\nwait: validate\n")
    return project


def validating(project) -> set[int]:
    """The processes that have begun to validate."""
    log = project.root / "log.txt"
    lines = log.read_text().splitlines() if log.exists() else []
    return {int(line.split()[2]) for line in lines if line.startswith("validate ")}


def test_processes_that_the_worker_forks_take_their_share(many):
    """Each experiment is validated once, and told in its turn."""
    doit = many.start("validate")
    until(lambda: len(validating(many)) == 3)
    (many.root / "go").touch()
    out, err = doit.communicate(timeout=60)

    assert (doit.returncode, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith(".  validate")] == [
        f".  validate:{name}" for name in NAMES
    ]
    assert sorted(line for line in many.executed() if line.startswith("validate")) == [
        f"validate {name}" for name in NAMES
    ]


@pytest.mark.parametrize("dying", ["b", "d", "h"])
def test_one_that_dies_of_an_experiment_dies_again_in_its_turn_and_the_others_are_validated(many, dying):
    (many.root / "go").touch()
    many.write(dying, "shared: yes\ndie: validate\n")
    done = many.doit("validate")

    assert done.code == 1
    assert f"The process that ran `validate:{dying}` was ended by SIGKILL." in done.err
    assert done.err.count("worker died") == 1
    assert [line[-1] for line in done.lines if line.startswith(".  validate")] == [*NAMES]
    assert many.doit("validate").lines.count(f".  validate:{dying}") == 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_none_outlives_doit(many, signum):
    """Ctrl-C reaches the whole group; the others doit alone."""
    doit = many.start("validate")
    until(lambda: len(validating(many)) == 3)
    pids = validating(many)
    if signum == signal.SIGINT:
        os.killpg(doit.pid, signum)
    else:
        doit.send_signal(signum)
    doit.communicate(timeout=60)

    assert doit.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[signum]
    for pid in pids:
        until_gone(pid)


def test_a_hand_that_never_came_is_never_asked():
    hand = Hand()
    for end in hand.theirs:
        os.close(end)

    assert not hand.is_ready
    assert not hand.is_ready
    hand.close_pipes()


def test_few_experiments_are_left_to_the_worker(project):
    (project.root / "go").touch()
    for name in NAMES:
        project.write(name, "shared: yes\n")
    project.doit("validate")

    assert len({line.split()[2] for line in project.taken() if line.startswith("validate ")}) == 1


LEAVES = """
import atexit, sys, threading, time
from pathlib import Path
from otrainer.tasks.worker import process

left = open("left.txt", "w")
left.write("written")
raw = open("left.bin", "wb")
raw.write(b"written")
print("said", end="")
atexit.register(lambda: Path("exit.txt").write_text("written"))
late = threading.Thread(target=lambda: (time.sleep(0.3), Path("late.txt").write_text("written")))
if "thread" in sys.argv:
    late.start()
process.end_at_once()
"""


@pytest.mark.parametrize("thread", ["", "thread"])
def test_a_worker_that_ends_at_once_loses_nothing_that_was_left_open(tmp_path: Path, thread: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVES, thread], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    names = ["exit.txt", "left.bin", "left.txt", *(["late.txt"] if thread else [])]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(names, "written")
    assert (done.stdout, done.stderr) == ("said", "")


IMPORTING = """
import os
from otrainer.storage.processes import is_single_threaded
from otrainer.tasks.worker.process import prepare, without_blas_threads

with without_blas_threads():
    prepare()
import numpy
print(is_single_threaded(), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.parametrize("threads", [None, "3"])
def test_what_stages_need_can_be_imported_without_a_thread_wherever_numpy_begins_them_by_itself(threads):
    """Else no process is forked where people have not set a number of threads, as few have."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {} if threads is None else {"OPENBLAS_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", str(threads)]
