"""Read files and environment variables, and record them with the paths looked for in vain."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from otrainer.config.limits import or_raise
from otrainer.config.nodes import Scalar, place_of
from otrainer.errors import Finding, SourceLocation, nearest
from otrainer.storage import process_memory
from otrainer.storage.project import display_path
from otrainer.storage.stamps import FileStamp

ATTEMPTS = 3
MAX_PATH = 4_096  # bytes, on Linux (limits.h); elsewhere it is less
MAX_LISTED = 1_000
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Reads:
    """Everything outside the resolver that its result depends on; `env` holds None for an unset variable.

    `links` maps each folder that was named by a way through links to the one that it led to.
    """

    files: Mapping[str, FileStamp] = field(default_factory=dict)
    env: Mapping[str, str | None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)


class Recorder:
    """Reads files and variables, and keeps a record of both; `includes` holds the first entry that names each file."""

    def __init__(self, environ: Mapping[str, str], root: str | os.PathLike[str] | None = None) -> None:
        self.environ = environ
        self.root = Path(os.path.realpath(root or Path.cwd()))
        self.files: dict[str, FileStamp] = {}
        self.env: dict[str, str | None] = {}
        self.missing: dict[str, None] = {}
        self.links: dict[str, str] = {}
        self.includes: dict[str, SourceLocation] = {}

    def reads(self) -> Reads:
        return Reads(dict(self.files), dict(self.env), tuple(self.missing), dict(self.links))

    def named(self, folder: Path, entry: str) -> Path:
        """Return the absolute path of `entry` in `folder`, and record links on the way.

        Links to folders are followed, a linked file keeps its name.
        """
        path = folder / entry
        way = str(path.parent)
        real = real_folder(way)
        if os.path.normpath(way) != str(real):
            self.links[display_path(way, self.root)] = display_path(real, self.root)
        return real / path.name

    def variable(self, name: str) -> str | None:
        """Return the raw value of an environment variable, or None."""
        return self.env.setdefault(name, self.environ.get(name))

    def include(self, name: str, entry: Scalar | None) -> None:
        """Remember the entry of `defaults` that led to a file, if one did."""
        if place := place_of(entry):
            self.includes.setdefault(name, place)

    def read(self, path: Path, most: int) -> bytes:
        """Read a regular file.

        Raises OSError where it is missing, unreadable or something else than a file, TooLongError where it has more
        than `most` bytes, and ChangingError where it does not hold still; a missing one is recorded.
        """
        name, now = display_path(path, self.root), time.time_ns()
        try:
            content, facts = read_whole(path, most)
        except (FileNotFoundError, NotADirectoryError):
            self.missing[name] = None
            raise
        # The hash is that of exactly the bytes that are used.
        self.files[name] = FileStamp.seen(hashlib.sha256(content).hexdigest(), facts, now)
        return content


class TooLongError(OSError):
    """A file has more bytes than may be read."""


class ChangingError(OSError):
    """A file has another length each time, or one of its own making as those of /proc have."""


def read_whole(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Read a regular file; its facts are those of just before."""
    for _ in range(ATTEMPTS):
        # Opening can have effects of its own, on a tape or a terminal; and what is a file now may be a pipe the next
        # moment, whose opening would wait for somebody to write.
        if not stat.S_ISREG(path.stat().st_mode):
            raise IsADirectoryError(path)
        with open(path, "rb", opener=without_waiting) as stream:
            facts = os.fstat(stream.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise IsADirectoryError(path)
            if facts.st_size > most:
                raise TooLongError(path)
            # Facts are taken before the bytes: a file that is written meanwhile must look changed afterwards.
            content = stream.read(facts.st_size + 1)
        if content is not None and len(content) == facts.st_size:  # None: it would wait
            return content, facts
    raise ChangingError(path)


def without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def real_folder(folder: str) -> Path:
    """Return the absolute path of a folder without links, from memory where it is still the same folder."""
    try:
        facts = os.stat(folder)  # noqa: PTH116 - many experiments ask for the same few folders
    except OSError:
        return Path(os.path.realpath(folder))
    # Where folders were found: the folder's own device and inode, and its path without links.
    folders: dict[str, tuple[int, int, Path]] = process_memory.get("folders", dict)
    known = folders.get(folder)
    if known is not None and known[:2] == (facts.st_dev, facts.st_ino):
        return known[2]
    real = Path(os.path.realpath(folder))
    if Path(folder).is_absolute():
        folders[folder] = (facts.st_dev, facts.st_ino, real)
    return real


def unreadable(path: Path, name: str, at: Scalar | None, index: int, error: OSError, most: int) -> Finding:
    """Return the finding for a file that cannot be read, at the entry of `defaults` that names it, if one does.

    `most` is the limit of bytes that may have been reached.
    """
    name = name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}..."
    suggestions: tuple[str, ...] = ()
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        title, message = "missing file", f"There is no file `{name}`."
        suggestions, hint = similar_files(path, str(at.value) if at else name)
        hint = hint if at else "Check the path."
    elif isinstance(error, TooLongError):
        title, message = "file too large", f"With `{name}` the files of this config come to more than {most:,} bytes."
        hint = or_raise("Keep bulk data in a file of its own, which is no config.", "file_size")
    elif isinstance(error, ChangingError):
        title, message = "file changes", f"`{name}` changes while it is read, or is made up by the system."
        hint = "Name a YAML file, and run the same command again once nobody writes to it."
    elif isinstance(error, IsADirectoryError):
        title, message, hint = "not a file", f"`{name}` is no regular file.", "Name a YAML file."
    else:
        title, message = "unreadable file", f"`{name}` cannot be read ({error.strerror})."
        hint = "Check its name, and make it readable for this user."
    config_path = ("defaults", index) if at else ()
    return Finding(message, title, config_path, location=place_of(at), on_key=False, suggestions=suggestions, hint=hint)


def similar_files(path: Path, entry: str) -> tuple[tuple[str, ...], str]:
    """Return names that could stand in place of a missing file's, and the next step."""
    if "${" in entry:
        return (), "`defaults` are read before `${...}` is evaluated: write the path out."
    relative = "Paths in `defaults` are relative to the file that lists them."
    if not os.path.isdir(path.parent):  # noqa: PTH112 - a Path's own method raises where the path is too long
        return (), f"Its folder does not exist. {relative}"
    try:
        with os.scandir(path.parent) as found:
            files = [entry.name for entry in islice(found, MAX_LISTED) if entry.name.endswith((".yaml", ".yml"))]
    except OSError:
        return (), relative
    matches = nearest(path.name, files) or nearest(f"{path.stem}.yaml", files)
    return tuple((Path(entry).parent / match).as_posix() for match in matches), relative
