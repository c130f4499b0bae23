"""Which files of the project its modules read when they are imported, so that these count with the plugins that do.

A process imports a module once, so what it read then is remembered. Files elsewhere are a component's to declare.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from otrainer.fingerprint.locate import is_own
from otrainer.fingerprint.unfollowed import variable_shown
from otrainer.registry.plugins.variables import Tracker
from otrainer.storage.held_files import held_files
from otrainer.storage.installed import is_installed
from otrainer.storage.project import display_path, project_root
from otrainer.storage.records import OWN_FOLDERS, Record
from otrainer.storage.stamps import FileStamp
from otrainer.storage.watch_reads import tracking

if TYPE_CHECKING:
    from types import FrameType

LOADER = "otrainer.registry.plugins.load"
# What Python makes of sources by itself.
COMPILED = ".pyc"
FACTS = ("listings", "kinds", "env")


@dataclass
class Asks:
    """What a module asked when it was imported: names in folders, what is at a path, variables; as in a record."""

    listings: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    env: dict[str, str | None] = field(default_factory=dict)


@dataclass
class ImportTracker(Tracker):
    """Notes what is read for the modules whose imports read it, and for the plugin that is asked to register."""

    plugin: str = ""
    askers: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def opened(self, path: str) -> None:
        super().opened(path)
        name = display_path(path, self.root)
        if name in self.files and is_input(PurePath(name)):
            self.seen(sys._getframe(1))
            for reader in self.readers():
                reads_of(reader).setdefault(name, self.files[name])

    def executed(self, path: str, module: str) -> None:
        """Note a source that runs: whether fingerprints follow it by that name is known later."""
        name = display_path(path, self.root)
        if is_own(module) or is_installed(self.root / path) or name.split("/")[0] in OWN_FOLDERS:
            return
        with suppress(OSError):
            stamp = FileStamp.of(self.root / path)
            self.seen(sys._getframe(1))
            for reader in self.readers():
                runs_of(reader).setdefault((name, module), stamp)

    def listed(self, path: str) -> None:
        super().listed(path)
        self.note("listings", display_path(path, self.root))

    def asked(self, path: str) -> None:
        super().asked(path)
        self.note("kinds", display_path(path, self.root))

    def variable(self, name: str, value: str | None) -> None:
        super().variable(name, value)
        self.note("env", name)

    def note(self, what: str, name: str) -> None:
        if name in getattr(self, what) and (what == "env" or is_input(PurePath(name))):
            self.seen(sys._getframe(1))
            self.askers.setdefault((what, name), set()).update(self.readers())

    def readers(self) -> tuple[str, ...]:
        return (*importing(sys._getframe(1)), self.plugin)

    def settle(self) -> None:
        """Give each module what it asked, as it was, or as the modules left it themselves."""
        super().settle()
        for (what, name), readers in self.askers.items():
            for reader in readers:
                getattr(asks_of(reader), what).setdefault(name, getattr(self, what)[name])

    def seen(self, frame: FrameType | None) -> None:
        """Note the line of the user's own that led to what counts."""
        for reader in self.readers():
            places_of(reader).add(place_of(frame, self.root))


@cache
def reads_of(module: str) -> dict[str, FileStamp | None]:
    """Return what `module` read so far, as it was before that; None for what was not there."""
    return {}


@cache
def asks_of(module: str) -> Asks:
    """Return what `module` asked so far."""
    return Asks()


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
    top = name.parts[0] if name.parts else ""  # of the project's root
    return not name.is_absolute() and name.suffix != COMPILED and top not in (*OWN_FOLDERS, "..")


def importing(frame: FrameType | None) -> Iterator[str]:
    """Yield the modules that are being imported, below whoever loads plugins, the innermost first."""
    while frame is not None and frame.f_globals.get("__name__") != LOADER:
        if frame.f_code.co_name == "<module>":
            yield str(frame.f_globals.get("__name__"))
        frame = frame.f_back


@contextmanager
def reads_noted(plugin: str) -> Iterator[None]:
    """Note what is read while `plugin` is imported and registers."""
    tracker = ImportTracker(project_root(), plugin=plugin)
    before = held_files() if plugin not in sys.modules else None
    with tracking(tracker):
        yield
    if before is not None:
        for path in sorted(held_files() - before):
            if Path(path).is_file():
                tracker.opened(path)


def seen_by(modules: Iterable[str]) -> set[str]:
    """Return the lines at which these modules were seen to read or run something, and the variables that they read."""
    found = {place for module in modules for place in places_of(module)}
    return found | {variable_shown(name) for module in modules for name in asks_of(module).env}


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


def asked_by(modules: Mapping[str, Path]) -> Record:
    """Return what these modules asked when they were imported, as a record without files; what was read is no question.

    A file that was read is there, and a module that is imported from a folder is found there by its name.
    """
    asks, read = [asks_of(module) for module in modules], read_by(modules)
    listings, kinds, env = (
        {name: fact for each in asks for name, fact in getattr(each, what).items()} for what in FACTS
    )
    kinds = {name: kind for name, kind in kinds.items() if read.get(name) is None and name not in listings}
    return Record(
        env=dict(sorted(env.items())), listings=dict(sorted(listings.items())), kinds=dict(sorted(kinds.items()))
    )


def together(first: Record, second: Record) -> Record:
    """Return what was asked as one record; what `first` says goes before what `second` says of the same."""
    env, listings, kinds = (
        {**second.env, **first.env},
        {**second.listings, **first.listings},
        {**second.kinds, **first.kinds},
    )
    return Record(
        env=dict(sorted(env.items())), listings=dict(sorted(listings.items())), kinds=dict(sorted(kinds.items()))
    )
