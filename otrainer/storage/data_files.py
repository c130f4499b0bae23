"""What data is, by content: each file is hashed once and remembered, folders by all that they hold."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.storage.canonical_json import digest, read_json, write_json
from otrainer.storage.records import UNTRUSTED, FileStamp, folder_files, folder_stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import StrPath

MEMORY = Path("build", ".hashes")


def identify(name: StrPath, root: Path) -> FileStamp:
    """Stamp a data file or folder, whose content is read only where its size or mtime_ns changed.

    What was read is remembered under `build`. Raises OSError where something cannot be read.
    """
    path = root / name
    remembered = root / MEMORY / f"{hashlib.sha256(os.fsencode(os.path.normpath(path))).hexdigest()[:32]}.json"
    known = recall(remembered)
    parts = folder_files(path) if path.is_dir() else [""]  # a file is its own only part
    stamps = {inside: stamp_of(path / inside, known.get(inside)) for inside in parts}
    now = time.time_ns()
    kept = {inside: stamp.settled(now) for inside, stamp in stamps.items()}
    if kept != known:
        with suppress(OSError):  # what cannot be remembered is only read once more
            write_json(remembered, {inside: list(stamp) for inside, stamp in kept.items()}, durable=False)
    return stamps[""] if "" in stamps else whole_folder(path, kept)


def whole_folder(path: Path, stamps: Mapping[str, FileStamp]) -> FileStamp:
    content = digest([[inside, stamp.sha256] for inside, stamp in stamps.items()])
    now = folder_stamp(path)
    young = any(stamp.mtime_ns == UNTRUSTED for stamp in stamps.values())
    return FileStamp(content, now.size, UNTRUSTED if young else now.mtime_ns)


def stamp_of(path: Path, known: FileStamp | None) -> FileStamp:
    """Stamp a file, by memory while size and time are those it had."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise OSError(errno.EINVAL, "neither a file nor a folder", str(path))
    if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return known
    return FileStamp.of(path)


def recall(remembered: Path) -> Mapping[str, FileStamp]:
    try:
        rows: dict[str, Any] = read_json(remembered)
        return {inside: FileStamp(str(row[0]), int(row[1]), int(row[2])) for inside, row in rows.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return {}
