"""SIGTERM and Ctrl-C to real trainings in real processes, data workers and full disks included."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from projects import write

from otrainer.engine.signals import StopRequest
from otrainer.experiment import run_experiment

from .tasks.processes import until_gone

PLUGIN = '''
"""Data whose workers take their time and say who they are, and a disk that takes no more."""

import os
import resource
import time

import torch


class Slow:
    def __init__(self, seconds=0.2, length=100_000):
        self.seconds = seconds
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        with open("workers.txt", "a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(self.seconds)
        return {"x": torch.ones(32), "y": torch.ones(16)}


class Full:
    def __init__(self, after):
        self.after = after

    def on_train_step_end(self, ctx):
        if ctx.state.global_step == self.after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


def register(registry):
    registry.register_module("dataset.slow", Slow, tags=("dataset",))
    registry.register_module("cb.full", Full, tags=("callbacks",))
'''
WORKERS = """\
defaults: [baseline.yaml]
imports: [extensions.slow]
run: {name: slow}
data: {_merge_: replace, _value_: {_type_: data.dataset, batch_size: 2, num_workers: 2, train: {_type_: dataset.slow}}}
loggers: {_merge_: replace, _value_: [{_type_: log.stdout, every_n_steps: 1}]}
trainer: {log_every_n_steps: 1}
"""
FULL = """\
defaults: [baseline.yaml]
imports: [extensions.slow]
run: {name: full}
data: {steps_per_epoch: 100000}
callbacks:
  _merge_: replace
  _value_:
    - {_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints', every_n_steps: EVERY, background: false}
    - {_type_: cb.full, after: 15}
"""


@pytest.fixture(autouse=True)
def hang_ups_are_heard() -> Iterator[None]:
    """Where pytest was started by `nohup`, what it starts would ignore them."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def alone(process: subprocess.Popen[str], signum: int) -> None:
    process.send_signal(signum)


def group(process: subprocess.Popen[str], signum: int) -> None:
    os.killpg(process.pid, signum)


@contextmanager
def training(project: Path, name: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """doit in a process group of its own, training, once a line begins with `until`."""
    (project / "extensions/slow.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "doit", "train", f"EXP={name}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            next(line for line in process.stdout if line.startswith(until))
            yield process
        finally:
            if process.poll() is None:  # the test failed, and would wait for it
                os.killpg(process.pid, signal.SIGKILL)


def no_worker_lives(project: Path) -> None:
    for pid in set((project / "workers.txt").read_text().split()):
        until_gone(int(pid))


def run_of(project: Path, name: str) -> dict[str, object]:
    return json.loads((project / f"runs/{name}/run.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("send", [alone, group])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_whoever_gets_the_signal_the_step_under_way_is_saved_and_no_data_worker_lives_on(
    project: Path, send: Callable[[subprocess.Popen[str], int], None], signum: int, code: int
) -> None:
    """Data workers that ended with the rest of the group would take the batch along that the step is waiting for."""
    write(project, "slow", WORKERS)
    with training(project, "slow", "step      2 ") as process:
        send(process, signum)
        began = time.monotonic()
        said = process.communicate(timeout=60)[0]

    assert process.returncode == code, said
    assert time.monotonic() - began < 0.4 + 2 + 2, said  # a step, a save, and two seconds
    step = run_of(project, "slow")["global_step"]
    assert f"checkpoint of step {step} saved: runs/slow/checkpoints/last.pt" in said
    assert run_of(project, "slow")["state"] == "interrupted"
    assert "Traceback" not in said
    no_worker_lives(project)


WARNINGS = [(signal.SIGHUP, 129), (signal.SIGUSR1, 138)]


@pytest.mark.parametrize(("signum", "code"), WARNINGS)
@pytest.mark.parametrize("send", [alone, group])
def test_a_closed_terminal_and_a_clusters_warning_stop_with_a_checkpoint(
    project: Path, send: Callable[[subprocess.Popen[str], int], None], signum: int, code: int
) -> None:
    write(project, "slow", WORKERS)
    with training(project, "slow", "step      2 ") as process:
        send(process, signum)
        said = process.communicate(timeout=60)[0]

    assert process.returncode == code, said
    assert f"checkpoint of step {run_of(project, 'slow')['global_step']} saved" in said
    assert "Traceback" not in said
    no_worker_lives(project)


SHORT = """\
defaults: [baseline.yaml]
imports: [extensions.slow]
run: {name: short}
data:
  _merge_: replace
  _value_: {_type_: data.dataset, batch_size: 4, train: {_type_: dataset.slow, seconds: 0, length: 100}}
loggers: {_merge_: replace, _value_: [{_type_: log.stdout, every_n_steps: 1}]}
trainer: {max_epochs: 1, log_every_n_steps: 1}
"""


def shell(project: Path, command: str) -> subprocess.CompletedProcess[str]:
    (project / "extensions/slow.py").write_text(PLUGIN)
    (project / "workers.txt").touch()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command],  # noqa: S607 - the shell that people have
        cwd=project, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "doit train EXP=short | head -1; echo ${PIPESTATUS[0]}",
        "doit train EXP=short 2>&1 | head -1; echo ${PIPESTATUS[0]}",
        "doit train EXP=short 2>&- >/dev/null; echo $?",
        "doit train EXP=short >&- 2>&-; echo $?",
        "doit train EXP=short <&- >&- 2>&- ; echo $?",
    ],
)
def test_training_goes_on_where_nobody_reads_what_it_says(project: Path, command: str) -> None:
    write(project, "short", SHORT)
    done = shell(project, command)

    assert done.stdout.splitlines()[-1] == "0", done.stdout + done.stderr
    assert run_of(project, "short")["state"] == "complete"


def test_a_process_that_ignores_hang_ups_goes_on(project: Path) -> None:
    """As `nohup` has it, and those that it starts."""
    write(project, "slow", WORKERS)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with training(project, "slow", "step      2 ") as process:
            group(process, signal.SIGHUP)
            assert process.stdout is not None
            next(line for line in process.stdout if line.startswith("step      5 "))
            process.terminate()
            said = process.communicate(timeout=60)[0]
    finally:
        signal.signal(signal.SIGHUP, before)

    assert process.returncode == 143, said


def test_a_terminal_that_is_gone_costs_no_step(project: Path) -> None:
    """The system sends SIGHUP then, and whatever is printed afterwards is an error."""
    write(project, "slow", WORKERS)
    (project / "extensions/slow.py").write_text(PLUGIN)
    (project / "workers.txt").touch()
    command = [sys.executable, "-m", "doit", "train", "EXP=slow"]
    here, there = os.openpty()
    process = subprocess.Popen(
        command, cwd=project, stdin=there, stdout=there, stderr=there, start_new_session=True, preexec_fn=take_terminal
    )
    os.close(there)
    said = b""
    while b"step      2 " not in said:
        said += os.read(here, 65536)
    os.close(here)

    assert process.wait(60) == 129
    run = run_of(project, "slow")
    assert (run["state"], run["global_step"] >= 2) == ("interrupted", True)
    no_worker_lives(project)


def take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(("signum", "code"), WARNINGS)
def test_from_python_such_a_signal_stops_with_a_checkpoint_too(project: Path, signum: int, code: int) -> None:
    (project / "extensions/slow.py").write_text(PLUGIN)
    (project / "extensions/send.py").write_text(SEND.replace("SIGNAL", str(int(signum))))
    path = write(project, "sent", "defaults: [baseline.yaml]\nimports: [extensions.send]\nrun: {name: sent}\n" + SENT)
    with pytest.raises(SystemExit) as stop:
        run_experiment(path)

    assert stop.value.code == code
    assert run_of(project, "sent")["global_step"] == 13
    assert signal.getsignal(signum) is signal.SIG_DFL


@pytest.mark.parametrize("handler", [signal.SIG_IGN, print])
def test_a_signal_that_somebody_handles_or_ignores_is_left_to_them(handler: object) -> None:
    before = signal.signal(signal.SIGUSR1, handler)  # type: ignore[arg-type]
    try:
        with StopRequest() as outer, StopRequest() as inner:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert (outer.signum, inner.signum) == (None, None)
            os.kill(os.getpid(), signal.SIGHUP)
            assert (outer.signum, inner.signum) == (None, signal.SIGHUP)
        assert signal.getsignal(signal.SIGUSR1) is handler
    finally:
        signal.signal(signal.SIGUSR1, before)


SENT = """\
callbacks:
  _merge_: replace
  _value_: [{_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints'}, {_type_: cb.send}]
"""
SEND = """\
import os


class Send:
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == 13:
            os.kill(os.getpid(), SIGNAL)


def register(registry):
    registry.register_module("cb.send", Send)
"""


@pytest.mark.parametrize("send", [alone, group])
def test_a_second_ctrl_c_ends_a_training_and_its_data_workers_at_once(
    project: Path, send: Callable[[subprocess.Popen[str], int], None]
) -> None:
    write(project, "slow", WORKERS.replace("dataset.slow}", "dataset.slow, seconds: 5}"))
    (project / "workers.txt").touch()
    with training(project, "slow", ".  fit:slow") as process:
        while not (project / "workers.txt").read_text():
            assert process.poll() is None
            time.sleep(0.01)
        send(process, signal.SIGINT)
        time.sleep(0.5)  # two at the same instant are one to a process
        began = time.monotonic()
        send(process, signal.SIGINT)
        said = process.communicate(timeout=60)[0]

    assert (process.returncode, time.monotonic() - began < 3) == (130, True), said
    assert "Traceback" not in said
    no_worker_lives(project)


def test_killing_the_training_leaves_no_data_worker_behind(project: Path) -> None:
    write(project, "slow", WORKERS.replace("dataset.slow}", "dataset.slow, seconds: 1000}"))
    (project / "workers.txt").touch()
    with training(project, "slow", ".  fit:slow") as process:
        while not (project / "workers.txt").read_text():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()

    no_worker_lives(project)


def test_a_disk_that_takes_no_checkpoint_ends_the_run_with_that_even_if_it_takes_no_run_file_either(
    project: Path,
) -> None:
    write(project, "full", FULL.replace("EVERY", "10"))
    with training(project, "full", ".  fit:full") as process:
        said = process.communicate(timeout=60)[0]

    assert process.returncode == 1, said
    assert "checkpoint not saved" in said
    assert "runs/full/checkpoints/step_20.pt` cannot be written: File too large." in said
    assert "Traceback" not in said
    assert sorted(path.name for path in (project / "runs/full/checkpoints").iterdir()) == ["last.pt", "step_10.pt"]
    assert run_of(project, "full")["global_step"] == 10


def test_a_signal_with_no_room_for_a_checkpoint_says_so_and_ends_with_its_own_code(project: Path) -> None:
    write(project, "full", FULL.replace("EVERY", "100000"))
    with training(project, "full", "step     30 ") as process:
        process.terminate()
        said = process.communicate(timeout=60)[0]

    assert process.returncode == 143, said
    assert "checkpoint not saved" in said
    assert "runs/full/checkpoints/last.pt` cannot be written: File too large." in said
    assert "no checkpoint was saved, so there is nothing to continue from" in said
    assert "Traceback" not in said
