"""Earlier runs are kept, found by their definition and brought back; whatever is killed on the way, nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import made, sealed

from otrainer.errors import ConfigError
from otrainer.storage.atomic import atomic_file
from otrainer.storage.runs import run_json as runs
from otrainer.storage.runs.archive import (
    archived_path,
    archived_runs,
    bring_back,
    find_run,
    fits,
    left_behind,
    move_aside,
    settle,
)
from otrainer.storage.runs.files import ELSEWHERE
from otrainer.storage.runs.ownership import measure


def definitions(folder: Path) -> set[str]:
    """The definitions of all runs there are, wherever they lie."""
    found = [runs.read_run(path.parent) for path in folder.rglob("run.json")]
    return {run["definition"] for run in found if run}


def test_going_back_brings_the_finished_run_back_and_keeps_the_other(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "x", "first")
    move_aside(run_dir)
    made(run_dir, "second")
    came = bring_back(run_dir, "first", complete=True)

    assert came is not None
    assert (run_dir / "last.pt").read_text() == "first"
    assert [(path / "last.pt").read_text() for path in archived_runs(run_dir)] == ["second"]


@pytest.mark.parametrize(
    ("state", "complete", "comes"),
    [("complete", True, True), ("interrupted", True, False), ("interrupted", False, True), ("complete", False, False)],
)
def test_only_a_run_in_the_wanted_state_comes_back(tmp_path: Path, state: str, complete: bool, comes: bool) -> None:
    run_dir = made(tmp_path / "x", "first", state=state)
    move_aside(run_dir)

    assert (bring_back(run_dir, "first", complete=complete) is not None) == comes
    assert definitions(tmp_path) == {"first"}


def rewritten(path: Path, change: Callable[[bytearray], object], *, keep_time: bool = False) -> None:
    """Change the bytes of a file; what changed them may set the time back."""
    status, content = path.stat(), bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flipped(at: int) -> Callable[[Path], None]:
    def change(content: bytearray) -> None:
        content[at] ^= 1

    return lambda path: rewritten(path, change, keep_time=True)


def swapped(path: Path) -> None:
    other = path.with_name("best.pt")
    path.rename(path.with_name("spare"))
    other.rename(path)
    path.with_name("spare").rename(other)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "deleted"),
    "cut": (lambda path: os.truncate(path, 10), "altered"),
    "emptied": (lambda path: os.truncate(path, 0), "altered"),
    "longer": (lambda path: rewritten(path, lambda content: content.extend(b"0")), "altered"),
    "flipped at its end": (flipped(-90), "altered"),
    "flipped at its beginning": (flipped(60), "altered"),
    "swapped": (swapped, "altered"),
    "a link": (linked, "no file any more"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "no file any more"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "no file any more"),
    "behind a link": (lambda path: linked(path.parent), "behind a link"),
}


@pytest.mark.parametrize(("damage", "told"), DAMAGE.values(), ids=DAMAGE)
def test_a_finished_run_comes_back_only_as_it_was_left(
    tmp_path: Path, damage: Callable[[Path], object], told: str
) -> None:
    run_dir = made(tmp_path / "x", "first", outputs=("c/last.pt", "c/best.pt"))
    sealed(run_dir / "c/last.pt", "first " * 20_000)
    sealed(run_dir / "c/best.pt", "other " * 20_000)
    run = runs.read_run(run_dir)
    assert run is not None
    runs.write_run(run_dir, {**run, "outputs": measure(run_dir, run["outputs"])})
    kept = move_aside(run_dir)
    assert kept is not None
    assert list(left_behind(run_dir, "first", tmp_path)) == []
    damage(kept / "c/last.pt")

    assert bring_back(run_dir, "first", complete=True) is None
    (sentence,) = left_behind(run_dir, "first", tmp_path)
    assert told in sentence
    assert f".kept/x/{kept.name}` does not come back: `c/" in sentence


def test_a_stopped_run_comes_back_as_long_as_one_of_its_checkpoints_is_whole(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "x", "first", state="interrupted", outputs=("last.pt", "step_2.pt"))
    for name in ("last.pt", "step_2.pt"):
        sealed(run_dir / name, name)
    kept = move_aside(run_dir)
    assert kept is not None
    flipped(40)(kept / "last.pt")
    assert fits(kept, "first", complete=False)
    flipped(40)(kept / "step_2.pt")
    assert not fits(kept, "first", complete=False)


def test_a_copy_of_a_kept_run_comes_back(tmp_path: Path) -> None:
    """As from a backup, with other times."""
    run_dir = made(tmp_path / "x", "first")
    kept = move_aside(run_dir)
    assert kept is not None
    rewritten(kept / "last.pt", lambda _: None)
    os.utime(kept / "last.pt", (1, 1))
    assert bring_back(run_dir, "first", complete=True) is not None


def test_what_a_run_left_elsewhere_is_kept_with_it_and_laid_out_again(tmp_path: Path) -> None:
    run_dir, weights = made(tmp_path / "x", "first", outputs=("../far/last.pt", "best.pt")), tmp_path / "far/last.pt"
    kept = move_aside(run_dir)
    assert kept is not None
    assert (kept / ELSEWHERE).is_dir()
    assert archived_path(weights, run_dir, kept).read_text() == "first"
    made(run_dir, "second", outputs=("../far/last.pt", "best.pt"))
    bring_back(run_dir, "first", complete=True)

    assert weights.read_text() == "first"
    assert runs.why_unfinished(run_dir, "first") is None
    bring_back(run_dir, "second", complete=True)
    assert weights.read_text() == "second"


def test_the_checkpoint_before_the_last_goes_with_its_run(tmp_path: Path) -> None:
    """Nobody lists it, and the next run would go on from it if it were killed before it saves."""
    run_dir = made(tmp_path / "runs/x", "first", outputs=("../../elsewhere/last.pt",))
    sealed(tmp_path / "elsewhere/previous.pt", "first, before")
    move_aside(run_dir)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    bring_back(run_dir, "first", complete=True)

    assert b"first, before" in (tmp_path / "elsewhere/previous.pt").read_bytes()


def test_a_foreign_folder_in_its_place_stops_a_run_from_coming_back(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "x", "first")
    move_aside(run_dir)
    run_dir.mkdir()
    (run_dir / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="not a run of ours"):
        bring_back(run_dir, "first", complete=True)

    assert (run_dir / "thesis.tex").read_text() == "mine"


KILLED = """
import os, signal, sys
from pathlib import Path
from otrainer.storage.runs.archive import bring_back
left = int(sys.argv[2])
def killing(real):
    def call(*given):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)
    return call
