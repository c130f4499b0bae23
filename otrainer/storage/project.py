"""The project: the folder of dodo.py, from which relative paths and imports start."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


def project_root(start: Path | None = None) -> Path:
    """The folder of dodo.py: the working directory (or `start`), or the nearest above it; without any, itself."""
    here = Path.cwd() if start is None else start
    return next((folder for folder in (here, *here.parents) if (folder / "dodo.py").is_file()), here)


def importable(root: Path) -> None:
    """Let the project's own modules be imported, in data workers too."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


@contextlib.contextmanager
def project(root: Path) -> Iterator[None]:
    """Relative paths and imports start from `root` inside this block."""
    importable(root)
    with contextlib.chdir(root):
        yield


def shown_path(file: str) -> str:
    """`file` relative to the working directory with forward slashes where it lies inside, else as it is."""
    path = Path(file)
    if not path.is_absolute():
        return path.as_posix()
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.as_posix()
