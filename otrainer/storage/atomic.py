"""Files are replaced whole or not at all: nobody sees one half-written, whenever a process ends."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from otrainer.storage import process_memory
from otrainer.storage.processes import is_alive, this_process
from otrainer.storage.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import StrPath

TEMP_PREFIX = ".otrainer-tmp-"
TEMPORARY = re.compile(rf"{re.escape(TEMP_PREFIX)}(\d+(\.\d*)?)-[0-9a-f]+")


def write_changed(path: StrPath, content: bytes, *, durable: bool = True) -> bool:
    """Write `content` to `path` unless it already holds it; says whether it was written."""
    if holds(path, content):
        return False
    write_atomic(path, content, durable=durable)
    return True


def holds(path: StrPath, content: bytes) -> bool:
    """Return whether a regular file holds just this content; whatever else is in its place, nobody waits for."""
    try:
        with open_regular(path) as stream:
            return os.fstat(stream.fileno()).st_size == len(content) and stream.readall() == content
    except OSError:  # not there the first time
        return False


def write_atomic(path: StrPath, content: bytes, *, durable: bool = True) -> None:
    """Put `content` at `path` whole or not at all, and on the disk before this returns; missing folders are made.

    What is not `durable` may be lost in a power cut, and takes a tenth of the time.
    Raises OSError with the name of `path`; what was there before is then untouched.
    """
    with atomic_file(path, durable=durable) as stream:
        stream.write(content)


@contextmanager
def atomic_file(path: StrPath, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a file to write (and read) that takes its place at `path` once the block ends."""
    target = os.fspath(path)
    folder = os.path.dirname(target)
    with naming(target):
        temp = temporary_beside(target)
        try:
            with new_file(temp) as stream:
                yield stream
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            os.replace(temp, target)
        except BaseException:
            Path(temp).unlink(missing_ok=True)
            raise
        if durable:
            sync_folder(folder or ".")


def new_file(path: str) -> IO[bytes]:
    """Create and open a file, and its folder where that is missing."""
    try:
        return open(path, "x+b")
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, "x+b")


def link_atomic(path: StrPath, target: str) -> None:
    """Let `path` be a link that says `target`. Raises OSError where there can be none."""
    try:
        os.symlink(target, path)
    except FileExistsError:
        if os.path.islink(path) and os.readlink(path) == target:
            return
        temp = temporary_beside(path)
        os.symlink(target, temp)
        try:
            os.replace(temp, path)
        except OSError:  # as where a folder is in its place
            os.unlink(temp)
            raise


def temporary_beside(target: StrPath) -> str:
    """Return a name beside `target` that no other thread or process has; `sweep` reads in it whose it is."""
    return os.path.join(os.path.dirname(target), f"{TEMP_PREFIX}{this_process()}-{os.urandom(4).hex()}")


def sweep(folder: StrPath) -> None:
    """Remove what killed processes of this machine left half-written in `folder`: files of exactly such names."""
    for path in filter(is_left_over, Path(folder).glob(f"{TEMP_PREFIX}*")):
        path.unlink(missing_ok=True)


def is_left_over(path: Path) -> bool:
    """Return whether a killed process of this machine left a file half-written."""
    name = TEMPORARY.fullmatch(path.name)
    return name is not None and is_own_file(path) and not is_alive(name[1])


def is_own_file(path: StrPath) -> bool:
    """Return whether there is a regular file, and no link, at `path`."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def sync_folder(folder: StrPath) -> None:
    """Make renames inside `folder` outlast a power cut, and the folder with those above it, which may be as new."""
    sealed = process_memory.get("sealed folders", set[tuple[int, int]])
    place = os.path.realpath(folder)
    which = synced(place)
    while which not in sealed:
        sealed.add(which)
        place = os.path.dirname(place)
        try:
            which = synced(place)
        except OSError:  # this user may not, or nobody can: then it was there before
            return


def synced(folder: str) -> tuple[int, int]:
    """Put the names in one folder on the disk, and return its device and inode."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return status.st_dev, status.st_ino


def sync_file(file: IO[bytes], path: StrPath) -> None:
    """Put what was appended to an open file on the disk, and the name that it may have got since; a device has none."""
    with naming(os.fspath(path)):
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return
        os.fsync(file.fileno())
        sync_folder(os.path.dirname(path) or ".")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Let every OSError inside name `path`: a full disk names no file by itself, and a temporary name says little."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
