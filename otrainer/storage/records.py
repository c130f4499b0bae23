"""What a stage read and what it left, so that the next run can tell whether anything of it changed, and what.

Facts here are named tuples: this is imported to find that nothing has to be done, and a dataclass takes longer to make.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.storage.atomic import write_atomic
from otrainer.storage.canonical_json import read_json
from otrainer.storage.project import PACKAGE_FOLDER, display_path
from otrainer.storage.stamps import FileStamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from _typeshed import StrPath

SCHEMA = 4
# Otrainer's own sources are many, as are the files that stages leave: what the file system says of them is enough.
OWN_FILES = f"{PACKAGE_FOLDER}{os.sep}"
# Of no stage: a record that another version of otrainer wrote in a form of its own.
OTHER_VERSION = 0
# What is said of a file that was read, and of one that was left: of another content, and of none.
READ = ("changed", "is gone")
LEFT = ("was altered", "was deleted")
NOT_RUN = "It has not run yet."
# What otrainer and its runs write there is no input of a stage.
OWN_FOLDERS = ("build", "runs")
# The folder below `build` with what experiments share.
SHARED = ".manifests"
NOW_IT_IS = {"": "is gone", "file": "is a file now", "folder": "is a folder now", "other": "is something else now"}
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Record(NamedTuple):
    """Inputs and outputs of one execution of a stage.

    `files` maps a path to its stamp, or to None where it was looked for and missing; `env` a variable to the sha256
    of its value, or to None where it was unset; `listings` a folder to the hash of the names in it. Paths are relative
    to the root inside it, absolute elsewhere. `search` says where modules were looked for (`module_search`),
    `kinds` what was at a path that was asked for and not opened: `file`, `folder`, `other` or nothing, and `links`
    to which folder a way through links led.
    `version` is that of the stage's code: another one makes the record stale.
    """

    files: Mapping[str, FileStamp | None] = NOTHING
    env: Mapping[str, str | None] = NOTHING
    outputs: Mapping[str, FileStamp] = NOTHING
    version: int = 1
    listings: Mapping[str, str] = NOTHING
    search: Mapping[str, Any] = NOTHING
    kinds: Mapping[str, str] = NOTHING
    links: Mapping[str, str] = NOTHING

    def write(self, path: StrPath) -> None:
        """Keep the record at `path`. Raises OSError with its name."""
        files, outputs = dict(self.files), dict(self.outputs)
        whole = {"schema": SCHEMA, "version": self.version, "files": files, "env": dict(self.env), "outputs": outputs}
        more = {"listings": self.listings, "search": self.search, "kinds": self.kinds, "links": self.links}
        whole |= {name: dict(facts) for name, facts in more.items() if facts}
        # What it vouches for was written before it: if it is lost, the stage only runs again.
        write_atomic(place_of(path), json.dumps(whole).encode(), durable=False)

    @classmethod
    def read(cls, path: StrPath) -> Record:
        """Read the record at `path`. Raises OSError where it cannot be read, ValueError where it is damaged."""
        try:
            return cls.of_json(read_json(path))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is not a record of a stage") from error

    @classmethod
    def of_json(cls, data: Any) -> Record:
        if data["schema"] != SCHEMA:
            return cls(version=OTHER_VERSION)
        files = {name: None if stamp is None else checked_stamp(stamp) for name, stamp in data["files"].items()}
        outputs = {name: checked_stamp(stamp) for name, stamp in data["outputs"].items()}
        env, listings = dict(data["env"].items()), dict(data.get("listings", {}).items())
        kinds, links = dict(data.get("kinds", {}).items()), dict(data.get("links", {}).items())
        if not all(
            isinstance(each, str | None)
            for each in (*env.values(), *listings.values(), *kinds.values(), *links.values())
        ):
            raise TypeError("variables and folders have hashes, and paths kinds and ends")
        search = checked_search(data.get("search", {}))
        return cls(files, env, outputs, data["version"], listings, search, kinds, links)


def place_of(path: StrPath) -> str:
    """Return where a record is written: at the end of a link to one that is shared, and in the place of any other."""
    if not os.path.islink(path):
        return os.fspath(path)
    end = os.path.realpath(path)
    is_shared = os.path.basename(os.path.dirname(os.path.dirname(end))) == SHARED
    return end if is_shared and os.path.basename(end) == os.path.basename(path) else os.fspath(path)


def checked_stamp(data: list[Any]) -> FileStamp:
    if list(map(type, data)) != [str, int, int, int, int, int]:
        raise TypeError("a stamp holds a hash and five numbers")
    return FileStamp(*data)


def checked_search(data: dict[str, Any]) -> Mapping[str, Any]:
    if data:
        looked_for = [names.split(" ") and list(found) for names, found in data["folders"].values()]
        if not all(isinstance(each, list) for each in (data["path"], data["used"], *looked_for)):
            raise TypeError("a search holds lists")
        names, found = data["hooked"]
        if not (isinstance(names, str) and all(isinstance(each, str) for each in found.values())):
            raise TypeError("a search holds names and places")
    return data


def stamp_files(paths: Iterable[StrPath], root: Path) -> dict[str, FileStamp]:
    """Stamp files under the names that a record uses. Raises OSError for one that is not there."""
    return {display_path(path, root): FileStamp.of(root / path) for path in paths}


def hash_env(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Environment variables as a record keeps them: values never appear in it."""
    return {name: None if value is None else hash_text(value) for name, value in values.items()}


