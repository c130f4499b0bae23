"""Streams that outlast their readers: whoever closed a terminal or a pipe misses the words, and training goes on."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any

# What the system says where nobody reads any more: the other end of a pipe, or the terminal, is gone.
GONE = (errno.EPIPE, errno.EIO)
STANDARD = (0, 1, 2)


class Front:
    """Stands in front of a stream, which answers for all else."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # a copy in the making, which has none yet
            raise AttributeError(name)
        return getattr(self._stream, name)


class Lasting(Front):
    """A text stream that goes nowhere once nobody reads it."""

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            let_go(self._stream, error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            let_go(self._stream, error)


def let_go(stream: Any, error: OSError) -> None:
    """Let what is written to `stream` from now on go nowhere, where its reader is gone; raise any other error."""
    if error.errno not in GONE:
        raise error
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def say(text: str) -> None:
    """Print a line at once; where nobody reads any more, it goes nowhere."""
    try:
        print(text, flush=True)
    except OSError as error:
        let_go(sys.stdout, error)


def make_lasting() -> None:
    """Let stdout and stderr of this process last, and be there, also where it was started without them.

    A descriptor of theirs that is free would be given to the next file or pipe, for others to print into.
    """
    for descriptor in STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Lasting):
            setattr(sys, name, Lasting(os.fdopen(os.open(os.devnull, os.O_WRONLY), "w") if stream is None else stream))
