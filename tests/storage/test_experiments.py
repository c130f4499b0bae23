"""Experiments are found by name, by subfolder and by path, and introduce themselves by their first comment."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.storage.experiments import all_experiments, find_experiment, sentence


@pytest.fixture
def root(tmp_path):
    """A project with four experiments, one in a subfolder, and a hidden file."""
    for name in ("baseline.yaml", "sgd.yml", "sub/deep.yaml", "lr=0.1.yaml", ".hidden.yaml", "notes.txt"):
        path = tmp_path / "project" / "configs" / "experiments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("run: {}\n")
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("baseline", "baseline"),
        ("baseline.yaml", "baseline"),
        ("configs/experiments/baseline.yaml", "baseline"),
        ("./configs/experiments/baseline.yaml", "baseline"),
        ("sgd", "sgd"),
        ("sub/deep", "sub/deep"),
        ("sub/deep.yaml", "sub/deep"),
        ("lr=0.1", "lr=0.1"),
        ("lr=0.1.yaml", "lr=0.1"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_an_experiment_has_one_name_however_it_is_called(root, text, name):
    """Name, file name and path lead to the same experiment and the same build folder."""
    experiment = find_experiment(text, root)
    assert experiment.name == name
    assert experiment.build == Path("build") / name
    assert (root / experiment.file).is_file()
    assert find_experiment(str(root / experiment.file), root) == experiment


def test_a_yaml_file_elsewhere_is_an_experiment_too(root):
    """Its path is its name, and its build folder is told apart from its namesakes' by a hash of that path."""
    outside = root.parent / "deep.yaml"
    outside.write_text("run: {}\n")
    experiment = find_experiment(str(outside), root)
    mark = hashlib.sha256(str(outside).encode()).hexdigest()[:8]
    assert experiment.name == str(outside)
    assert experiment.build == Path("build") / f"deep-{mark}"
    assert find_experiment("../deep.yaml", root) == experiment
    (root / "mine.yaml").write_text("")
    assert find_experiment("mine.yaml", root).name == "mine.yaml"


def test_two_suffixes_of_one_name_are_two_experiments(root):
    """The one that goes second keeps its suffix, so that neither is lost."""
    (root / "configs" / "experiments" / "sgd.yaml").write_text("")
    assert find_experiment("sgd", root).file.name == "sgd.yaml"
    assert find_experiment("sgd.yml", root).name == "sgd.yml"
    assert [each.name for each in all_experiments(root)] == ["baseline", "lr=0.1", "sgd", "sgd.yml", "sub/deep"]


def test_all_experiments_are_sorted_and_none_is_hidden(root):
    """Subfolders are looked into; hidden files and other suffixes are not experiments."""
    assert [each.name for each in all_experiments(root)] == ["baseline", "lr=0.1", "sgd", "sub/deep"]
    assert all_experiments(root / "nowhere") == []


@pytest.mark.parametrize("text", ["basline", "Baseline", "", ".", "..", "/", "sub", "../../etc/passwd.yaml"])
def test_an_unknown_experiment_is_told(root, text):
    """Whatever was meant, it is a ConfigError and never a folder or a file that happens to be near."""
    with pytest.raises(ConfigError):
        find_experiment(text, root)


def test_an_unknown_experiment_is_drawn_with_the_nearest_name(root):
    """The golden text of a typo in EXP."""
    with pytest.raises(ConfigError) as caught:
        find_experiment("basline", root)
    assert draw_error(caught.value) == (
        "unknown experiment\n"
        "  There is no experiment `basline`. Did you mean `baseline`?\n"
        "  There are: baseline, lr=0.1, sgd, sub/deep."
    )


def test_a_project_without_experiments_says_where_they_go(tmp_path):
    """The next step is named."""
    with pytest.raises(ConfigError, match="There is no experiment `x`") as caught:
        find_experiment("x", tmp_path)
    assert caught.value.findings[0].hint == "There is none yet: write `configs/experiments/NAME.yaml`."


def test_thousands_of_experiments_are_not_all_listed(root):
    """The list in an error stays one readable line."""
    for number in range(30):
        (root / "configs" / "experiments" / f"x{number:02}.yaml").write_text("")
    with pytest.raises(ConfigError) as caught:
        find_experiment("nothing_like_it", root)
    assert caught.value.findings[0].hint.endswith("x15, and 14 more (`doit list` shows them).")


def test_names_that_doit_would_read_otherwise_are_escaped(root):
    """`=` sets a variable in doit's command line."""
    assert find_experiment("lr=0.1", root).task_name == "lr%3D0.1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Random regression with an MLP. More words.\nrun: {}\n", "Random regression with an MLP."),
        ("\n# Two lines make\n# one sentence. Another.\n", "Two lines make one sentence."),
        ("# Trains at lr 0.1 for long\nrun: {}\n", "Trains at lr 0.1 for long"),
        ("\ufeff#Digits!\n", "Digits!"),
        ("# ----\n# Title.\n# ----\n", "Title."),
        ("# yaml-language-server: $schema=x.json\n# Title.\n", "Title."),
        ("---\n# Title\n\n# not this\n", "Title"),
        ("run: {}\n# Too late.\n", "baseline"),
        ("", "baseline"),
    ],
)
def test_the_first_comment_is_the_experiments_sentence(root, text, expected):
    """Read without YAML, down to the first full stop."""
    experiment = find_experiment("baseline", root)
    (root / experiment.file).write_text(text, encoding="utf-8")
    assert sentence(experiment, root) == expected


def test_what_is_no_file_or_cannot_be_shown_is_no_experiment(tmp_path):
    """A pipe would be waited for, and a name may act on a terminal, or be no text at all."""
    folder = tmp_path / "configs/experiments"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("# \x1b[31mRed\x07 \u202eturned.\n")
    for name in (b"b\x1b[31m.yaml", b"c\xff.yaml"):
        (folder / os.fsdecode(name)).write_text("")
    os.mkfifo(folder / "d.yaml")
    (folder / "e.yaml").symlink_to("nowhere.yaml")
    (only,) = all_experiments(tmp_path)

    assert only.name == "a"
    assert sentence(only, tmp_path) == "\ufffd[31mRed\ufffd \ufffdturned."
