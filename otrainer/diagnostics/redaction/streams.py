"""Mask secrets in what this process prints and logs; nothing is in the way as long as it has read none."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from otrainer.diagnostics.redaction.values import masked, remember
from otrainer.storage.lasting_streams import Front


def conceal(values: Mapping[str, str]) -> None:
    """Remember secrets by the names of their variables, and keep them out of what is printed and logged."""
    if not values:
        return
    remember(values)
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Screen):
            setattr(sys, name, Screen(stream))
    made = logging.getLogRecordFactory()
    if not isinstance(made, MaskedRecords):
        logging.setLogRecordFactory(MaskedRecords(made))


class Screen(Front):
    """A text stream that passes on everything but the secrets."""

    def write(self, text: str) -> int:
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    @property
    def unguarded(self) -> Screen:
        """What takes colours hides secrets as well."""
        return Screen(getattr(self._stream, "unguarded", self._stream))

    @property
    def buffer(self) -> BytesScreen:
        return BytesScreen(self._stream.buffer)


class BytesScreen(Front):
    """The same for the stream of bytes below."""

    def write(self, data: bytes) -> int:
        text = bytes(data).decode("utf-8", "surrogateescape")
        self._stream.write(masked(text).encode("utf-8", "surrogateescape"))
        return len(data)


class MaskedRecords:
    """A factory of log records in front of another one, so that every handler gets them without the secrets."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._made(*args, **kwargs)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - of arguments that do not fit the handler tells, as ever
            return record
        if (shown := masked(message)) != message:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0] is not None:
            text = logging.Formatter().formatException(record.exc_info)
            if (shown := masked(text)) != text:
                record.exc_text = shown
        return record