def hash_listing(folder: StrPath, *, is_root: bool = False) -> str:
    """Return the hash of the names in a folder, not of what is below them; empty where it cannot be listed.

    What an editor or the system leaves is left out, and of the project's root what otrainer writes there.
    """
    from otrainer.storage.droppings import is_dropping  # most projects list no folder

    with suppress(OSError, ValueError):  # no folder has such a name
        names = (name for name in os.listdir(folder) if not is_dropping(name) and not (is_root and name in OWN_FOLDERS))
        return hash_text("\0".join(sorted(names)))
    return ""


def kind_of(path: StrPath) -> str:
    """Return what a path leads to: `file`, `folder` or `other`; nothing where nothing is there."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def why_stale(
    path: StrPath,
    *,
    root: Path,
    environ: Mapping[str, str] = os.environ,
    version: int = 1,
    source: str | None = None,
    read: dict[str, FileStamp] | None = None,
) -> str | None:
    """Return the first reason why a stage has to run again, as a plain sentence; None if there is none.

    Files that were `read` by the same look at another record are not read again.
    Files that were only touched are then noted with their new times, so that they are not read again each time.
    """
    touched: dict[str, FileStamp] = {}
    how: dict[str, Any] = {"root": root, "environ": environ, "version": version, "source": source, "read": read}
    reason = next(every_reason(path, touched, **how), None)
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
    read: dict[str, FileStamp] | None = None,
) -> Iterator[str]:
    """Yield each reason why the stage whose record lies at `path` has to run again; see `reasons`."""
    try:
        record = Record.read(path)
    except FileNotFoundError:
        yield NOT_RUN
    except (OSError, ValueError):
        yield f"Its record `{display_path(path, root)}` is damaged."
    else:
        how: dict[str, Any] = {"root": root, "environ": environ, "version": version, "source": source, "read": read}
        yield from reasons(record, touched, **how)


def reasons(
    record: Record,
    touched: dict[str, FileStamp],
    *,
    root: Path,
    environ: Mapping[str, str] = os.environ,
    version: int = 1,
    source: str | None = None,
    read: dict[str, FileStamp] | None = None,
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
            yield from file_reason(name, stamp, root, touched, READ, read)
        elif (root / name).exists():
            yield f"`{name}` is there now."
    for name, listing in record.listings.items():
        if listing != hash_listing(root / name, is_root=name == "."):
            yield f"`{name}` holds files of other names."
    for name, kind in record.kinds.items():
        if kind != (now := kind_of(os.path.join(root, name))) and name not in record.files:
            yield f"`{name}` {NOW_IT_IS[now] if kind else 'is there now'}."
    for way, end in record.links.items():
        yield from link_reason(way, end, root)
    if record.search:
        from otrainer.storage.module_search import search_reasons  # of records of the stage `manifest` alone

        yield from search_reasons(record.search, root, environ, record.files)
    for name, value in record.env.items():
        yield from env_reason(name, value, environ.get(name))
    for name, stamp in record.outputs.items():
        yield from file_reason(name, stamp, root, touched, LEFT)


def link_reason(way: str, end: str, root: Path) -> Iterator[str]:
    now = os.path.realpath(os.path.join(root, way))
    if now != os.path.join(os.path.realpath(root), end):
        short = os.path.normpath(way)  # unless it goes up from where a link leads
        yield f"`{short if os.path.realpath(os.path.join(root, short)) == now else way}` leads elsewhere now."


def file_reason(
    name: str,
    stamp: FileStamp,
    root: Path,
    touched: dict[str, FileStamp],
    words: tuple[str, str],
    read: dict[str, FileStamp] | None = None,
) -> Iterator[str]:
    """Yield what happened to a file, in the `words` for another content and for none."""
    path = os.path.join(root, name)
    try:
        now = stamp.again(path, trusted=words is LEFT or path.startswith(OWN_FILES), read=read)
        if now is None and os.path.isdir(path):
            now = same_data(name, stamp, root)
    except (FileNotFoundError, NotADirectoryError):
        yield f"`{name}` {words[0] if os.path.isdir(path) else words[1]}."  # a folder may hold a link to nowhere
    except OSError as error:
        yield f"`{name}` cannot be read ({error.strerror})."
    except ValueError:
        yield f"`{name}` cannot be read (no file has such a name)."
    else:
        if now is None:
            yield f"`{name}` {words[0]}."
        elif now is not stamp:
            touched[name] = now


def same_data(name: str, stamp: FileStamp, root: Path) -> FileStamp | None:
    """Stamp a folder anew if it still holds this content, by what is remembered of its files one by one."""
    from otrainer.storage.data_files import identify  # most projects declare no folder

    now = identify(name, root)
    return now if now.sha256 == stamp.sha256 else None


def env_reason(name: str, recorded: str | None, value: str | None) -> Iterator[str]:
    if value is None or recorded is None:
        if value is not recorded:
            yield f"The environment variable `{name}` is {'set now' if recorded is None else 'not set any more'}."
    elif recorded != hash_text(value):
        yield f"The environment variable `{name}` changed."
