"""A run that begins from another experiment's: whether that one is itself as it would be trained now."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from incremental.steps import edit, write
from trained import HELPER, A, ask, copy, inside, train
from warm import doit

from otrainer.stages.freshness.chain import chain_note, chains
from otrainer.storage.experiments import find_experiment, listed_experiment
from otrainer.storage.runs.run_json import read_run, write_run

LAST = "runs/a/checkpoints/last.pt"
Change = Callable[[Path], object]
FINE = "configs/experiments/fine.yaml"


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A project whose `a` is trained, and whose `fine` begins from it."""
    folder = copy(original, tmp_path / "project")
    begins("fine", LAST)(folder)
    with inside(folder):
        yield folder


def begins(name: str, checkpoint: str) -> Change:
    config = f"defaults: [base.yaml]\nrun: {{name: {name}, resume_from: {checkpoint}}}\n"
    return write(f"configs/experiments/{name}.yaml", config)


def note(root: Path, name: str = "fine") -> str | None:
    return chain_note(find_experiment(name, root), root)


def order(root: Path, *names: str) -> dict[str, str]:
    found = chains([find_experiment(name, root) for name in names], root)
    return {each.name: first.name for each, first in found.items()}


def with_run(folder: str = "runs/a", **facts: Any) -> Change:
    return lambda root: write_run(root / folder, {**read_run(root / folder), **facts})


def kept(root: Path) -> None:
    (root / "runs/.kept/a").mkdir(parents=True)
    (root / "runs/a").rename(root / "runs/.kept/a/first")
    begins("fine", "runs/.kept/a/first/checkpoints/last.pt")(root)


def test_a_chain_without_change_says_nothing(root: Path) -> None:
    assert note(root) is None
    assert note(root, "a") is None
    assert ask("why", root, "fine").report.endswith("fit       would run\n              It was not trained yet.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (edit(A, "SEED,0", "SEED,1"), "is out of date: `run.seed` was 0, is 1 (configs/experiments/a.yaml:3)."),
        (edit(HELPER, "FACTOR = 2.0", "FACTOR = 3.0"), "is out of date: "),
        (write("numbers.txt", "3 2 1"), "is out of date: The data file `numbers.txt` changed."),
        (with_run(state="interrupted"), "is not finished: It was interrupted. It continues from step 3."),
        (with_run(state="failed"), "is not finished: It failed. It continues from step 3."),
    ],
    ids=["a value", "code", "data", "interrupted", "failed"],
)
def test_a_run_that_would_train_before_is_told_with_its_reason_and_the_next_step(
    root: Path, change: Change, words: str
) -> None:
    change(root)
    told = note(root)
    assert told is not None
    assert told.startswith(f"It begins from the run of `a`, which {words}")
    assert told.endswith(" `doit train EXP=a,fine` trains that first.")
    assert told in ask("why", root, "fine").report


def test_training_says_so_each_time_where_it_trains_nothing(root: Path) -> None:
    train(root, "fine")
    edit(A, "SEED,0", "SEED,1")(root)
    for _ in range(2):
        done = doit(root, "train", "EXP=fine")
        assert f"   fine: {note(root)}\n-- fit:fine\n" in done.stdout


def test_a_run_whose_config_is_broken_may_be_out_of_date(root: Path) -> None:
    edit(A, "name: a", "name: [a")(root)
    begins_from = "It begins from the run of `a`, which may be out of date: The config does not resolve."
    assert note(root) == f"{begins_from} `doit why EXP=a` says more."


@pytest.mark.parametrize(
    "change",
    [
        edit(A, "# Counts", "# Still counts"),
        lambda root: shutil.rmtree(root / "build"),
        lambda root: (root / "build/a/fit.json").unlink(),
        kept,
        with_run(experiment="runs/a/resolved.yaml"),
        with_run(experiment=None),
        edit(A, "name: a", "name: other"),
        begins("fine", "runs/fine/checkpoints/last.pt"),
        begins("fine", "elsewhere/last.pt"),
        begins("fine", "x" * 300 + "/last.pt"),
        with_run(experiment=f"configs/experiments/{'x' * 300}.yaml"),
        with_run(config={"run": {"out_dir": "runs/a", "resume_from": "a\0b"}}),
        lambda root: (root / A).unlink(),
    ],
    ids=[
        "comment",
        "no build",
        "no receipt",
        "kept",
        "foreign",
        "unknown",
        "renamed",
        "own",
        "no run",
        "a long name",
        "a long experiment",
        "no name",
        "gone",
    ],
)
def test_what_stays_as_it_is_is_not_told(root: Path, change: Change) -> None:
    """Nothing would be trained there, or nobody knows an experiment that would train into that folder."""
    change(root)
    assert note(root) is None


def test_a_longer_chain_names_all_that_is_to_be_trained_in_its_order(root: Path) -> None:
    begins("last", "runs/fine/checkpoints/last.pt")(root)
    shutil.copytree(root / "runs/a", root / "runs/fine")
    config = {"run": {"out_dir": "runs/fine", "resume_from": LAST}}
    with_run("runs/fine", experiment=FINE, config=config)(root)
    edit(A, "SEED,0", "SEED,1")(root)
    told = note(root, "last") or ""
    assert told.startswith("It begins from the run of `fine`, and that from the run of `a`, which is out of date: ")
    assert told.endswith("`doit train EXP=a,fine,last` trains that first.")


def test_runs_that_begin_from_one_another_end_the_question(root: Path) -> None:
    shutil.copytree(root / "runs/a", root / "runs/fine")
    runs = {"a": "runs/fine/checkpoints/last.pt", "fine": LAST}
    for name, checkpoint in runs.items():
        begins(name, checkpoint)(root)
        config = {"run": {"out_dir": f"runs/{name}", "resume_from": checkpoint}}
        with_run(f"runs/{name}", experiment=f"configs/experiments/{name}.yaml", config=config)(root)
    assert "It begins from the run of `a`" in (note(root) or "")
    assert order(root, "a", "fine") == {}


def test_what_is_trained_first_is_known_before_anything_was_resolved(root: Path) -> None:
    """By the configs as they are: where a checkpoint is named, through links, and where runs go."""
    shutil.rmtree(root / "build")
    assert order(root, "fine", "a") == {"fine": "a"}
    assert order(root, "fine") == {}
    (root / "link").symlink_to(root / "runs/a")
    begins("fine", "link/checkpoints/best.pt")(root)
    assert order(root, "a", "fine") == {"fine": "a"}
    edit(A, "name: a", "name: other")(root)
    assert order(root, "a", "fine") == {}
    write(FINE, "run: [\n")(root)
    assert order(root, "a", "fine") == {}


@pytest.mark.parametrize(
    "named", ["configs/experiments/../../x.yaml", "/x.yaml", "configs/experiments/.x.yaml", "configs/x.yaml", 3, "\x1b"]
)
def test_an_experiment_that_a_run_names_is_one_of_all(root: Path, named: object) -> None:
    (root / "x.yaml").write_text("")
    (root / "configs/x.yaml").write_text("")
    (root / "configs/experiments/.x.yaml").write_text("")
    assert listed_experiment(named, root) is None
    assert listed_experiment(A, root) == find_experiment("a", root)
