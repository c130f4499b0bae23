"""What code reads while it is watched: so a component that names its data is asked again once that changes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.storage.audit_events import FILES
from otrainer.storage.data_files import identify
from otrainer.storage.installed import is_installed
from otrainer.storage.project import display_path
from otrainer.storage.records import hash_listing

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

    def opened(self, path: str) -> None:
        name, file = display_path(path, self.root), self.root / path
        if name not in self.files and not is_installed(file):
            with suppress(OSError):  # whoever opens it will tell
                self.files[name] = identify(name, self.root) if file.exists() else None

    def executed(self, path: str, _module: str) -> None:
        """See a source that runs, as which module; what is imported counts as code does."""

    def listed(self, path: str) -> None:
        name = display_path(path, self.root)
        if name not in self.listings and not is_installed(self.root / path):
            self.listings[name] = hash_listing(self.root / path)


_tracker: ContextVar[ReadTracker | None] = ContextVar("tracker", default=None)


@contextmanager
def tracking(tracker: ReadTracker) -> Iterator[None]:
    """Let `tracker` see which files this thread opens to read, there or not, and which folders it lists."""
    add_hook()
    token = _tracker.set(tracker)
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
    token = _tracker.set(None)  # what it reads itself does not count
    try:
        if event in FILES:
            _see_files(tracker, FILES[event](*arguments))
        elif event == "exec":
            _see_code(tracker, arguments[0], frame)
        else:
            _see(tracker, event, *arguments)
    finally:
        _tracker.reset(token)


OPENING = ("open", *LISTING)
WATCHED = frozenset((*OPENING, *FILES, "exec"))


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


def _see(tracker: ReadTracker, event: str, path: Any, mode: str | None = None, flags: int = 0) -> None:
    path = "." if path is None else path
    if not isinstance(path, str | bytes | os.PathLike):
        return  # a descriptor
    if event != "open":
        tracker.listed(os.fsdecode(path))
    elif not set(mode or "") & set("wax+") and not flags & WRITING:
        tracker.opened(os.fsdecode(path))
