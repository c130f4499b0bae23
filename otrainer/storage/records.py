"""What a stage read and what it left, so that the next run can tell whether anything of it changed, and what.

Facts here are named tuples: this is imported to find that nothing has to be done, and a dataclass takes longer to make.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.storage.atomic import write_atomic
from otrainer.storage.project import display_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from _typeshed import StrPath

SCHEMA = 2
# A clock tick of common file systems and then some: a file written again within it may keep its mtime.
MTIME_TICK_NS = 20_000_000
UNTRUSTED = -1
NOT_RUN = "It has not run yet."
NOTHING: Mapping[str, Any] = MappingProxyType({})


class FileStamp(NamedTuple):
    """A file's content as it was read; with the same size and mtime_ns it counts as unchanged without a look inside.

    That of a folder covers all data below it: `size` is their sum, and `mtime_ns` a hash of names, sizes and times.
    """

    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: StrPath) -> FileStamp:
        """Stamp `path` as it is now. Raises OSError where it cannot be read."""
        with open(path, "rb") as stream:
            # Taken before the content: an edit made while this reads leaves a newer mtime behind.
            status = os.fstat(stream.fileno())
            return cls(hashlib.file_digest(stream, "sha256").hexdigest(), status.st_size, status.st_mtime_ns)

    def again(self, path: StrPath) -> FileStamp | None:
        """Stamp `path` anew if it still holds this content. Raises OSError where it cannot be read."""
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            # Which of its files changed is found by who remembers them one by one.
            return self if folder_stamp(path)[1:] == self[1:] else None
        if status.st_size != self.size:
            return None
        if status.st_mtime_ns == self.mtime_ns:
            return self
        now = FileStamp.of(path)
        return now if now.sha256 == self.sha256 else None

    def settled(self, now_ns: int) -> FileStamp:
        """Return the same stamp, its mtime untrusted if it is so young that a later edit might not move it."""
        if now_ns - self.mtime_ns > MTIME_TICK_NS:
            return self
        return FileStamp(self.sha256, self.size, UNTRUSTED)


def folder_files(folder: StrPath) -> list[str]:
    """List every file of data below `folder`, sorted; links are followed, each folder once on a way down."""
    from otrainer.storage.droppings import is_dropping  # most projects declare no folder

    found: list[str] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(folder),))]
    while waiting:
        inside, above = waiting.pop()
        with os.scandir(Path(folder, inside)) as entries:
            for entry in entries:
                name = f"{inside}/{entry.name}" if inside else entry.name
                if is_dropping(entry.name):
                    continue
                if not entry.is_dir():
                    found.append(name)
                elif (real := os.path.realpath(entry.path)) not in above:
                    waiting.append((name, (*above, real)))
    return sorted(found)


def folder_stamp(folder: StrPath) -> FileStamp:
    """Stamp a folder without the hash of its content."""
    listing, total = hashlib.sha256(), 0
    for name in folder_files(folder):
        status = Path(folder, name).stat()
        listing.update(f"{name}\0{status.st_size} {status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        total += status.st_size
    return FileStamp("", total, int.from_bytes(listing.digest()[:6]))


class Record(NamedTuple):
    """Inputs and outputs of one execution of a stage.

    `files` maps a path to its stamp, or to None where it was looked for and missing; `env` a variable to the sha256
    of its value, or to None where it was unset; `listings` a folder to the hash of the names in it. Paths are relative
    to the root inside it, absolute elsewhere. `search` says where modules were looked for (`module_search`).
    `version` is that of the stage's code: another one makes the record stale.
    """

    files: Mapping[str, FileStamp | None] = NOTHING
    env: Mapping[str, str | None] = NOTHING
    outputs: Mapping[str, FileStamp] = NOTHING
    version: int = 1
    listings: Mapping[str, str] = NOTHING
    search: Mapping[str, Any] = NOTHING

    def write(self, path: StrPath) -> None:
        """Keep the record at `path`. Raises OSError with its name."""
        now = time.time_ns()
        files = {name: stamp and stamp.settled(now) for name, stamp in self.files.items()}
        outputs = {name: stamp.settled(now) for name, stamp in self.outputs.items()}
        whole = {"schema": SCHEMA, "version": self.version, "files": files, "env": dict(self.env), "outputs": outputs}
        more = {"listings": self.listings, "search": self.search}
        whole |= {name: dict(facts) for name, facts in more.items() if facts}
        # What it vouches for was written before it: if it is lost, the stage only runs again.
        write_atomic(os.path.realpath(path), json.dumps(whole).encode(), durable=False)

    @classmethod
    def read(cls, path: StrPath) -> Record:
        """Read the record at `path`. Raises OSError where it cannot be read, ValueError where it is damaged."""
        try:
            with open(path, "rb") as stream:
                return cls.of_json(json.loads(stream.read()))
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is not a record of a stage") from error

    @classmethod
    def of_json(cls, data: Any) -> Record:
        if data["schema"] != SCHEMA:
            raise ValueError(f"a record of schema {data['schema']} is not one of {SCHEMA}")
        files = {name: None if stamp is None else checked_stamp(stamp) for name, stamp in data["files"].items()}
        outputs = {name: checked_stamp(stamp) for name, stamp in data["outputs"].items()}
        listings, search = dict(data.get("listings", {}).items()), checked_search(data.get("search", {}))
        return cls(files, dict(data["env"].items()), outputs, data["version"], listings, search)


def checked_stamp(data: list[Any]) -> FileStamp:
    if list(map(type, data)) != [str, int, int]:
        raise TypeError("a stamp holds a hash and two numbers")
    return FileStamp(*data)


def checked_search(data: dict[str, Any]) -> Mapping[str, Any]:
    if data:
        looked_for = [names.split(" ") and list(found) for names, found in data["folders"].values()]
        if not all(isinstance(each, list) for each in (data["path"], data["used"], *looked_for)):
            raise TypeError("a search holds lists")
    return data


def stamp_files(paths: Iterable[StrPath], root: Path) -> dict[str, FileStamp]:
    """Stamp files under the names that a record uses. Raises OSError for one that is not there."""
    return {display_path(path, root): FileStamp.of(root / path) for path in paths}


def hash_env(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Environment variables as a record keeps them: values never appear in it."""
    return {name: None if value is None else hash_text(value) for name, value in values.items()}


