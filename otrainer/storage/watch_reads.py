"""What code reads while it is watched: so a component that names its data is asked again once that changes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otrainer.storage.data_files import identify
from otrainer.storage.project import display_path
from otrainer.storage.records import FileStamp, hash_listing

WRITING = os.O_WRONLY | os.O_RDWR
LISTING = ("os.listdir", "os.scandir")
# Python's own search for modules lists folders as well.
IMPORTS = "<frozen importlib"


@dataclass
class Witness:
    """What was read below `root` and elsewhere, as a record keeps it, each as it was before it was read."""

    root: Path
    files: dict[str, FileStamp | None] = field(default_factory=dict)
    listings: dict[str, str] = field(default_factory=dict)

    def opened(self, path: str) -> None:
        name, file = display_path(path, self.root), self.root / path
        if name not in self.files and not is_installed(file):
            with suppress(OSError):  # whoever opens it will tell
                self.files[name] = identify(name, self.root) if file.exists() else None

    def listed(self, path: str) -> None:
        name = display_path(path, self.root)
        if name not in self.listings and not is_installed(self.root / path):
            self.listings[name] = hash_listing(self.root / path)


def is_installed(path: Path) -> bool:
    """Whether a path belongs to Python or a package, whose versions tell what is in it."""
    return any(path.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix))


_watching: dict[int, Witness] = {}
_hooked: list[bool] = []


@contextmanager
def watched(witness: Witness) -> Iterator[None]:
    """Let `witness` see which files this thread opens to read, there or not, and which folders it lists."""
    if not _hooked:
        sys.addaudithook(_hook)  # it stays for good, and does next to nothing outside of such a block
        _hooked.append(True)
    _watching[threading.get_ident()] = witness
    try:
        yield
    finally:
        _watching.pop(threading.get_ident(), None)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" and event not in LISTING:
        return
    witness = _watching.pop(threading.get_ident(), None)  # what it reads itself does not count
    if witness is None:
        return
    try:
        if not sys._getframe(1).f_code.co_filename.startswith(IMPORTS):
            _see(witness, event, *arguments)
    finally:
        _watching[threading.get_ident()] = witness


def _see(witness: Witness, event: str, path: Any, mode: str | None = None, flags: int = 0) -> None:
    path = "." if path is None else path
    if not isinstance(path, str | bytes | os.PathLike):
        return  # a descriptor
    if event != "open":
        witness.listed(os.fsdecode(path))
    elif not set(mode or "") & set("wax+") and not flags & WRITING:
        witness.opened(os.fsdecode(path))
