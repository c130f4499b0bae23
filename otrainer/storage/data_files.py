"""What data is, by content: each file is hashed once and remembered, folders by all that they hold."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.storage.canonical_json import digest, read_json, write_json
from otrainer.storage.stamps import FileStamp, folder_facts, folder_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import StrPath

MEMORY = Path("build", ".hashes")


def identify(name: StrPath, root: Path) -> FileStamp:
    """Stamp a data file or folder, whose content is read only where its size, times or inode changed.

    What was read is remembered under `build`. Raises OSError where something cannot be read.
    """
    path = root / name
    remembered = root / MEMORY / f"{hashlib.sha256(os.fsencode(os.path.normpath(path))).hexdigest()[:32]}.json"
    known = recall(remembered)
    parts = folder_files(path) if path.is_dir() else [""]  # a file is its own only part
    stamps = {inside: stamp_of(path / inside, known.get(inside)) for inside in parts}
    if stamps != known:
        with suppress(OSError):  # what cannot be remembered is only read once more
            write_json(remembered, {inside: list(stamp) for inside, stamp in stamps.items()}, durable=False)
    return stamps[""] if "" in stamps else whole_folder(stamps)


def whole_folder(stamps: Mapping[str, FileStamp]) -> FileStamp:
    content = digest([[inside, stamp.sha256] for inside, stamp in stamps.items()])
    facts = folder_facts(
        (inside, (each.size, each.mtime_ns, each.ctime_ns, each.inode)) for inside, each in stamps.items()
    )
    return FileStamp(content, *facts, max((stamp.young_ns for stamp in stamps.values()), default=0))


def stamp_of(path: Path, known: FileStamp | None) -> FileStamp:
    """Stamp a file, by memory while its facts are those it had."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise OSError(errno.EINVAL, "neither a file nor a folder", str(path))
    if known is not None and known.tells(status):
        return known
    now = FileStamp.of(path)
    return now if known is None else now.after(known)


def recall(remembered: Path) -> Mapping[str, FileStamp]:
    try:
        rows: dict[str, Any] = read_json(remembered)
        return {inside: FileStamp(str(row[0]), *map(int, row[1:6])) for inside, row in rows.items() if row[5:]}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return {}
