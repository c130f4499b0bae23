"""The file of a checkpoint: torch's own zip of stored members, sealed so that no changed byte goes unnoticed.

Each member's data is covered by its CRC-32, as in every zip (PKWARE's APPNOTE.TXT, 4.4.7), and all bytes between
members by a SHA-256, which stands in hex as the archive's comment. `torch.load` reads such a file like any other.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import IO, Any, cast

import torch
from zlib_ng.zlib_ng import crc32  # ten times as fast as zlib's

LOCAL_HEADER = struct.Struct("<4s22xHH")  # its signature, and the lengths of name and extra field, which follow it
LOCAL_SIGNATURE = b"PK\x03\x04"
COMMENT_LENGTH = struct.Struct("<H")  # the last field of an archive without a comment
SEAL = 64
UNREADABLE = (
    zipfile.BadZipFile, struct.error, EOFError, OSError, ValueError, LookupError, OverflowError, NotImplementedError
)  # fmt: skip
THREADS = min(4, os.cpu_count() or 1)
PIECE = 1 << 24


class DamagedError(ValueError):
    """The bytes of a file are not those that were written; the message says where."""


class Recalling:
    """A file that knows the first OSError it met, of which torch makes a RuntimeError, and zipfile a bad archive.

    What is written after that counts as written: torch ends its archive all the same, and shall meet no second error.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        with suppress(OSError):
            if self._error is None:
                return int(self._recalled(self._stream.write, data))
        return memoryview(data).nbytes

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._recalled, getattr(self._stream, name))

    def _recalled(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except OSError as error:
            self._error = self._error or error
            raise

    def raise_if_failed(self) -> None:
        if self._error is not None:
            raise self._error


def write_container(stream: IO[bytes], content: Any) -> None:
    """Write `content` to a new file that can be read as well; raises the first OSError that it met."""
    file = Recalling(stream)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(True)
    try:
        torch.save(content, cast("IO[bytes]", file), pickle_module=ShortPickles)
        file.raise_if_failed()
        add_seal(file)
    except Exception:
        file.raise_if_failed()
        raise
    finally:
        torch.serialization.set_crc32_options(before)


class ShortPickles:
    """What torch.save takes for `pickle`: without marks that nothing refers to, it is read in a fifth less time."""

    class Pickler(pickle.Pickler):
        def __init__(self, stream: IO[bytes], protocol: int | None = None) -> None:
            self._stream, self._whole = stream, io.BytesIO()
            super().__init__(self._whole, protocol)

        def dump(self, content: Any) -> None:
            super().dump(content)
            self._stream.write(pickletools.optimize(self._whole.getvalue()))


def add_seal(stream: Recalling) -> None:
    def read(start: int, end: int) -> bytes:
        stream.seek(start)
        return bytes(stream.read(end - start))

    stream.seek(-COMMENT_LENGTH.size, os.SEEK_END)
    stream.write(COMMENT_LENGTH.pack(SEAL))
    stream.flush()
    size = stream.tell()
    # The comment that the end now promises is not there yet, which zipfile does not mind.
    seal = seal_of(read, zipfile.ZipFile(cast("IO[bytes]", stream)).infolist(), size)
    stream.seek(size)
    stream.write(seal)
    stream.raise_if_failed()


def read_container(path: str | os.PathLike[str]) -> Any:
    """Return what a sealed file holds, on the CPU and mapped into memory: bytes are read as they are used.

    Raises OSError where it cannot be opened, DamagedError where a byte changed, ValueError where it holds more than
    plain data.
    """
    check_container(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(str(error)) from error


def check_container(path: str | os.PathLike[str]) -> None:
    """Compare every byte of a sealed file with its checksums.

    Raises DamagedError where one is another, and OSError where the file cannot be opened, which tells nothing of it.
    """
    with open(path, "rb") as stream:  # noqa: PTH123 - a descriptor is all that is needed
        try:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                archive = zipfile.ZipFile(stream)
                check_seal(content, archive)
                check_members(content, archive.infolist())
        except DamagedError:
            raise
        except UNREADABLE as error:
            raise DamagedError(str(error) or type(error).__name__) from error


def check_seal(content: mmap.mmap, archive: zipfile.ZipFile) -> None:
    if len(archive.comment) != SEAL:
        raise DamagedError("it has no seal")
    if seal_of(lambda start, end: content[start:end], archive.infolist(), len(content) - SEAL) != archive.comment:
        raise DamagedError("its headers are not those written")


def seal_of(read: Callable[[int, int], bytes], members: Sequence[zipfile.ZipInfo], size: int) -> bytes:
    """Return the checksum of those of the first `size` bytes that are no member's data: headers, padding, directory."""
    digest, position = hashlib.sha256(), 0
    for member in sorted(members, key=lambda member: member.header_offset):
        start = data_start(read(member.header_offset, member.header_offset + LOCAL_HEADER.size), member)
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise DamagedError(f"`{member.filename}` is compressed")
        if not position <= start <= start + member.file_size <= size:
            raise DamagedError(f"`{member.filename}` does not lie where it should")
        digest.update(read(position, start))
        position = start + member.file_size
    digest.update(read(position, size))
    return digest.hexdigest().encode()


def data_start(header: bytes, member: zipfile.ZipInfo) -> int:
    """Return where the data of an archive's member begins, by its local `header`."""
    signature, name, extra = LOCAL_HEADER.unpack(header)
    if signature != LOCAL_SIGNATURE:
        raise DamagedError(f"`{member.filename}` has no header")
    return int(member.header_offset + LOCAL_HEADER.size + name + extra)


def check_members(content: mmap.mmap, members: Sequence[zipfile.ZipInfo]) -> None:
    """Compare every member's data with its CRC, several at a time."""

    def is_whole(member: zipfile.ZipInfo) -> bool:
        start = data_start(content[member.header_offset : member.header_offset + LOCAL_HEADER.size], member)
        end, crc = start + member.file_size, 0
        with memoryview(content) as view:
            for at in range(start, end, PIECE):
                crc = crc32(view[at : min(at + PIECE, end)], crc)
        return crc == member.CRC

    with ThreadPoolExecutor(THREADS) as pool:
        for member, whole in zip(members, pool.map(is_whole, members), strict=True):
            if not whole:
                raise DamagedError(f"the bytes of `{member.filename}` are not those written")
