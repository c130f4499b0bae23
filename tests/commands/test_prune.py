"""`doit prune` says which kept runs it would remove, and with YES=1 removes these and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from incremental.steps import edit, write
from trained import BASE, A, ask, copy, inside, listing, train

from otrainer.storage.runs.lock import lock_run

KEPT = "runs/.kept/a"


@pytest.fixture(scope="module")
def thrice(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after two more trainings, which each keep the run before them, for tests to copy."""
    root = copy(original, tmp_path_factory.mktemp("thrice") / "project")
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root)
    edit(A, "run:", "trainer: {max_epochs: 2}\nrun:")(root)
    train(root, stages="resolve manifest validate resume")
    return root


@pytest.fixture
def root(thrice: Path, tmp_path: Path) -> Iterator[Path]:
    folder = copy(thrice, tmp_path / "project")
    with inside(folder):
        yield folder


@pytest.fixture
def kept(root: Path) -> list[str]:
    """The names of two kept runs, newest first; the current run is a child of the first."""
    return sorted((path.name for path in (root / KEPT).iterdir()), reverse=True)


def said(root: Path, *names: str, **variables: str) -> str:
    return re.sub(r"[\d.]+ [KM]iB", "SIZE", ask("prune", root, *names, **variables).report)


def files(root: Path) -> dict[str, bytes]:
    """The content of all runs, what serves to lock them aside."""
    found = {path.relative_to(root).as_posix(): path for path in root.glob("runs/**/*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if "/.locks/" not in name}


def test_without_yes_it_only_says_what_it_would_remove(root: Path, kept: list[str]) -> None:
    before = listing(root)

    assert said(root) == (
        f"Would remove these 2 kept runs, SIZE:\n  {KEPT}/{kept[0]}  SIZE\n  {KEPT}/{kept[1]}  SIZE\n"
        "`doit prune YES=1` does it."
    )
    assert said(root, "a").splitlines()[-1] == "`doit prune EXP=a YES=1` does it."
    assert listing(root) == before


def test_with_yes_it_removes_the_kept_runs_and_nothing_else(root: Path, kept: list[str]) -> None:
    """A run goes on being a child of one that is gone; what is not a run of ours stays, in `.kept` too."""
    write("runs/thesis.tex", "mine")(root)
    (root / KEPT / "notes").mkdir()
    write(f"{KEPT}/notes/notes.txt", "mine too")(root)
    before = files(root)
    expected = {
        name: content
        for name, content in before.items()
        if not name.startswith(tuple(f"{KEPT}/{each}" for each in kept))
    }

    assert said(root, YES="1") == (
        f"Removed these 2 kept runs, SIZE:\n  {KEPT}/{kept[0]}  SIZE\n  {KEPT}/{kept[1]}  SIZE"
    )
    assert files(root) == expected
    assert len(before) > len(expected) > 5
    assert ask("why", root, "a").report.count("up to date") == 4
    assert said(root, YES="1") == "There are no kept runs to remove."


def test_what_training_did_not_write_stays_and_is_told(root: Path, kept: list[str]) -> None:
    folder = f"{KEPT}/{kept[0]}"
    for name in ("notes/eval.json", "checkpoints/mine.pt", "code/mine.py"):
        (root / folder / name).parent.mkdir(exist_ok=True)
        write(f"{folder}/{name}", "mine")(root)
    names = f"  {folder}/checkpoints/mine.pt\n  {folder}/code/mine.py\n  {folder}/notes/eval.json"

    assert said(root).endswith(f"`doit prune YES=1` does it.\nWhat training did not write would stay:\n{names}")
    assert said(root, YES="1").endswith(f"What training did not write stayed:\n{names}")
    assert [f"  {name}" for name in sorted(files(root)) if name.startswith("runs/.kept")] == names.split("\n")


def test_kept_runs_behind_a_link_stay(root: Path, kept: list[str], tmp_path: Path) -> None:
    (root / KEPT).rename(tmp_path / "far")
    (root / KEPT).symlink_to(tmp_path / "far")
    before = files(tmp_path / "far")

    assert said(root, YES="1").count("  (it is a link to elsewhere)") == 2
    assert files(tmp_path / "far") == before


def test_only_the_named_experiment_is_pruned(root: Path, kept: list[str]) -> None:
    write("configs/experiments/b.yaml", "defaults: [a.yaml]\nrun: {name: b}\n")(root)
    before = files(root)

    assert said(root, "b", YES="1") == "There are no kept runs to remove."
    assert files(root) == before
    assert said(root, "a", "b").splitlines()[-1] == "`doit prune EXP=a,b YES=1` does it."


@pytest.mark.parametrize("claim", [True, False], ids=["about to train", "training"])
def test_the_kept_runs_of_an_experiment_that_is_trained_stay(root: Path, kept: list[str], claim: bool) -> None:
    before = files(root)
    with lock_run(root / "runs/a", claim=claim):
        would, did = said(root), said(root, YES="1")

    stay = "  (its experiment is being trained)"
    assert would == did == (f"These 2 kept runs stay:\n  {KEPT}/{kept[0]}  SIZE{stay}\n  {KEPT}/{kept[1]}  SIZE{stay}")
    assert files(root) == before


def test_what_is_damaged_or_a_link_stays_and_is_told(root: Path, kept: list[str], tmp_path: Path) -> None:
    write(f"{KEPT}/{kept[0]}/run.json", "{")(root)
    (root / KEPT / kept[1]).rename(tmp_path / "far")
    (root / KEPT / kept[1]).symlink_to(tmp_path / "far")
    before = files(root), files(tmp_path / "far")

    assert said(root, YES="1") == (
        f"These 2 kept runs stay:\n  {KEPT}/{kept[0]}  SIZE  (its run.json is damaged)\n"
        f"  {KEPT}/{kept[1]}  SIZE  (it is a link to elsewhere)"
    )
    assert (files(root), files(tmp_path / "far")) == before


@pytest.mark.parametrize("answer", ["0", "yes", "2"])
def test_any_other_answer_than_1_removes_nothing(root: Path, kept: list[str], answer: str) -> None:
    before = files(root)

    assert ask("prune", root, YES=answer).drawn == (
        f"unclear answer\n  `YES={answer}` is neither yes nor no.\n  Only `YES=1` removes anything."
    )
    assert files(root) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove anything")
def test_what_cannot_be_removed_is_told(root: Path, kept: list[str]) -> None:
    folder = root / KEPT / kept[0]
    folder.chmod(0o500)
    try:
        assert ask("prune", root, YES="1").drawn.startswith("cannot read or write\n")
    finally:
        folder.chmod(0o700)
