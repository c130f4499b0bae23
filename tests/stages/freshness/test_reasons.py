"""What `doit train` says in one line of each stage that it runs is what `doit why` said first."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from incremental.steps import edit, touch, write
from incremental.walks import LINE, reasons_told, trainings
from trained import BASE, HELPER, PARTS, A, ask, inside, lay_out
from warm import doit


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path)
    with inside(folder):
        yield folder


def train(root: Path, stages: str, times: int) -> None:
    """Train by doit: which stages run is given, and each says what was foretold of it."""
    expected, before = reasons_told(ask("why", root, "a").report), trainings(root)
    done = doit(root, "train", "EXP=a")

    assert done.returncode == 0, done.stderr
    assert " ".join(re.findall(r"^\.  (\w+):a$", done.stdout, re.MULTILINE)) == stages
    told = dict(LINE.findall(done.stdout))
    assert expected == ({"fit": expected.get("fit")} | told if times == 0 else told)
    assert trainings(root) - before == times


def test_each_line_is_the_reason_that_was_foretold_and_going_back_trains_nothing(root: Path) -> None:
    """First of all; by value, code and data at once; back to the first; by unused code; after `build` was deleted."""
    train(root, "resolve manifest validate fit", 1)
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    edit(HELPER, "FACTOR = 2.0", "FACTOR = 3.0")(root)
    write("numbers.txt", "3 2 1")(root)
    train(root, "resolve manifest validate fit", 1)
    edit(BASE, "scale: 2.0", "scale: 1.0")(root)
    edit(HELPER, "FACTOR = 3.0", "FACTOR = 2.0")(root)
    edit(PARTS, "outputs.sum()", "outputs.mean()")(root)
    write("numbers.txt", "1 2 3")(root)
    train(root, "resolve manifest validate fit", 0)
    shutil.rmtree(root / "build")
    touch(A, BASE, HELPER, "numbers.txt", "runs/a/checkpoints/last.pt")(root)
    train(root, "resolve manifest validate fit", 0)
