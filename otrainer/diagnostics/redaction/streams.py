"""Mask secrets in what this process prints and logs; nothing is in the way as long as it has read none."""

from __future__ import annotations

import atexit
import codecs
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from otrainer.diagnostics.redaction.records import mask_records
from otrainer.diagnostics.redaction.values import SHORTEST, known, masked, remember
from otrainer.storage.lasting_streams import STANDARD, Front


def conceal(values: Mapping[str, str]) -> None:
    """Remember secrets by the names of their variables, and keep them out of what is printed and logged."""
    if not values:
        return
    remember(values)
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Screen):
            screen = Screen(stream)
            setattr(sys, name, screen)
            atexit.register(screen.finish)
    if not isinstance(os.write, MaskedWrite):
        os.write = MaskedWrite(os.write)
    mask_records()


class Tail:
    """What a stream was given and may be the beginning of a secret: it waits for what comes after it.

    Of a beginning so short that it tells nothing, a flush shows what there is, so that people see where a line ends.
    """

    def __init__(self) -> None:
        self._waiting = ""
        self._shown = 0

    def and_then(self, text: str) -> str:
        """Return what can be written now, masked."""
        whole, masks = self._waiting + text, known()
        cut = masks.undecided(whole)
        self._waiting = whole[cut:]
        if cut < self._shown:
            self._shown -= cut
            return ""
        before, self._shown = self._shown, 0
        ready = masks.text(whole[:cut])
        return ready[before:] if ready.startswith(whole[:before]) else ready

    def flushed(self) -> str:
        """Return what a flush shows."""
        return self._rest() if len(self._waiting) < SHORTEST else ""

    def finished(self) -> str:
        """Return all that has waited: nothing comes after it."""
        rest, self._waiting, self._shown = self._rest(), "", 0
        return rest

    def _rest(self) -> str:
        rest, self._shown = self._waiting[self._shown :], len(self._waiting)
        return rest


class Screen(Front):
    """A text stream that passes on everything but the secrets, in however many pieces they come."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._tail = Tail()
        self._bytes: BytesScreen | None = None

    def write(self, text: str) -> int:
        self._pass_on(self._tail.and_then(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._pass_on(self._tail.flushed())
        self._stream.flush()

    def finish(self) -> None:
        """Write what has waited."""
        if not self._stream.closed:
            self._pass_on(self._tail.finished())

    def close(self) -> None:
        self.finish()
        self._stream.close()

    @property
    def unguarded(self) -> Screen:
        """What takes colours hides secrets as well."""
        return Screen(getattr(self._stream, "unguarded", self._stream))

    @property
    def buffer(self) -> BytesScreen:
        if self._bytes is None:
            self._bytes = BytesScreen(self._stream.buffer)
        return self._bytes

    def detach(self) -> BytesScreen:
        self.finish()
        return BytesScreen(self._stream.detach())

    def _pass_on(self, text: str) -> None:
        if text:
            self._stream.write(text)


class BytesScreen(Front):
    """The same for a stream of bytes below."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._tail = Tail()
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._pass_on(self._tail.and_then(self._decoder.decode(data)))
        return len(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._pass_on(self._tail.flushed())
        self._stream.flush()

    def close(self) -> None:
        self._pass_on(self._tail.and_then(self._decoder.decode(b"", final=True)) + self._tail.finished())
        self._stream.close()

    @property
    def raw(self) -> BytesScreen:
        return BytesScreen(self._stream.raw)

    def detach(self) -> BytesScreen:
        return BytesScreen(self._stream.detach())

    def _pass_on(self, text: str) -> None:
        if text:
            self._stream.write(text.encode("utf-8", "surrogateescape"))


class MaskedWrite:
    """`os.write`, which masks what goes to stdout or stderr in one call."""

    def __init__(self, write: Any) -> None:
        self._write = write

    def __call__(self, descriptor: int, data: Any, /) -> int:
        if descriptor not in STANDARD[1:]:
            written: int = self._write(descriptor, data)
            return written
        given = bytes(data)
        text = given.decode("utf-8", "surrogateescape")
        if (shown := masked(text)) == text:
            return int(self._write(descriptor, given))
        left = shown.encode("utf-8", "surrogateescape")
        while left:
            left = left[self._write(descriptor, left) :]
        return len(given)
