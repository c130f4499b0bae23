"""The one exit of all that otrainer says: nothing in it acts on the terminal, whoever named a file or a metric."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from otrainer.storage.lasting_streams import Front, let_go

if TYPE_CHECKING:
    from logging import LogRecord

OWN = "otrainer"
# What colours are written with; nothing else of it moves, hides or asks for anything.
COLOUR = re.compile("(\x1b\\[[0-9;]*m)")


def say(text: str, *, coloured: bool = False) -> None:
    """Print a text at once; where nobody reads any more, or there is no room, the caller goes on without it.

    A `coloured` one keeps its colours: whoever made it has put signs into it before.
    """
    stream = unguarded(sys.stdout)
    shown = "".join(part if COLOUR.fullmatch(part) else legible(part) for part in COLOUR.split(text))
    try:
        print(shown if coloured else legible(text), file=stream, flush=True)
    except OSError as error:
        let_go(stream, error)


def legible(text: str) -> str:
    """Return a text of several lines with a sign in place of each character that acts on a terminal."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    from otrainer.diagnostics.characters import visible  # not imported to find that nothing has to be done

    return "\n".join(map(visible, text.split("\n")))


def in_a_line(text: object) -> str:
    """Return a text that stands within a line, and begins no other."""
    return legible(str(text).replace("\n", "\u240a"))


class Legible(Front):
    """A text stream of a process in which nobody's code but ours and doit's prints."""

    def write(self, text: str) -> int:
        self._stream.write(legible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    @property
    def unguarded(self) -> Any:
        """The stream behind this one, for what has its signs already, and colours of ours."""
        return self._stream


def unguarded(stream: Any) -> Any:
    """Return the stream that takes colours."""
    return getattr(stream, "unguarded", stream)


def make_legible() -> None:
    """Let all that this process prints go through signs, whoever prints it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Legible):
            setattr(sys, name, Legible(stream))


def make_log_legible() -> None:
    """Let otrainer's own log records, wherever they go, have signs as well."""
    import logging  # not imported to find that nothing has to be done

    logging.getLogger(OWN).addFilter(legible_record)


def legible_record(record: LogRecord) -> bool:
    """Put signs into a record's message."""
    try:
        message = record.getMessage()
    except (TypeError, ValueError):  # of arguments that do not fit the handler tells, as ever
        return True
    if (shown := legible(message)) != message:
        record.msg, record.args = shown, ()
    return True
