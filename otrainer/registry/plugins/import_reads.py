"""Which files of the project its modules read when they are imported, so that these count with the plugins that do.

A process imports a module once, so what it read then is remembered. Files elsewhere are a component's to declare.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from otrainer.fingerprint.locate import is_own
from otrainer.storage.held_files import held_files
from otrainer.storage.installed import is_installed
from otrainer.storage.project import display_path, project_root
from otrainer.storage.stamps import FileStamp
from otrainer.storage.watch_reads import ReadTracker, tracking

if TYPE_CHECKING:
    from types import FrameType

LOADER = "otrainer.registry.plugins.load"
# What Python makes of sources by itself.
COMPILED = ".pyc"
# What otrainer and its runs write there is no input of a plugin's.
OWN_FOLDERS = ("build", "runs")


class ImportTracker(ReadTracker):
    """Notes what is read for the modules whose imports read it, and for the plugin that is asked to register."""

    plugin = ""

    def opened(self, path: str) -> None:
        super().opened(path)
        name = display_path(path, self.root)
        if name in self.files and is_input(PurePath(name)):
            self.seen(sys._getframe(1))
            for reader in (*importing(sys._getframe(1)), self.plugin):
                reads_of(reader).setdefault(name, self.files[name])

    def executed(self, path: str, module: str) -> None:
        """Note a source that runs: whether fingerprints follow it by that name is known later."""
        name = display_path(path, self.root)
        if is_own(module) or is_installed(self.root / path) or name.split("/")[0] in OWN_FOLDERS:
            return
        with suppress(OSError):
            stamp = FileStamp.of(self.root / path)
            self.seen(sys._getframe(1))
            for reader in (*importing(sys._getframe(1)), self.plugin):
                runs_of(reader).setdefault((name, module), stamp)

    def seen(self, frame: FrameType | None) -> None:
        """Note the line of the user's own that led to what counts."""
        for reader in (*importing(frame), self.plugin):
            places_of(reader).add(place_of(frame, self.root))


@cache
def reads_of(module: str) -> dict[str, FileStamp | None]:
    """Return what `module` read so far, as it was before that; None for what was not there."""
    return {}


@cache
def runs_of(module: str) -> dict[tuple[str, str], FileStamp]:
    """Return the sources that ran while `module` was imported, each with the name of the module that it ran as."""
    return {}


@cache
def places_of(module: str) -> set[str]:
    """Return the lines that read or ran something that counts while `module` was imported, as `file:line`."""
    return set()


def place_of(frame: FrameType | None, root: Path) -> str:
    """Return the innermost line that is no part of a package, nor of otrainer, as `file:line`."""
    while frame is not None:
        file, name = Path(frame.f_code.co_filename), str(frame.f_globals.get("__name__"))
        if file.is_absolute() and not is_installed(file) and not is_own(name):
            return f"{display_path(file, root)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def is_input(name: PurePath) -> bool:
    """Return whether a path that a record names lies in the project, and was not made by Python, nor by otrainer."""
    return not name.is_absolute() and name.suffix != COMPILED and name.parts[0] not in OWN_FOLDERS


def importing(frame: FrameType | None) -> Iterator[str]:
    """Yield the modules that are being imported, below whoever loads plugins, the innermost first."""
    while frame is not None and frame.f_globals.get("__name__") != LOADER:
        if frame.f_code.co_name == "<module>":
            yield str(frame.f_globals.get("__name__"))
        frame = frame.f_back


@contextmanager
def reads_noted(plugin: str) -> Iterator[None]:
    """Note what is read while `plugin` is imported and registers."""
    tracker = ImportTracker(project_root())
    tracker.plugin = plugin
    before = held_files() if plugin not in sys.modules else None
    with tracking(tracker):
        yield
    if before is not None:
        for path in sorted(held_files() - before):
            if Path(path).is_file():
                tracker.opened(path)


def seen_by(modules: Iterable[str]) -> set[str]:
    """Return the lines of these modules, or of what they called, at which something was seen to be read or run."""
    return {place for module in modules for place in places_of(module)}


def read_by(modules: Mapping[str, Path]) -> dict[str, FileStamp | None]:
    """Return what these modules, each with its file, read and ran when they were imported, sorted by name.

    A source that ran as one of them is left out: it is followed by its name, symbol by symbol.
    """
    root = project_root()
    found = {name: stamp for module in modules for name, stamp in reads_of(module).items()}
    for module in modules:
        for (name, ran_as), stamp in runs_of(module).items():
            if ran_as not in modules or display_path(modules[ran_as], root) != name:
                found.setdefault(name, stamp)
    return dict(sorted(found.items()))
