"""What code reads while it is watched: so a component that names its data is asked again once that changes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from otrainer.storage.audit_events import FILES
from otrainer.storage.data_files import identify
from otrainer.storage.installed import is_installed
from otrainer.storage.project import PACKAGE_FOLDER, display_path
from otrainer.storage.records import hash_listing, hash_text, kind_of
from otrainer.storage.watch_asks import asks_watched

if TYPE_CHECKING:
    from otrainer.storage.stamps import FileStamp

if TYPE_CHECKING:
    from types import CodeType, FrameType

WRITING = os.O_WRONLY | os.O_RDWR
LISTING = ("os.listdir", "os.scandir")
# Python's own search for modules lists folders as well, and reads sources.
IMPORTS = "<frozen importlib"


@dataclass
class ReadTracker:
    """What was read below `root` and elsewhere, as a record keeps it, each as it was before it was read."""

    root: Path
    files: dict[str, FileStamp | None] = field(default_factory=dict)
    listings: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    env: dict[str, str | None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    def opened(self, path: str) -> None:
        name, file = display_path(path, self.root), self.root / path
        if name not in self.files and not is_installed(file):
            with suppress(OSError):  # whoever opens it will tell
                self.files[name] = identify(name, self.root) if file.exists() else None

    def probed(self, path: str, *, kind_alone: bool) -> None:
        """See a path that was looked at, for nothing but what it is with `kind_alone`, and else for its size too."""
        with unwatched():
            if not kind_alone and (self.root / path).is_file():
                self.opened(path)
            else:
                self.asked(path)

    def asked(self, path: str) -> None:
        name = display_path(path, self.root)
        if name not in self.kinds and not is_installed(self.root / path):
            self.kinds[name] = kind_of(self.root / path)

    def variable(self, name: str, value: str | None) -> None:
        """See a variable that was read, of which only a hash is kept."""
        self.env.setdefault(name, None if value is None else hash_text(value))

    def wrote(self, path: str) -> None:
        """See a path that the watched code made, wrote or removed: it is no input of its own."""
        self.written.add(display_path(path, self.root))

    def settle(self) -> None:
        """Let what the watched code wrote itself be as it left it, which it will find the next time."""
        for name in self.written & self.kinds.keys():
            self.kinds[name] = kind_of(self.root / name)
        for name in {str(PurePath(name).parent) for name in self.written} & self.listings.keys():
            self.listings[name] = hash_listing(self.root / name, is_root=name == ".")

    def executed(self, path: str, _module: str) -> None:
        """See a source that runs, as which module; what is imported counts as code does."""

    def listed(self, path: str) -> None:
        name = display_path(path, self.root)
        if name not in self.listings and not is_installed(self.root / path):
            self.listings[name] = hash_listing(self.root / path, is_root=name == ".")


class Writes(ReadTracker):
    """Sees for another tracker what is written, and nothing else."""

    def __init__(self, reader: ReadTracker) -> None:
        super().__init__(reader.root, written=reader.written)

    def opened(self, path: str) -> None: ...

    def asked(self, path: str) -> None: ...

    def listed(self, path: str) -> None: ...


_tracker: ContextVar[ReadTracker | None] = ContextVar("tracker", default=None)


@contextmanager
def tracking(tracker: ReadTracker) -> Iterator[None]:
    """Let `tracker` see what this thread opens to read, there or not, which folders it lists, and what it asks."""
    add_hook()
    token = _tracker.set(tracker)
    try:
        with asks_watched(_tracker.get, is_theirs):
            yield
    finally:
        _tracker.reset(token)
        tracker.settle()


@contextmanager
def writes_noted(tracker: ReadTracker) -> Iterator[None]:
    """Let `tracker`, which saw what was read before, see what this thread writes, and no more."""
    add_hook()
    token = _tracker.set(Writes(tracker))
    try:
        yield
    finally:
        _tracker.reset(token)


def is_theirs(file: str) -> bool:
    """Return whether a source is the project's own, or lies beside it, and no part of otrainer or a package."""
    path = Path(file)
    return not is_installed(path) and not path.is_relative_to(PACKAGE_FOLDER)


@contextmanager
def unwatched() -> Iterator[None]:
    """Let nobody see what the watching itself reads."""
    token = _tracker.set(None)
    try:
        yield
    finally:
        _tracker.reset(token)


@cache
def add_hook() -> None:
    """Watch this process, once and for good: outside of such a block that costs next to nothing."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in WATCHED:
        return
    tracker = _tracker.get()
    frame = sys._getframe(1)
    if tracker is None or (event in OPENING and is_by_import(frame)):
        return
    with unwatched():
        if event in FILES:
            _see_files(tracker, FILES[event](*arguments))
        elif event == "exec":
            _see_code(tracker, arguments[0], frame)
        elif event in CHANGING:
            _see_change(tracker, event, arguments)
        else:
            _see(tracker, event, *arguments)


OPENING = ("open", *LISTING)
# Events that tell of changes to paths, which stand first among their arguments.
CHANGING = {"os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.symlink": 2, "os.link": 2}
WATCHED = frozenset((*OPENING, *FILES, *CHANGING, "exec"))


def is_by_import(frame: FrameType) -> bool:
    """Return whether it is an import that looks, or Python that wants to show a line of a source.

    A loader that is asked for the data beside a module reads as anybody else does.
    """
    above = frame.f_back
    if not frame.f_code.co_filename.startswith(IMPORTS):
        return above is not None and above.f_globals.get("__name__") == "linecache"
    return frame.f_code.co_name != "get_data" or (above is not None and above.f_code.co_name == "get_code")


def _see_files(tracker: ReadTracker, paths: Iterator[str]) -> None:
    for path in paths:
        if (tracker.root / path).is_file():
            tracker.opened(path)


def _see_code(tracker: ReadTracker, code: CodeType, frame: FrameType) -> None:
    if code.co_name == "<module>" and Path(code.co_filename).is_file():
        # An import hands the names of the module on to what runs its code.
        given = frame.f_locals.get("args") if frame.f_code.co_filename.startswith(IMPORTS) else None
        names = given[-1] if isinstance(given, tuple) and given else None
        tracker.executed(code.co_filename, str(names.get("__name__")) if isinstance(names, dict) else "")


def _see_change(tracker: ReadTracker, event: str, arguments: tuple[Any, ...]) -> None:
    for path in arguments[: CHANGING[event]]:
        if isinstance(path, str | bytes | os.PathLike):
            tracker.wrote(os.fsdecode(path))
            if event == "os.mkdir":
                tracker.asked(os.fsdecode(path))


def _see(tracker: ReadTracker, event: str, path: Any, mode: str | None = None, flags: int = 0) -> None:
    path = "." if path is None else path
    if not isinstance(path, str | bytes | os.PathLike):
        return  # a descriptor
    if event != "open":
        tracker.listed(os.fsdecode(path))
    elif not set(mode or "") & set("wax+") and not flags & WRITING:
        tracker.opened(os.fsdecode(path))
    else:
        tracker.wrote(os.fsdecode(path))