def hash_listing(folder: StrPath) -> str:
    """Return the hash of the names in a folder, not of what is below them; empty where it cannot be listed."""
    try:
        return hash_text("\0".join(sorted(os.listdir(folder))))
    except OSError:
        return ""


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def why_stale(
    path: StrPath, *, root: Path, environ: Mapping[str, str] = os.environ, version: int = 1, source: str | None = None
) -> str | None:
    """Return the first reason why a stage has to run again, as a plain sentence; None if there is none.

    Files that were only touched are then noted with their new times, so that they are not read again each time.
    """
    touched: dict[str, FileStamp] = {}
    reason = next(every_reason(path, touched, root=root, environ=environ, version=version, source=source), None)
    if reason is None and touched:
        with suppress(OSError):  # a note that cannot be kept only costs another look
            record = Record.read(path)
            files = {name: touched.get(name, stamp) for name, stamp in record.files.items()}
            outputs = {name: touched.get(name, stamp) for name, stamp in record.outputs.items()}
            record._replace(files=files, outputs=outputs).write(path)
    return reason


def every_reason(
    path: StrPath,
    touched: dict[str, FileStamp],
    *,
    root: Path,
    environ: Mapping[str, str] = os.environ,
    version: int = 1,
    source: str | None = None,
) -> Iterator[str]:
    """Yield each reason why the stage whose record lies at `path` has to run again; see `reasons`."""
    try:
        record = Record.read(path)
    except FileNotFoundError:
        yield NOT_RUN
    except (OSError, ValueError):
        yield f"Its record `{display_path(path, root)}` is damaged."
    else:
        yield from reasons(record, touched, root=root, environ=environ, version=version, source=source)


def reasons(
    record: Record,
    touched: dict[str, FileStamp],
    *,
    root: Path,
    environ: Mapping[str, str] = os.environ,
    version: int = 1,
    source: str | None = None,
) -> Iterator[str]:
    """Yield everything that changed since `record`; `touched` receives new stamps of the same content.

    `version` is that of the stage's code as it is now, `source` a file of that code, if the stage recorded it.
    """
    if record.version != version:
        yield "This version of otrainer does it in another way."
    elif source is not None and source not in record.files:
        yield "It was made by another installation of otrainer."
    for name, stamp in record.files.items():
        if stamp is not None:
            yield from file_reason(name, stamp, root, touched, ("changed", "is gone"))
        elif (root / name).exists():
            yield f"`{name}` is there now."
    for name, listing in record.listings.items():
        if listing != hash_listing(root / name):
            yield f"`{name}` holds files of other names."
    if record.search:
        from otrainer.storage.module_search import search_reasons  # of records of the stage `manifest` alone

        yield from search_reasons(record.search, root, environ, record.files)
    for name, value in record.env.items():
        yield from env_reason(name, value, environ.get(name))
    for name, stamp in record.outputs.items():
        yield from file_reason(name, stamp, root, touched, ("was altered", "was deleted"))


def file_reason(
    name: str, stamp: FileStamp, root: Path, touched: dict[str, FileStamp], words: tuple[str, str]
) -> Iterator[str]:
    """Yield what happened to a file, in the `words` for another content and for none."""
    path = os.path.join(root, name)
    try:
        now = stamp.again(path)
    except (FileNotFoundError, NotADirectoryError):
        yield f"`{name}` {words[0] if os.path.isdir(path) else words[1]}."  # a folder may hold a link to nowhere
    except OSError as error:
        yield f"`{name}` cannot be read ({error.strerror})."
    else:
        if now is None:
            yield f"`{name}` {words[0]}."
        elif now is not stamp:
            touched[name] = now


def env_reason(name: str, recorded: str | None, value: str | None) -> Iterator[str]:
    if value is None or recorded is None:
        if value is not recorded:
            yield f"The environment variable `{name}` is {'set now' if recorded is None else 'not set any more'}."
    elif recorded != hash_text(value):
        yield f"The environment variable `{name}` changed."
