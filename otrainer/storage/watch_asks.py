"""What code asks while it is watched without opening anything: whether a path is there, what a variable says.

No audit event tells of these, so `os.stat`, its likes and `os.environ` are stood in for as long as somebody watches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import CodeType, FrameType
from typing import Any, Protocol

from otrainer.storage import process_memory

PROBES = ("stat", "lstat", "access")
SUPPORTS = ("supports_dir_fd", "supports_effective_ids", "supports_fd", "supports_follow_symlinks")
# Modules of Python's own that ask for whoever calls them.
HELPERS = ("os", "genericpath", "posixpath", "pathlib", "glob", "fnmatch", "shutil", "_collections_abc")
# Their functions that look at a path only to make it absolute or to make a folder, and at a variable only for that.
PASSING = frozenset(("resolve", "realpath", "_joinrealpath", "samefile", "mkdir", "makedirs", "expanduser", "home"))
# Those that ask whether something is there and what it is; all others may use its size.
KINDS = frozenset(("exists", "lexists", "isfile", "isdir", "islink", "is_file", "is_dir", "is_symlink"))
# Those that take all variables at once, of which none is meant.
WHOLE = frozenset(("copy", "__or__", "__ror__", "__repr__", "__iter__"))


class Asked(Protocol):
    """What is told of each question."""

    def probed(self, path: str, *, kind_alone: bool) -> None: ...

    def variable(self, name: str, value: str | None) -> None: ...


class Asking:
    """Whom to tell, whose code it is that asks, and what became of the environment since this process first watched."""

    def __init__(self) -> None:
        self.current: Callable[[], Asked | None] = lambda: None
        self.is_theirs: Callable[[str], bool] = lambda _: False
        self.walked: tuple[CodeType, int] | None = None
        # What a variable was before watched code set it, and to what: the next process finds the former.
        self.set_here: dict[str, tuple[str | None, str | None]] = {}


class Environ(os._Environ[Any]):
    """An environment that tells which of its variables the project's code reads."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str | bytes):
            read(os.fsdecode(key), sys._getframe(1))
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        frame, _ = asker(sys._getframe(1))
        asking().walked = (frame.f_code, frame.f_lasti) if frame else None
        return super().__iter__()

    def __setitem__(self, key: Any, value: Any) -> None:
        before = raw(key)
        super().__setitem__(key, value)
        was_set(key, before)

    def __delitem__(self, key: Any) -> None:
        before = raw(key)
        super().__delitem__(key)
        was_set(key, before)


def asking() -> Asking:
    return process_memory.get("asking", Asking)


def raw(key: Any) -> str | None:
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # reading it otherwise would tell
    value = data.get(os.fsencode(key)) if isinstance(key, str | bytes) else None
    return None if value is None else os.fsdecode(value)


def was_set(key: Any, before: str | None) -> None:
    first, _ = asking().set_here.get(os.fsdecode(key), (before, None))
    asking().set_here[os.fsdecode(key)] = first, raw(key)


def read(name: str, frame: FrameType) -> None:
    told = asking().current()
    if told is None:
        return
    by, helpers = asker(frame)
    # Who takes all variables walks through them first, and then asks for each at the same place.
    if by is not None and helpers.isdisjoint(WHOLE | PASSING) and (by.f_code, by.f_lasti) != asking().walked:
        value = raw(name)
        before, after = asking().set_here.get(name, (value, value))
        told.variable(name, before if value == after else value)


def asker(frame: FrameType | None) -> tuple[FrameType | None, set[str]]:
    """Return the frame of the project's code that asks, if it does, and the functions of Python's that ask for it."""
    helpers: set[str] = set()
    while frame is not None and is_helper(frame):
        helpers.add(frame.f_code.co_name)
        frame = frame.f_back
    return (frame if frame is not None and asking().is_theirs(frame.f_code.co_filename) else None), helpers


def is_helper(frame: FrameType) -> bool:
    name, file = str(frame.f_globals.get("__name__")), frame.f_code.co_filename
    return name in HELPERS or name.startswith("pathlib.") or file.startswith("<")


def watched(probe: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of `PROBES` that tells of the paths that the project's code looks at."""

    @wraps(probe)
    def looks(path: Any, *arguments: Any, **options: Any) -> Any:
        told = asking().current()
        if told is not None and isinstance(path, str | bytes | os.PathLike) and options.get("dir_fd") is None:
            by, helpers = asker(sys._getframe(1))
            if by is not None and helpers.isdisjoint(PASSING):
                told.probed(os.fsdecode(path), kind_alone=probe.__name__ == "access" or bool(helpers & KINDS))
        return probe(path, *arguments, **options)

    return looks


def environments() -> tuple[os._Environ[Any], ...]:
    """Return the environment as text and, where the system has it so, as bytes: two views of the same."""
    return (os.environ, os.environb) if os.supports_bytes_environ else (os.environ,)


@contextmanager
def asks_watched(current: Callable[[], Asked | None], is_theirs: Callable[[str], bool]) -> Iterator[None]:
    """Tell whom `current` names of what code asks in this block that lies in files of which `is_theirs` holds."""
    kept = {name: getattr(os, name) for name in PROBES}
    outer, kind = (asking().current, asking().is_theirs), type(os.environ)
    asking().current, asking().is_theirs = current, is_theirs
    if kind is not Environ:
        for name, probe in kept.items():
            setattr(os, name, watched(probe))
            for supported in (getattr(os, each) for each in SUPPORTS):
                if probe in supported:
                    supported.add(getattr(os, name))
        for environ in environments():
            environ.__class__ = Environ  # it has the same attributes
    try:
        yield
    finally:
        asking().current, asking().is_theirs = outer
        if kind is not Environ:
            for environ in environments():
                environ.__class__ = kind
            for name, probe in kept.items():
                setattr(os, name, probe)
