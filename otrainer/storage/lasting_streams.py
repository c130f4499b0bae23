"""Streams that outlast their readers: whoever closed a terminal or a pipe misses the words, and training goes on.

So it does where a disk is full that they are written to.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from otrainer.storage import process_memory

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
    """A text stream that goes nowhere once nobody reads it, and that takes no part where its disk is full.

    With `stops`, words that find no room end the process with status 1: where they are all that was asked for.
    """

    def __init__(self, stream: Any, *, stops: bool = False) -> None:
        super().__init__(stream)
        self._stops = stops

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
            if self._stops:
                self._stream.flush()
        except OSError as error:
            self._missed(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._missed(error)

    def _missed(self, error: OSError) -> None:
        let_go(self._stream, error)
        if self._stops and error.errno not in GONE:
            go_nowhere(self._stream)
            raise SystemExit(1)


def let_go(stream: Any, error: OSError) -> None:
    """Let what is written to `stream` from now on go nowhere, where its reader is gone; tell any other error, once.

    Words that find no room now may find some later.
    """
    if error.errno in GONE:
        go_nowhere(stream)
        return
    name = "stderr" if stream.fileno() == STANDARD[2] else "stdout"
    told = process_memory.get("streams told of", set[str])
    if name not in told:
        told.add(name)
        with suppress(OSError):  # it may lie on the same disk
            print(f"{name} cannot be written: {error.strerror}", file=sys.stderr, flush=True)


def go_nowhere(stream: Any) -> None:
    """Let what is written to `stream` from now on go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def make_lasting(*, stops: bool = False) -> None:
    """Let stdout and stderr of this process last, and be there, also where it was started without them.

    With `stops`, a full disk behind stdout ends this process.
    A descriptor of theirs that is free would be given to the next file or pipe, for others to print into.
    """
    for descriptor in STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for descriptor, name in zip(STANDARD[1:], ("stdout", "stderr"), strict=True):
        stream = getattr(sys, name)
        if not isinstance(stream, Lasting):
            there = os.fdopen(descriptor, "w", closefd=False) if stream is None else stream
            setattr(sys, name, Lasting(there, stops=stops and name == "stdout"))
