"""Runs: run.json is the truth about a run, one process at a time writes it, and an earlier one is kept."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from otrainer import errors
from otrainer.diagnostics.drawing import draw_error
from otrainer.storage.runs import run_json as runs
from otrainer.storage.runs.archive import fits, move_aside
from otrainer.storage.runs.lock import lock_run
from otrainer.storage.runs.ownership import measure


def made(folder, **changes):
    """A run directory with a finished run of definition `d` that left one file."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints" / "last.pt").write_bytes(b"12345")
    data = {
        "config": {"run": {"name": folder.name}},
        "name": folder.name,
        "experiment": "configs/experiments/x.yaml",
        "state": "complete",
        "definition": "0123456789abcdef",
        "global_step": 40,
        "epoch": 2,
        "metrics": {"val_loss": 0.5},
        "outputs": measure(folder, ["checkpoints/last.pt"]),
        "started": "2026-01-02T03:04:05Z",
        "ended": "2026-01-02T03:05:05Z",
        "wall_s": 60.0,
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "lineage": {},
        "versions": {"torch": "2.13.0"},
        "git": None,
        "device": "cpu",
        "code": [],
        "data": {},
        **changes,
    }
    runs.write_run(folder, data)
    return folder


def names(folder):
    return sorted(each.name for each in folder.iterdir())


