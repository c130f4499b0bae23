"""Local modules run as their sources are, which is what fingerprints cover, however they come to be loaded.

Python would take a compiled file from `__pycache__` if it bears the time and size of the source, whoever put it there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader, SourcelessFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType, ModuleType

from otrainer.fingerprint.locate import OWN, is_local, is_own
from otrainer.registry.plugins.search_notes import additions_noted
from otrainer.storage import process_memory
from otrainer.storage.installed import is_installed
from otrainer.storage.stamps import COARSE_TICK_NS


class FromSource(SourceFileLoader):
    """Loads a module of a project from its source, without a look at compiled files and without leaving one."""

    def exec_module(self, module: ModuleType) -> None:
        with additions_noted(module.__name__):
            super().exec_module(module)


def get_code(loader: SourceFileLoader, fullname: str) -> CodeType | None:
    """Return a module's code; that of a local one as its source is now.

    It stands in the place of `SourceFileLoader.get_code`, which every way to load a source by its path takes as well,
    and the loaders of others that are made of it. By its name, reads are known to be those of an import.
    """
    path = loader.get_filename(fullname)
    if is_own(fullname) or lies_in_libraries(path.rpartition(os.sep)[0]):
        return super(SourceFileLoader, loader).get_code(fullname)
    if type(loader) is SourceFileLoader and is_elsewhere(path) and is_surely_compiled(path):
        return super(SourceFileLoader, loader).get_code(fullname)
    content = loader.get_data(path)
    if getattr(getattr(sys.modules.get(fullname), "__spec__", None), "loader", None) is loader:
        loaded()[fullname] = content
    code: CodeType = loader.source_to_code(content, path)
    return code


@cache
def lies_in_libraries(folder: str) -> bool:
    return is_installed(Path(folder, "any.py"))


def is_elsewhere(path: str) -> bool:
    """Return whether a source lies in none of the projects."""
    finder = project_finder()
    return finder is None or not any(Path(path).absolute().is_relative_to(root) for root in finder.roots)


def is_surely_compiled(source: str) -> bool:
    """Return whether the compiled file, if any, was made after all edits of its source, whatever time these gave it.

    So a large library that lies beside the project is not compiled in each process. An edit can set every time but the
    one of the change itself; of what a link leads to, that says nothing.
    """
    file = Path(source)
    if sys.pycache_prefix is not None or file.is_symlink():
        return False
    try:
        made = Path(cache_from_source(source)).stat().st_mtime_ns
    except (OSError, NotImplementedError):
        return True
    return made > file.stat().st_ctime_ns + COARSE_TICK_NS


def loaded() -> dict[str, bytes]:
    """Return the source of each module that this process loaded, as it was then."""
    sources: dict[str, bytes] = process_memory.get("loaded_sources", dict)
    return sources


class ProjectFinder(MetaPathFinder):
    """Finds the modules that lie in `roots`, the folders of projects, as Python does, to be loaded from source."""

    def __init__(self) -> None:
        self.roots: set[Path] = set()
        self._tops: dict[str, bool] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self.covers(fullname.partition(".")[0]):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not self.is_inside(Path(spec.origin)):
            return spec
        if isinstance(spec.loader, SourcelessFileLoader):
            raise ImportError(f"`{spec.origin}` is compiled, and its source is not there", name=fullname)
        if type(spec.loader) is SourceFileLoader:
            spec.loader = FromSource(spec.loader.name, spec.loader.path)
            spec.cached = None
        return spec

    def covers(self, top: str) -> bool:
        """Return whether a top-level name may be that of a module in one of the projects."""
        if top not in self._tops:
            theirs = top == OWN or top in sys.stdlib_module_names
            self._tops[top] = not theirs and any(holds(root, top) for root in self.roots)
        return self._tops[top]

    def is_inside(self, file: Path) -> bool:
        return any(file.is_relative_to(root) for root in self.roots) and is_local("", file.with_suffix(".py"))

    def add(self, root: Path) -> None:
        if root not in self.roots:
            self.roots.add(root)
            self._tops.clear()


def holds(root: Path, top: str) -> bool:
    return any((root / f"{top}{suffix}").exists() for suffix in ("", ".py", ".pyc"))


def project_finder() -> ProjectFinder | None:
    return next((each for each in sys.meta_path if isinstance(each, ProjectFinder)), None)


def load_from_source(root: Path) -> None:
    """Let the local modules, and those below `root` above all, that are imported from now on be loaded from source."""
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    finder = project_finder()
    if finder is None:
        finder = ProjectFinder()
        sys.meta_path.insert(0, finder)
    finder.add(root)
