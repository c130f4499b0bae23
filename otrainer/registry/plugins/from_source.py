"""The project's modules are compiled from their sources: what runs is what fingerprints cover.

Python would take a compiled file from `__pycache__` if it bears the time and size of the source, whoever put it there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from otrainer.fingerprint.locate import OWN, is_local
from otrainer.registry.plugins.search_notes import additions_noted
from otrainer.storage import process_memory


class FromSource(SourceFileLoader):
    """Loads a module from its source, without a look at compiled files and without leaving one."""

    def exec_module(self, module: ModuleType) -> None:
        with additions_noted(module.__name__):
            super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        loaded()[fullname] = content = self.get_data(path)
        code: CodeType = self.source_to_code(content, path)
        return code


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


def load_from_source(root: Path) -> None:
    """Let the modules below `root` that are imported from now on be loaded from their sources."""
    finder = next((each for each in sys.meta_path if isinstance(each, ProjectFinder)), None)
    if finder is None:
        finder = ProjectFinder()
        sys.meta_path.insert(0, finder)
    finder.add(root)
