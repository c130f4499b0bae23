"""Which files of the project its modules read when they are imported, so that these count with the plugins that do.

A process imports a module once, so what it read then is remembered. Files elsewhere are a component's to declare.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from otrainer.storage.project import display_path, project_root
from otrainer.storage.watch_reads import ReadTracker, tracking

if TYPE_CHECKING:
    from types import FrameType

    from otrainer.storage.records import FileStamp

LOADER = "otrainer.registry.plugins.load"
SOURCES = (".py", ".pyc")
# What otrainer and its runs write there is no input of a plugin's.
OWN_FOLDERS = ("build", "runs")


class ImportTracker(ReadTracker):
    """Notes what is read for the module whose import reads it, or else for the plugin that is asked to register."""

    plugin = ""

    def opened(self, path: str) -> None:
        super().opened(path)
        name = display_path(path, self.root)
        if name in self.files and is_input(PurePath(name)):
            reader = importing(sys._getframe(1)) or self.plugin
            reads_of(reader).setdefault(name, self.files[name])


@cache
def reads_of(module: str) -> dict[str, FileStamp | None]:
    """Return what `module` read so far, as it was before that; None for what was not there."""
    return {}


def is_input(name: PurePath) -> bool:
    """Return whether a path that a record names lies in the project, and is neither source nor output."""
    return not name.is_absolute() and name.suffix not in SOURCES and name.parts[0] not in OWN_FOLDERS


def importing(frame: FrameType | None) -> str | None:
    """Return the innermost module that is being imported, below whoever loads plugins."""
    while frame is not None and frame.f_globals.get("__name__") != LOADER:
        if frame.f_code.co_name == "<module>":
            return str(frame.f_globals.get("__name__"))
        frame = frame.f_back
    return None


@contextmanager
def reads_noted(plugin: str) -> Iterator[None]:
    """Note what is read while `plugin` is imported and registers."""
    tracker = ImportTracker(project_root())
    tracker.plugin = plugin
    with tracking(tracker):
        yield


def read_by(modules: Iterable[str]) -> dict[str, FileStamp | None]:
    """Return what these modules read when they were imported, sorted by name."""
    found = {name: stamp for module in modules for name, stamp in reads_of(module).items()}
    return dict(sorted(found.items()))
