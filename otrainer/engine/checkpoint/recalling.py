"""A file that keeps the OSError which a library makes something else of."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Recalling:
    """A file that knows the first OSError it met, of which torch makes a RuntimeError, and zipfile a bad archive.

    What is written after that counts as written: torch ends its archive all the same, and shall meet no second error.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        if self._error is None:
            with suppress(OSError), self._recalled():
                return self._stream.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        if self._error is None:
            with self._recalled():
                self._stream.flush()

    def read(self, size: int = -1) -> bytes:
        with self._recalled():
            return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._recalled():
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        with self._recalled():
            return self._stream.tell()

    def raise_if_failed(self) -> None:
        if self._error is not None:
            raise self._error

    @contextmanager
    def _recalled(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = self._error or error
            raise
