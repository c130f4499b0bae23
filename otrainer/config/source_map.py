"""Map config paths to the places where their values were written."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from typing import Any, TypeAlias

from otrainer.config.nodes import Mapping, Node, Sequence, child_of, key_place_of, place_of
from otrainer.errors import ConfigPath, SourceLocation, dotted

# file, line and column of the value, then line and column of its key, which elements of lists do not have
Row: TypeAlias = "list[str | int | None]"

NOWHERE = (None, None)
CHAIN = 10  # entries that anybody reads


class SourceMap:
    """Knows where each value of a resolved config was written.

    Backed by the tree itself, or by the rows of a file; it is asked rarely, so nothing is prepared. `includes` holds
    for each file the entry of `defaults` by which it was first read.
    """

    def __init__(
        self,
        root: Node | None = None,
        rows: AnyMapping[str, Row] | None = None,
        includes: AnyMapping[str, SourceLocation] | None = None,
    ) -> None:
        self._root = root
        self._rows = rows or {}
        self.includes = includes or {}
        self._chains: dict[str, tuple[SourceLocation, ...]] = {}

    def locate(self, path: ConfigPath, *, key: bool = False) -> SourceLocation | None:
        """Return the place of the value at `path`, or with `key` of its key; else that of the nearest known parent."""
        return self._locate_node(tuple(path), key) if self._root is not None else self._locate_row(tuple(path), key)

    def includes_of(self, file: str) -> tuple[SourceLocation, ...]:
        """Return the chain of entries that leads to `file`: the one that names it first, the experiment's own last.

        Of a long one, both its ends.
        """
        if file not in self._chains:
            chain: dict[str, SourceLocation] = {}
            at = file
            while at in self.includes and at not in chain:
                chain[at] = self.includes[at]
                at = chain[at].file
            places = list(chain.values())
            self._chains[file] = tuple(places if len(places) <= CHAIN else [*places[: CHAIN - 1], places[-1]])
        return self._chains[file]

    def _locate_node(self, path: ConfigPath, key: bool) -> SourceLocation | None:
        place, node = None, self._root
        for step in (None, *path):
            node = child_of(node, step) if node is not None and step is not None else node
            if node is None:
                return place
            place = (key_place_of(node) if key else place_of(node)) or place
        return place

    def _locate_row(self, path: ConfigPath, key: bool) -> SourceLocation | None:
        for length in range(len(path), -1, -1):
            row = self._rows.get(dotted(path[:length]))
            if row is None:
                continue
            file, line, column, key_line, key_column = row
            if key and key_line is not None:
                line, column = key_line, key_column
            return SourceLocation(str(file), int(line or 0), int(column or 0))
        return None

    def to_json(self) -> dict[str, Row]:
        """Plain data: each dotted path with its file, line and column and those of its key."""
        return dict(rows_of(self._root)) if self._root is not None else dict(self._rows)

    @classmethod
    def from_json(cls, data: AnyMapping[str, Row], includes: AnyMapping[str, Any] | None = None) -> SourceMap:
        """Return the map whose `to_json` gave `data`, and whose `includes` are given as plain lists."""
        return cls(rows=data, includes={file: SourceLocation(*place) for file, place in (includes or {}).items()})


def rows_of(root: Node) -> Iterator[tuple[str, Row]]:
    """Yield the rows of every node that was written in a file, parents first."""
    stack: list[tuple[str, Node]] = [("", root)]
    while stack:
        path, node = stack.pop()
        if (file := node.file) is not None:
            key = file.line_and_column(node.key_at) if node.key_at >= 0 else NOWHERE
            yield path, [file.name, *file.line_and_column(node.at), *key]
        if isinstance(node, Mapping):
            stack.extend((f"{path}.{name}" if path else name, node.items[name]) for name in reversed(node.items))
        elif isinstance(node, Sequence):
            stack.extend((f"{path}[{at}]", node.items[at]) for at in reversed(range(len(node.items))))
