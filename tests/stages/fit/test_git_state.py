"""What git says of a project, whatever surrounds the question: hooks, settings, locks, a git that takes its time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from otrainer.stages.fit import git_state as module
from otrainer.stages.fit.git_state import git_state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A committed project in the folder `project`, which is no repository's root."""
    folder = tmp_path / "repository/project"
    folder.mkdir(parents=True)
    (folder / "dodo.py").write_text("")
    git(folder, "init", "-q", "..")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    return folder


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=e", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def dirty(root: Path) -> bool | None:
    """What is said of the tree, beside the commit that is there."""
    state = git_state(root)
    assert state is not None
    assert state["commit"] == git(root, "rev-parse", "HEAD")
    return state["dirty"]


def test_a_new_file_makes_a_tree_dirty_and_the_projects_own_output_does_not(root: Path) -> None:
    for name in ("runs", "build"):
        (root / name).mkdir()
        (root / name / "a").write_text("")
    assert dirty(root) is False
    (root / "new.py").write_text("")
    git(root, "config", "status.showUntrackedFiles", "no")

    assert dirty(root) is True


def test_a_repository_without_commits_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None


@pytest.mark.parametrize("status", ["sleep 60", "exit 1"], ids=["takes too long", "fails"])
def test_a_tree_of_which_git_says_nothing_is_not_called_clean(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    shim = script(tmp_path / "shim/git", f'case "$*" in *status*) {status};; esac\nexec {shutil.which("git")} "$@"')
    (root / "new.py").write_text("")
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(module, "GIT_S", 2.0)

    assert dirty(root) is None


def test_the_repository_of_a_hook_is_not_followed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a hook of another repository starts a training, or `git commit -a` calls one with its own index."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-qm", "other", "--allow-empty")
    commit = git(root, "rev-parse", "HEAD")
    for name, value in {
        "GIT_DIR": f"{other}/.git",
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": f"{other}/.git/none",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_CONFIG_PARAMETERS": f"'core.worktree={other}'",
    }.items():
        monkeypatch.setenv(name, value)

    assert git_state(root) == {"commit": commit, "dirty": False}


def test_a_setting_in_the_environment_is_followed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers say there that the repository of another user is a safe one."""
    (root / "new.py").write_text("")
    for name, value in {"COUNT": "1", "KEY_0": "core.excludesFile", "VALUE_0": f"{root}/ignored"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    (root / "ignored").write_text("new.py\nignored\n")

    assert dirty(root) is False


def test_nothing_is_locked_written_or_run(root: Path) -> None:
    """A lock in the way is not taken, the index stays as it is, and no program of the repository's settings runs."""
    ran = script(root.parent / ".git/tell", f"touch {root}/build")
    for hook in ("core.fsmonitor", "core.pager"):
        git(root, "config", hook, str(ran))
    script(root.parent / ".git/hooks/post-index-change", str(ran))
    os.utime(root / "dodo.py", (1, 1))  # the index would be written anew
    index = root.parent / ".git/index"
    before = index.read_bytes()
    assert dirty(root) is False
    (root.parent / ".git/index.lock").touch()

    assert dirty(root) is False
    assert (index.read_bytes(), (root / "build").exists()) == (before, False)


def test_names_that_are_no_text_are_no_hindrance(root: Path) -> None:
    git(root, "config", "core.quotePath", "false")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.py")).write_text("")

    assert dirty(root) is True
