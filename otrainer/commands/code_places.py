"""Where code lies as people read it: its file, and the installed package that it is of."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from otrainer.registry.plugins.packages import installed, version_of
from otrainer.storage.installed import STDLIB, packages_around
from otrainer.storage.project import PACKAGE_FOLDER

distributions_by_module = cache(packages_distributions)


def package_of(module: str) -> str:
    """Return the installed package of a module, with its version; Python itself for its own modules."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return f"Python {sys.version.split()[0]}"
    name = top if installed(top) else next(iter(distributions_by_module().get(top, ())), top)
    return f"{name} {version_of(name)}"


def display_file(file: Path, root: Path) -> str:
    """Return a file relative to the project, to the folder of installed packages, or as it is."""
    packages = packages_around(file)
    bases = (root, PACKAGE_FOLDER.parent, *map(Path, STDLIB)) if packages is None else (packages,)
    base = next((each for each in bases if file.is_relative_to(each)), None)
    return (file if base is None else file.relative_to(base)).as_posix()
