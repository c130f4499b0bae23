"""The project: the folder of dodo.py, from which relative paths and imports start."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# The folder of this package.
PACKAGE_FOLDER = Path(__file__).parents[1]


def project_root(start: Path | None = None) -> Path:
    """Return the folder of dodo.py: `start` (the working directory), or the nearest above it; without any, `start`."""
    here = Path.cwd() if start is None else start
    if os.path.isfile(os.path.join(here, "dodo.py")):  # noqa: PTH113, PTH118 - as it nearly always is, and asked often
        return here
    return next((folder for folder in here.parents if (folder / "dodo.py").is_file()), here)


def importable(root: Path) -> None:
    """Let the project's own modules be imported, in data workers too."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


@contextlib.contextmanager
def project(root: Path) -> Iterator[None]:
    """Let relative paths and imports start from `root` inside this block."""
    importable(root)
    with contextlib.chdir(root):
        yield


def display_path(path: str | os.PathLike[str], root: Path | None = None) -> str:
    """Return `path` as reports and records write it: from `root` where it lies inside, absolute elsewhere.

    Without a `root` it starts from the working directory. Slashes lean forward.
    """
    text = os.fspath(path)
    if os.sep != "/" or not is_normal(text):
        text = Path(text).as_posix()
    base = (Path.cwd() if root is None else root).as_posix()
    inside = base if base.endswith("/") else f"{base}/"
    return "." if text == base else text.removeprefix(inside)


def is_normal(text: str) -> bool:
    """Return whether a path is written as a Path would write it: told by its letters, since it is asked often."""
    return bool(text) and not text.startswith("./") and not text.endswith("/") and "//" not in text and "/." not in text
