"""What a resolve reads, and the record of it: files, environment variables, and paths looked for in vain."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from otrainer.config.nodes import Scalar, place_of
from otrainer.errors import Finding, SourceLocation, nearest


@dataclass(frozen=True, slots=True)
class FileRead:
    """One file as it was when it was read; `sha256` is that of exactly the bytes that were used."""

    path: str
    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Reads:
    """Everything outside the resolver that its result depends on; `env` holds None for an unset variable."""

    files: tuple[FileRead, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


class Recorder:
    """Reads files and variables, and keeps a record of both; `includes` holds the first entry that names each file."""

    def __init__(self, environ: Mapping[str, str], root: str | os.PathLike[str] | None = None) -> None:
        self.environ = environ
        self.root = Path(os.path.realpath(root or Path.cwd()))
        self.files: list[FileRead] = []
        self.env: dict[str, str | None] = {}
        self.missing: dict[str, None] = {}
        self.opened: dict[str, None] = {}
        self.includes: dict[str, SourceLocation] = {}

    def reads(self) -> Reads:
        return Reads(tuple(self.files), dict(self.env), tuple(self.missing))

    def variable(self, name: str) -> str | None:
        """The raw value of an environment variable, or None."""
        return self.env.setdefault(name, self.environ.get(name))

    def shown(self, path: Path) -> str:
        """`path` relative to the root where it lies inside, with forward slashes."""
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()

    def include(self, name: str, entry: Scalar | None) -> None:
        """Remember the entry of `defaults` that led to a file, if one did."""
        if place := place_of(entry):
            self.includes.setdefault(name, place)

    def read(self, path: Path) -> bytes:
        """The bytes of a regular file.

        Raises OSError where it is missing, unreadable or something else than a file; a missing one is recorded.
        """
        name = self.shown(path)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise IsADirectoryError(name)
            with path.open("rb") as stream:
                # Taken before the bytes: a file that is written meanwhile must look changed afterwards, not fresh.
                facts = os.fstat(stream.fileno())
                content = stream.read()
        except (FileNotFoundError, NotADirectoryError):
            self.missing[name] = None
            raise
        self.files.append(FileRead(name, hashlib.sha256(content).hexdigest(), len(content), facts.st_mtime_ns))
        self.opened[name] = None
        return content


def named_file(folder: Path, entry: str) -> Path:
    """The absolute path of `entry` in `folder`: links to folders are followed, a linked file keeps its name."""
    path = folder / entry
    return real_folder(str(path.parent)) / path.name


# Where folders were found: the folder's own device and inode, and its path without links.
FOLDERS: dict[str, tuple[int, int, Path]] = {}


def real_folder(folder: str) -> Path:
    """The absolute path of a folder without links; one that was asked for before is only checked to be the same."""
    try:
        facts = os.stat(folder)  # noqa: PTH116 - many experiments ask for the same few folders
    except OSError:
        return Path(os.path.realpath(folder))
    known = FOLDERS.get(folder)
    if known is not None and known[:2] == (facts.st_dev, facts.st_ino):
        return known[2]
    real = Path(os.path.realpath(folder))
    if Path(folder).is_absolute():
        FOLDERS[folder] = (facts.st_dev, facts.st_ino, real)
    return real


def unreadable(path: Path, name: str, at: Scalar | None, index: int, error: OSError) -> Finding:
    """The finding for a file that cannot be read, at the entry of `defaults` that names it, if one does."""
    suggestions: tuple[str, ...] = ()
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        title, message = "missing file", f"There is no file `{name}`."
        suggestions, hint = similar_files(path, str(at.value) if at else name)
        hint = hint if at else "Check the path."
    elif isinstance(error, IsADirectoryError):
        title, message, hint = "not a file", f"`{name}` is no regular file.", "Name a YAML file."
    else:
        title, message = "unreadable file", f"`{name}` cannot be read ({error.strerror})."
        hint = "Check its name, and make it readable for this user."
    config_path = ("defaults", index) if at else ()
    return Finding(message, title, config_path, place_of(at), False, suggestions, hint)


def similar_files(path: Path, entry: str) -> tuple[tuple[str, ...], str]:
    """Names that could stand in place of a missing file's, and the next step."""
    if "${" in entry:
        return (), "`defaults` are read before `${...}` is evaluated: write the path out."
    relative = "Paths in `defaults` are relative to the file that lists them."
    if not path.parent.is_dir():
        return (), f"Its folder does not exist. {relative}"
    files = [found.name for found in path.parent.iterdir() if found.suffix in {".yaml", ".yml"}]
    matches = nearest(path.name, files) or nearest(f"{path.stem}.yaml", files)
    return tuple((Path(entry).parent / match).as_posix() for match in matches), relative
