"""Artifacts are JSON files whose bytes depend on their content alone, and are never seen half-written."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMP_PREFIX = ".otrainer-tmp-"
LEVELS = 2
# Without an indent, it is written in C.
ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def canonical_json(data: object) -> bytes:
    """`data` as readable UTF-8 JSON, keys in their own order, with a final newline; two levels have a line a key.

    Raises TypeError for what JSON cannot hold; infinities and NaN are written as Python's json reads them.
    """
    return encode(f"{lines_of(data, LEVELS)}\n")


def lines_of(data: object, levels: int, margin: str = "\n") -> str:
    """JSON whose mappings have a line a key down to `levels`; below, json's own C code is ten times as fast."""
    if not levels or not isinstance(data, dict) or not data or not all(isinstance(key, str) for key in data):
        return ENCODE(data)
    inner = f"{margin} "
    rows = (f"{ENCODE(key)}: {lines_of(item, levels - 1, inner)}" for key, item in data.items())
    return f"{{{inner}{f',{inner}'.join(rows)}{margin}}}"


def digest(data: object) -> str:
    """The sha256 of `data` as compact JSON, in hex; the order of keys counts."""
    return hashlib.sha256(encode(json.dumps(data, ensure_ascii=False, separators=(",", ":")))).hexdigest()


def encode(text: str) -> bytes:
    # A lone surrogate has no UTF-8 form; written with a backslash it is the JSON escape for itself.
    return text.encode("utf-8", "backslashreplace")


def read_json(path: str | os.PathLike[str]) -> Any:
    """What `path` holds. Raises OSError where it cannot be read, ValueError where it is not JSON in UTF-8."""
    with open(path, "rb") as stream:
        return json.loads(stream.read())


def write_json(path: str | os.PathLike[str], data: object, *, durable: bool = True) -> bool:
    """Write `data` to `path` unless it already holds these bytes; says whether it was written."""
    return write_changed(path, canonical_json(data), durable=durable)


def write_changed(path: str | os.PathLike[str], content: bytes, *, durable: bool = True) -> bool:
    """Write `content` to `path` unless it already holds it; says whether it was written."""
    with suppress(FileNotFoundError), open(path, "rb") as stream:  # not there the first time
        if stream.read() == content:
            return False
    write_atomic(path, content, durable=durable)
    return True


def write_atomic(path: str | os.PathLike[str], content: bytes, *, durable: bool = True) -> None:
    """Put `content` at `path` whole or not at all, and on the disk before this returns; missing folders are made.

    What is not `durable` may be lost in a power cut, and takes a tenth of the time.
    Raises OSError with the name of `path`; what was there before is then untouched.
    """
    with atomic_file(path, durable=durable) as stream:
        stream.write(content)


@contextmanager
def atomic_file(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write (and read) that takes its place at `path` once the block ends: for what comes in pieces."""
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
    """A file that was not there before, in a folder that need not be there either."""
    try:
        return open(path, "x+b")
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, "x+b")


def temporary_beside(target: str | os.PathLike[str]) -> str:
    """A name in the folder of `target` that no other thread or process has, by which `sweep` knows whose it is."""
    pid = os.getpid()
    return os.path.join(os.path.dirname(target), f"{TEMP_PREFIX}{pid}.{own_beginning(pid)}-{os.urandom(4).hex()}")


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes of this machine left half-written in `folder`: files of exactly such names."""
    import re

    from otrainer.storage.runs.ownership import is_own_file

    temporary = re.compile(rf"{re.escape(TEMP_PREFIX)}(\d+(\.\d*)?)-[0-9a-f]+")
    for path in Path(folder).glob(f"{TEMP_PREFIX}*"):
        name = temporary.fullmatch(path.name)
        if name is not None and is_own_file(path) and not is_alive(name[1]):
            path.unlink(missing_ok=True)


def is_alive(process: str) -> bool:
    """Whether `PID.BEGINNING` runs, and not another that has its number now: a container counts from 1 each time."""
    pid, _, began = process.partition(".")
    now = beginning(int(pid)) if pid.isdigit() else None
    return now is not None and (began == now or not began or not now)


def beginning(pid: int) -> str | None:
    """When a process began, in ticks since the system did; "" where that cannot be known, None where none runs."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            state, *fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return "" if is_running(pid) else None
    return None if state == b"Z" else fields[18].decode()


own_beginning = cache(beginning)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as somebody else
    return True


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make renames inside `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Let every OSError inside name `path`: a full disk names no file by itself, and a temporary name says little."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
