"""An iterator that a batch was taken from to look at it, and what ends one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

END = object()


class Rejoined:
    """An iterator that some batches were taken from: they come first, once."""

    def __init__(self, taken: list[Any], rest: Iterator[Any]) -> None:
        self._taken, self._rest = taken, rest

    def __iter__(self) -> Iterator[Any]:
        taken, self._taken = self._taken, []
        return self._together(taken) if taken else iter(self._rest)

    def _together(self, taken: list[Any]) -> Iterator[Any]:
        yield from taken
        while (batch := next(self._rest, END)) is not END:  # without `iter`, by which it may begin anew
            yield batch