os.rename, os.replace = killing(os.rename), killing(os.replace)
bring_back(sys.argv[1], "first", complete=True)
"""


def test_a_kill_at_any_rename_loses_nothing_and_the_next_call_ends_well(tmp_path: Path) -> None:
    for number in range(12):
        root = tmp_path / str(number)
        run_dir = made(root / "x", "first", outputs=("../far/last.pt", "best.pt"))
        move_aside(run_dir)
        made(run_dir, "second", outputs=("../far/last.pt", "best.pt"))
        done = subprocess.run([sys.executable, "-c", KILLED, str(run_dir), str(number)])
        assert definitions(root) == {"first", "second"}, number
        assert sorted(path.read_text() for path in root.rglob("*.pt")) == ["first", "first", "second", "second"]
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        settle(run_dir)
        if runs.why_unfinished(run_dir, "first") is not None:
            bring_back(run_dir, "first", complete=True)
        assert runs.why_unfinished(run_dir, "first") is None, number
        assert (root / "far/last.pt").read_text() == "first", number
    else:
        raise AssertionError("it was never left to end")
    assert number >= 3


KILLED_OVER_ITS_FIRST = """
import os, signal, sys
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from otrainer.storage.atomic import write_atomic
write_atomic(sys.argv[1], b"{}")
"""


def test_a_run_that_was_killed_over_its_first_run_json_is_in_nobodys_way(tmp_path: Path) -> None:
    run_dir = tmp_path / "x"
    done = subprocess.run([sys.executable, "-c", KILLED_OVER_ITS_FIRST, str(run_dir / "run.json")])
    assert done.returncode == -signal.SIGKILL
    assert len(list(run_dir.iterdir())) == 1

    assert move_aside(run_dir) is None
    assert list(run_dir.iterdir()) == []


def test_what_another_process_is_writing_is_in_the_way(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x/run.json"), pytest.raises(ConfigError, match="not a run of ours"):
        move_aside(tmp_path / "x")


def test_a_run_is_found_by_name_by_folder_and_by_the_beginning_of_its_definition(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "runs/x", "abcdef99")
    kept = move_aside(run_dir)
    made(run_dir, "123456")

    assert find_run("x", tmp_path) == run_dir
    assert find_run("runs/x", tmp_path) == run_dir
    assert kept is not None
    assert find_run("abcd", tmp_path) == kept
    assert find_run(kept.name, tmp_path) == kept
    with pytest.raises(ConfigError, match="There is no run `y`"):
        find_run("y", tmp_path)


def test_copying_a_run_alters_nothing_and_changing_a_checkpoint_does(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "x", "first")
    shutil.copytree(run_dir, tmp_path / "copy", copy_function=shutil.copyfile)
    assert runs.why_unfinished(tmp_path / "copy", "first") is None
    (tmp_path / "copy/last.pt").write_text("thirs")
    os.utime(tmp_path / "copy/last.pt", ns=(1, 1))

    assert runs.why_unfinished(tmp_path / "copy", "first") == "`last.pt` was altered."
