"""A run whose code asked something that is answered otherwise now is not the run that would be trained."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import made

from otrainer.storage.records import hash_env, hash_listing
from otrainer.storage.runs.archive import bring_back, move_aside
from otrainer.storage.runs.run_json import is_of, read_run, why_unfinished, write_run
from otrainer.storage.stamps import FileStamp


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete run that read a file, and asked for another one, a variable, the names in a folder and a path."""
    (tmp_path / "dodo.py").touch()
    (tmp_path / "words").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALE", "1")
    Path("words.txt").write_text("a b")
    read = {"words.txt": list(FileStamp.of("words.txt")), "more.txt": None}
    asked = {
        "files": read,
        "env": hash_env({"SCALE": "1"}),
        "listings": {"words": hash_listing("words")},
        "kinds": {"switch": ""},
    }
    folder = made(tmp_path / "runs/a", "d")
    write_run(folder, {**(read_run(folder) or {}), "asked": asked})
    return folder


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda patch: patch.setenv("SCALE", "2"), "The environment variable `SCALE` changed."),
        (lambda patch: patch.delenv("SCALE"), "The environment variable `SCALE` is not set any more."),
        (lambda _: Path("words/a.txt").touch(), "`words` holds files of other names."),
        (lambda _: Path("switch").touch(), "`switch` is there now."),
        (lambda _: Path("words.txt").write_text("a c"), "`words.txt` changed."),
        (lambda _: Path("words.txt").write_text("longer"), "`words.txt` changed."),
        (lambda _: [Path("words.txt").unlink(), Path("words.txt").mkdir()], "`words.txt` changed."),
        (lambda _: [Path("words.txt").unlink(), os.mkfifo("words.txt")], "`words.txt` changed."),
        (lambda _: Path("words.txt").unlink(), "`words.txt` is gone."),
        (lambda _: Path("more.txt").touch(), "`more.txt` is there now."),
    ],
)
def test_another_answer_is_the_reason_to_train(
    run: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], object], reason: str
) -> None:
    assert why_unfinished(run, "d") is None
    change(monkeypatch)

    assert why_unfinished(run, "d") == reason
    assert not is_of(read_run(run) or {}, "d")


def test_a_file_that_was_only_touched_is_the_same_answer(run: Path) -> None:
    os.utime("words.txt", (1, 1))

    assert why_unfinished(run, "d") is None


def test_a_kept_run_comes_back_once_the_answers_are_its_own_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = move_aside(run)
    monkeypatch.setenv("SCALE", "2")
    assert bring_back(run, "d", complete=True) is None
    monkeypatch.setenv("SCALE", "1")

    assert bring_back(run, "d", complete=True) == (kept, None)
    assert why_unfinished(run, "d") is None
