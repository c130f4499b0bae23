"""What belongs to Python or to an installed package, whose versions tell what is in it; all else is somebody's project.

It goes by the folders of libraries, never by the prefix above them: a project may lie in `/usr/src`, or be its own
virtual environment.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

PACKAGES = ("site-packages", "dist-packages")
# The last one is an archive where Python was built to be carried along.
STDLIB = tuple(
    dict.fromkeys((sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(os.__file__).parent)))
)
LIBRARIES = ("python", "pypy", "lib", "Lib")


def is_installed(path: Path) -> bool:
    """Return whether a path lies in Python's library, or where packages are installed."""
    return any(path.is_relative_to(base) for base in STDLIB) or packages_around(path) is not None


def packages_around(path: Path) -> Path | None:
    """Return the innermost folder of installed packages that a path lies in, if any."""
    if not any(part in PACKAGES for part in path.parts):
        return None
    return next((folder for folder in path.parents if folder.name in PACKAGES and holds_packages(folder)), None)


def holds_packages(folder: Path) -> bool:
    """Tell a folder of packages from a project's that is only called so."""
    return folder.parent.name.startswith(LIBRARIES) or str(folder) in sys.path