@contextmanager
def another_process(code, *arguments):
    """A Python process that runs `code` and has said that it is ready; it is killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


HOLD = (
    "import sys; from otrainer.storage.runs.lock import lock_run\n"
    "with lock_run(sys.argv[1]): print('ready', flush=True); sys.stdin.read()"
)


def test_a_run_is_read_as_it_was_written(tmp_path):
    """run.json keeps its keys in one order, whatever order they were given in."""
    run = runs.read_run(made(tmp_path / "x"))
    assert run is not None
    assert tuple(run) == runs.KEYS
    size, mtime_ns, _ = run["outputs"]["checkpoints/last.pt"]
    assert (size, mtime_ns) == (5, (tmp_path / "x/checkpoints/last.pt").stat().st_mtime_ns)


def test_a_folder_without_run_json_is_no_run(tmp_path):
    """Neither an empty folder nor a missing one holds a run."""
    assert runs.read_run(tmp_path) is None
    assert runs.read_run(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Expecting property name"),
        ("[]", "it holds no mapping"),
        ('{"schema": 9}', "its schema is 9, not 1"),
        ('{"schema": 1, "state": "done"}', "its state is 'done'"),
        ('{"schema": 1, "state": "running"}', "it lacks `name`, `experiment`, `definition`"),
    ],
)
def test_a_damaged_run_json_is_named(tmp_path, text, problem):
    """The error names the file and what is wrong with it."""
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(errors.ConfigError, match="does not read as a run's file") as caught:
        runs.read_run(tmp_path)
    assert problem in str(caught.value)
    assert str(tmp_path / "run.json") in str(caught.value)


ODD = {
    "name": [1, None, ["x"]],
    "experiment": [1, {}],
    "definition": [None, 7, ["first"], True],
    "global_step": ["40", -1, 1.5, math.nan, math.inf, 10**30, True, [40]],
    "epoch": [{}, -0.5, 2**63],
    "metrics": [None, [1], 0.5, "val_loss"],
    "outputs": [
        None, ["a"], {"a": None}, {"a": [1, 2]}, {"a": [1, 2, 3]}, {"a": [1, "2", "x"]}, {"a": [-1, 2, "x"]},
        {"a": [True, 2, "x"]}, {"a": [2**70, 2, "x"]}, {"a\0b": [1, 2, "x"]}, {"": [1, 2, "x"]},
        {"/etc/last.pt": [1, 2, "x"]}, {"\ud800": [1, 2, "x"]},
    ],
    "started": [5, []],
    "wall_s": ["60", math.nan, math.inf, -1, 10**400],
    "pid": ["1", -1, {}],
    "lineage": [None, [], {"parent": 1}, {"global_step": "3"}, {"before": {"before": 7}}],
    "versions": [[1], {"torch": 2}, None],
    "git": ["abc", []],
    "code": [None, {}, [1], [{"key": "a"}], [{"key": 1, "target": "", "plugin": None, "fingerprint": ""}]],
    "data": [[], {"a": 1}, {"a": {"sha256": 1}}, {"a": {"size": -1}}],
    "config": [None, [], {"run": 1}, {"run": {"out_dir": 1}}, {"callbacks": {"a": 1}}, {"loggers": [None]}],
    "files": [None, {}, [1]],
    "metrics_step": ["x", -3],
}  # fmt: skip


@pytest.mark.parametrize("key", ODD)
def test_a_field_of_another_kind_is_damage_that_names_it(tmp_path, key):
    """Whoever made the file: all who read it may rely on what each field is."""
    folder = made(tmp_path / "x")
    run = json.loads((folder / "run.json").read_text())
    for value in ODD[key]:
        (folder / "run.json").write_text(json.dumps({**run, key: value}))
        with pytest.raises(errors.ConfigError, match=f"`{key}` is .*, not a") as caught:
            runs.read_run(folder)
        assert len(str(caught.value).removeprefix(str(folder))) < 400
        assert runs.read_run_or_none(folder) is None
        with pytest.raises(ValueError, match=key):
            runs.write_run(folder, {**run, key: value})


def test_several_odd_fields_are_told_together_and_very_many_are_counted_out(tmp_path):
    folder = made(tmp_path / "x")
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "pid": "1\x1b[31m", "epoch": -1}))
    with pytest.raises(errors.ConfigError, match=r"`epoch` is -1, not a .*; `pid` is '1\\x1b\[31m', not a"):
        runs.read_run(folder)
    (folder / "run.json").write_text(json.dumps({**{key: [] for key in run}, "schema": 1, "state": "failed"}))
    with pytest.raises(errors.ConfigError, match="and more"):
        runs.read_run(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"definition": "other"}, "Its definition changed."),
        ({"state": "interrupted"}, "It was interrupted."),
        ({"state": "failed"}, "It failed."),
        ({"state": "running"}, "It was cut off."),
        ({"outputs": {"checkpoints/last.pt": [6, 1, ""]}}, "`checkpoints/last.pt` was altered."),
        ({"outputs": {"checkpoints/best.pt": [6, 1, ""]}}, "`checkpoints/best.pt` was deleted."),
    ],
)
def test_a_run_is_finished_or_says_why_not(tmp_path, change, reason):
    """Complete, of this definition, and with all that it left: anything else has its sentence."""
    folder = made(tmp_path / "x", **change)
    assert runs.why_unfinished(folder, "0123456789abcdef") == reason


def test_another_checkpoint_under_the_time_of_the_old_one_is_seen(tmp_path):
    folder = made(tmp_path / "x")
    path = folder / "checkpoints/last.pt"
    before = path.stat()
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy2)
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert runs.why_unfinished(folder, "0123456789abcdef") == "`checkpoints/last.pt` was altered."
    assert runs.why_unfinished(tmp_path / "copy", "0123456789abcdef") is None


@pytest.mark.parametrize(
    ("outputs", "gone", "needed"),
    [
        ("last.pt step_10.pt step_40.pt", "step_10.pt step_40.pt", ""),
        ("last.pt step_10.pt", "last.pt", "last.pt"),
        ("last.pt best.pt step_10.pt", "step_10.pt best.pt", "best.pt"),
        ("step_10.pt step_40.pt", "step_10.pt", ""),
        ("step_10.pt step_40.pt", "step_40.pt", "step_40.pt"),
        ("last.pt step_10.pt step_40.pt", "last.pt step_10.pt", "last.pt"),
        ("last.pt step_40.pt", "last.pt step_40.pt", "last.pt"),
        ("a/last.pt b/step_10.pt", "b/step_10.pt", ""),
        ("last.pt step_x.pt", "step_x.pt", "step_x.pt"),
    ],
)
def test_a_complete_run_does_without_checkpoints_of_steps_while_its_end_is_there(tmp_path, outputs, gone, needed):
    """Those of single steps are spare; its end is in `last.pt`, or in that of the last step."""
    folder = made(tmp_path / "x")
    for path in (folder / name for name in outputs.split()):
        path.parent.mkdir(exist_ok=True)
        path.write_text("weights")
    data = runs.read_run(folder) | {"outputs": measure(folder, outputs.split())}
    runs.write_run(folder, data)
    for name in gone.split():
        (folder / name).unlink()

    reason, spared = runs.judge(folder, "0123456789abcdef")
    assert reason == (f"`{needed}` was deleted." if needed else None)
    assert spared == ([] if needed else gone.split())
    kept = move_aside(folder)
    assert fits(kept, "0123456789abcdef", complete=True) is (needed == "")


def test_a_run_that_is_not_there_is_unfinished(tmp_path):
    """Before the first training there is one plain reason."""
    assert runs.why_unfinished(tmp_path / "x", "d") == "It was not trained yet."


def test_the_second_writer_is_refused_at_once_and_told_who_holds_it(tmp_path):
    """Two processes never write into one run directory; the error names the pid and the host."""
    with another_process(HOLD, tmp_path / "x") as holder:
        started = time.monotonic()
        with pytest.raises(errors.ConfigError) as caught, lock_run(tmp_path / "x"):
            pass
        assert time.monotonic() - started < 2
        assert draw_error(caught.value) == (
            "run in use\n"
            f"  `{tmp_path}/x` is being written by process {holder.pid} on {os.uname().nodename}.\n"
            "  Wait until it has ended, or give this experiment another `run.name`."
        )
        with lock_run(tmp_path / "y"):
            pass


def test_one_run_directory_has_one_lock_by_whatever_path(tmp_path):
    """A link to a run directory does not open a second door."""
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("x")
    with another_process(HOLD, tmp_path / "x"), pytest.raises(errors.ConfigError), lock_run(tmp_path / "link"):
        pass


def running(folder, **change):
    """The folder of a run that is under way, by a process that sleeps."""
    return made(folder, state="running", host=os.uname().nodename, **change)


SLEEP = "print('ready', flush=True); import sys; sys.stdin.read()"


def test_where_locks_were_deleted_run_json_names_who_trains(tmp_path):
    """They look like litter; a second trainer is refused all the same, and told the pid."""
    with another_process(SLEEP) as other:
        folder = running(tmp_path / "x", pid=other.pid)
        assert runs.is_written(folder)
        with pytest.raises(errors.ConfigError, match=f"is being written by process {other.pid} on"):
            runs.refuse_if_written(folder)
        with pytest.raises(errors.ConfigError, match="is being written"), runs.lock_written(folder):
            pass
        other.kill()
        other.wait()
        assert not runs.is_written(folder)
        with runs.lock_written(folder):
            pass


@pytest.mark.parametrize(
    ("change", "age_s"),
    [
        ({}, 10_000),
        ({"host": "elsewhere"}, 0),
        ({"state": "complete"}, 0),
        ({"state": "interrupted"}, 0),
        ({"pid": None}, 0),
        ({"pid": 0}, 0),
        ({"pid": 2**62}, 0),
    ],
)
def test_who_does_not_train_here_keeps_nobody_out(tmp_path, change, age_s):
    """A later process with the same number, one of another machine, and whatever else may stand in run.json."""
    with another_process(SLEEP) as other:
        folder = made(tmp_path / "x", **{"state": "running", "host": os.uname().nodename, "pid": other.pid, **change})
        written = time.time() - age_s
        os.utime(folder / "run.json", (written, written))
        assert not runs.is_written(folder)


def test_a_process_goes_on_with_what_it_left_itself(tmp_path):
    """As a notebook does whose training was cut off."""
    with runs.lock_written(running(tmp_path / "x", pid=os.getpid())):
        pass


def test_a_killed_holder_lets_go(tmp_path):
    """After SIGKILL the lock is free, its old holder's name notwithstanding."""
    with another_process(HOLD, tmp_path / "x") as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with lock_run(tmp_path / "x"):
        assert (tmp_path / ".locks" / "x.lock").read_text().split()[0] == str(os.getpid())
    assert (tmp_path / ".locks" / "x.lock").read_text() == ""


