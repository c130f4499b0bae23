"""What the imports of modules look for, and where: names that are not there count as well, since they may come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from otrainer.fingerprint.dynamic import BELOW, PACKAGE
from otrainer.fingerprint.locate import is_own, parents
from otrainer.storage.module_search import EVERY

if TYPE_CHECKING:
    from otrainer.fingerprint.sources import Sources


def walked(modules: Iterable[str], sources: Sources) -> dict[str, Path]:
    """Return the modules that code of these may find by walking through a package, with their files."""
    below = {name for package in walked_packages(modules, sources) for name in sources.locator.all_modules(package)}
    found = ((name, sources.locator.source(name)) for name in sorted(below))
    return {name: path for name, path in found if path is not None}


def looked_for(modules: Iterable[str], sources: Sources) -> dict[Path, set[str]]:
    """Return the names that these modules' imports look for, by the folders that are not installed."""
    modules = list(modules)
    imported = {name for module in modules for name in sources.imports(module)}
    found: dict[Path, set[str]] = {}
    for name in {every for each in imported if not is_own(each) for every in (*parents(each), each)}:
        for folder in sources.locator.folders_of(name):
            found.setdefault(folder, set()).add(name.rpartition(".")[2])
    for package in walked_packages(modules, sources):
        for folder in sources.locator.folders_below(package):
            found.setdefault(folder, set()).add(EVERY)
    return found


def walked_packages(modules: Iterable[str], sources: Sources) -> Iterator[str]:
    for module in modules:
        summary = None if is_own(module) else sources.summary(module)
        for statement in summary.statements if summary else ():
            for kind, what, _ in statement.opaque:
                if kind in (BELOW, PACKAGE):
                    yield what if kind == BELOW else module.partition(".")[0]
