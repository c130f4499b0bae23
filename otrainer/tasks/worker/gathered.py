"""What a stage prints that runs ahead of its turn: kept until doit, when that comes, prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from otrainer.storage.lasting_streams import Front

STREAMS = ("stdout", "stderr")
# The name of a stream and a text, in the order in which they were printed.
Printed = list[tuple[str, str]]


class Gathered(Front):
    """A text stream that keeps what is written to it while something `gathers`."""

    def __init__(self, stream: Any, name: str) -> None:
        super().__init__(stream)
        self._name = name
        self.gathers: Printed | None = None

    def write(self, text: str) -> int:
        if self.gathers is None:
            written: int = self._stream.write(text)
            return written
        self.gathers.append((self._name, text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)


class Streams:
    """The standard streams of this process, of which what is printed can be kept."""

    def __init__(self) -> None:
        self._fronts = [Gathered(getattr(sys, name), name) for name in STREAMS]
        for name, front in zip(STREAMS, self._fronts, strict=True):
            setattr(sys, name, front)

    @contextmanager
    def gathered(self) -> Iterator[Printed]:
        """Keep what is printed inside in the list that is given."""
        printed: Printed = []
        for front in self._fronts:
            front.gathers = printed
        try:
            yield printed
        finally:
            for front in self._fronts:
                front.gathers = None