def test_a_child_of_a_killed_holder_does_not_keep_the_lock(tmp_path):
    """A data loader's worker, forked from the process that held the lock, may live a little longer."""
    code = (
        "import os, sys, time; from otrainer.storage.runs.lock import lock_run\n"
        "with lock_run(sys.argv[1]):\n"
        "    if os.fork(): sys.stdin.read()\n"
        "    open(sys.argv[2], 'w').write(str(os.getpid())); print('ready', flush=True); time.sleep(60); os._exit(0)\n"
    )
    with another_process(code, tmp_path / "x", tmp_path / "child") as holder:
        holder.kill()
        holder.wait()
    try:
        with lock_run(tmp_path / "x"):
            pass
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_an_earlier_run_is_moved_aside_whole(tmp_path):
    """It is found again under its start and its definition, and its bytes are the same."""
    folder = made(tmp_path / "x")
    kept = move_aside(folder)
    assert kept == tmp_path / ".kept" / "x" / "2026-01-02T030405Z-01234567"
    assert (kept / "checkpoints" / "last.pt").read_bytes() == b"12345"
    assert not folder.exists()
    assert move_aside(made(folder)) == tmp_path / ".kept" / "x" / "2026-01-02T030405Z-01234567-2"


def test_there_may_be_nothing_to_move(tmp_path):
    """A missing folder and an empty one stay as they are."""
    assert move_aside(tmp_path / "x") is None
    (tmp_path / "x").mkdir()
    assert move_aside(tmp_path / "x") is None
    assert names(tmp_path) == ["x"]


