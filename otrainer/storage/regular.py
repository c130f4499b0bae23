"""Read files that anybody may have put there: a regular one of a sensible size, without waiting for anybody."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import FileIO

    from _typeshed import StrPath

# Far more than any artifact, record or run.json has; whoever reads it holds it in memory.
MOST_BYTES = 1 << 28
PIECE = 1 << 20
MOST_AT_ONCE = 1 << 30  # Linux reads less than 2 GiB at once


def open_regular(path: StrPath) -> FileIO:
    """Open a file to read, without a buffer.

    Raises OSError where it cannot be opened, or is no regular file: a pipe would wait for ever, a device never end.
    """
    return open(path, "rb", buffering=0, opener=regular)


def regular(path: str, flags: int) -> int:
    """Open a file without waiting for whoever may be at its other end, and return its descriptor."""
    # Opening has effects of its own on a tape or a terminal; and what is a file now may be a pipe the next moment.
    refuse_irregular(path, os.stat(path).st_mode)  # noqa: PTH116 - asked often
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        refuse_irregular(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def refuse_irregular(path: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "neither a file nor a folder", path)


def read_regular(path: StrPath, most: int = MOST_BYTES) -> bytes:
    """Return what a regular file holds. Raises OSError as `open_regular` does, and for one of more than `most` bytes.

    What the system says of the size is not believed: files below `/proc` say 0.
    """
    descriptor = regular(os.fspath(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        content = os.read(descriptor, min(size, most, MOST_AT_ONCE) + 1)
        pieces = [content]
        while content and sum(map(len, pieces)) <= most:
            content = os.read(descriptor, PIECE)
            pieces.append(content)
    finally:
        os.close(descriptor)
    whole = b"".join(pieces)
    if max(size, len(whole)) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(path))
    return whole
