"""Which commit a project was at, asked of git in a way that changes nothing, runs nothing and follows nobody's hook."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

GIT_S = 5.0
# These say where git finds its settings. Whatever else is called so, such as a hook's GIT_DIR and GIT_INDEX_FILE, may
# be about another repository or another moment.
SETTINGS = ("GIT_CONFIG_", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")
# A lock would make the user's own `git add` fail, and stay where git is stopped in the middle; what a lazy clone lacks
# would be fetched.
CAREFUL = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
NO_PROGRAMS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
# Whatever the user has set for `git status`: a file that git does not know of makes another project, too.
CHANGES = ("status", "--porcelain", "--untracked-files=normal", "--", ".", ":(exclude)runs", ":(exclude)build")


def git_state(root: Path) -> dict[str, Any] | None:
    """Return the commit of the project, and whether files differ from it (runs and build aside); None without git.

    `dirty` is None where git did not say so in time, or not at all.
    """
    commit = git(root, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = git(root, *CHANGES)
    return {"commit": commit.decode().strip(), "dirty": None if changes is None else bool(changes.strip())}


def git(root: Path, *words: str) -> bytes | None:
    """Return what a git command prints, or None where it fails or takes too long."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or is_setting(name)}
    try:
        done = subprocess.run(  # noqa: S603 - words of our own
            ["git", "-C", str(root), *NO_PROGRAMS, *words],  # noqa: S607 - the user's git, wherever it lies
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_S,
            check=True,
            env={**environ, **CAREFUL},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def is_setting(name: str) -> bool:
    """Return whether a variable of git's says where its settings are, or is one."""
    return name.startswith(SETTINGS) and name != "GIT_CONFIG_PARAMETERS"