def test_a_folder_that_is_not_a_run_is_never_touched(tmp_path):
    """Somebody else's files, or a run.json that is not ours, are an error and stay where they are."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    with pytest.raises(errors.ConfigError) as caught:
        move_aside(tmp_path / "thesis")
    assert draw_error(caught.value) == (
        "not a run\n"
        f"  `{tmp_path}/thesis` holds something, but no run.json: it is not a run of ours. Nothing in it is touched.\n"
        "  Name another `run.out_dir`, or move what is there."
    )
    (tmp_path / "thesis" / "run.json").write_text('{"distance": "5 km"}')
    with pytest.raises(errors.ConfigError, match="schema"):
        move_aside(tmp_path / "thesis")
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ConfigError, match="not a run of ours"):
        move_aside(tmp_path / "file")
    assert names(tmp_path) == ["file", "thesis"]
    assert names(tmp_path / "thesis") == ["chapter.tex", "run.json"]


def test_a_linked_run_is_kept_where_its_bytes_are(tmp_path):
    """A run directory may be a link to a larger disk; what is kept stays there."""
    (tmp_path / "disk").mkdir()
    made(tmp_path / "disk" / "x")
    (tmp_path / "x").symlink_to(tmp_path / "disk" / "x")
    kept = move_aside(tmp_path / "x")
    assert kept is not None
    assert kept.parent == tmp_path / "disk" / ".kept" / "x"


def test_the_run_interrupted_last_is_found(tmp_path):
    """By the time it stopped, among all that did not end; finished, running, damaged and kept ones do not count."""
    assert runs.last_interrupted(tmp_path / "missing") is None
    made(tmp_path / "done", ended="2026-03-01T00:00:00Z")
    made(tmp_path / "early", state="failed", ended="2026-01-01T00:00:00Z")
    made(tmp_path / "group" / "late", state="interrupted", ended="2026-01-02T00:00:00Z")
    made(tmp_path / ".kept" / "x" / "1", state="interrupted", ended="2026-01-03T00:00:00Z")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert runs.last_interrupted(tmp_path) == tmp_path / "group" / "late"


def test_a_run_that_was_cut_off_counts_and_a_living_one_does_not(tmp_path):
    """Whether a run that says "running" still runs is told by its lock."""
    made(tmp_path / "x", state="running", ended=None)
    with another_process(HOLD, tmp_path / "x"):
        assert runs.last_interrupted(tmp_path) is None
    assert runs.last_interrupted(tmp_path) == tmp_path / "x"


def test_write_run_refuses_what_could_not_be_read_again(tmp_path):
    """A mistake in the program that writes it shows where it is made."""
    with pytest.raises(ValueError, match="state"):
        made(tmp_path / "x", state="finished")


@pytest.mark.parametrize("place", ["runs/a/b", "runs/a/b/c", "runs/.kept", "runs/.kept/a/b", "runs/.locks"])
def test_a_run_within_another_or_among_kept_ones_is_refused(tmp_path, place):
    """It would be moved aside with the one around it, and removed with it."""
    made(tmp_path / "runs" / "a")
    with pytest.raises(errors.ConfigError, match="takes all that is in its folder along"):
        runs.refuse_within(tmp_path / place, place)


def test_runs_beside_each_other_and_a_run_again_are_none_within_another(tmp_path):
    made(tmp_path / "runs" / "a")
    for place in ("runs/a", "runs/ab", "runs/b/c"):
        runs.refuse_within(tmp_path / place, place)
