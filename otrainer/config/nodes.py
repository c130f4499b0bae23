"""The tree that a config is while it is resolved: small shared nodes, each of which knows where it was written.

Nodes are immutable by convention: whatever changes a tree builds new nodes and shares the rest, so an untouched
subtree costs nothing. `special` says what a subtree holds that a later step must look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Self, TypeAlias, TypeVar

from otrainer.config import kinds

if TYPE_CHECKING:
    from otrainer.config.text import TextFile
    from otrainer.errors import ConfigPath, SourceLocation

MERGE: Final = 1  # `_merge_` or `_value_` in the subtree
TEMPLATE: Final = 2  # `_template_` in the subtree
TEXT: Final = 4  # `${` in a string of the subtree

MILLION: Final = 10**6
BITS_PER_DIGIT: Final = 3  # at least: how long a number is shows only when it is written
INDEX: Final = 4  # what `[12]` adds to a path
MAX_OFFSET: Final = 20_000  # in a string of many mistakes, all before each of them is gone through

Plain: TypeAlias = str | int | float | bool | None
ItemsT = TypeVar("ItemsT")


class Scalar:
    """A string, number, boolean or null, written in `file` at the index `at`, its key at `key_at` (-1: it has none)."""

    __slots__ = ("at", "file", "key_at", "special", "value")

    size: Final = 1
    depth: Final = 0

    def __init__(
        self, value: Plain, file: TextFile | None = None, at: int = 0, key_at: int = -1, special: int = 0
    ) -> None:
        self.value = value
        self.file = file
        self.at = at
        self.key_at = key_at
        self.special = special

    def placed(self, like: Node, key_like: Node | None = None) -> Scalar:
        """Return the value as if it stood where `like` does, its key where that of `key_like` does."""
        return Scalar(self.value, like.file, like.at, (key_like or like).key_at, self.special)


class Collection(Generic[ItemsT]):
    """What mappings and sequences have in common.

    `size` counts the nodes of the subtree, `depth` its nested collections, `length` the characters of its values and of
    the paths to them.
    """

    __slots__ = ("at", "depth", "file", "items", "key_at", "length", "size", "special")

    def __init__(
        self,
        items: ItemsT,
        file: TextFile | None,
        at: int,
        key_at: int,
        special: int,
        size: int,
        depth: int,
        length: int,
    ) -> None:
        self.items = items
        self.file = file
        self.at = at
        self.key_at = key_at
        self.special = special
        self.size = size
        self.depth = depth
        self.length = length

    def copy(self) -> Self:
        """Return a collection of the same items, to be changed before anybody else gets it."""
        given: Any = self.items
        items = given.copy()
        return type(self)(items, self.file, self.at, self.key_at, self.special, self.size, self.depth, self.length)

    def placed(self, like: Node, key_like: Node | None = None) -> Self:
        """Return the items as if they stood where `like` does, their key where that of `key_like` does."""
        key_at = (key_like or like).key_at
        return type(self)(self.items, like.file, like.at, key_at, self.special, self.size, self.depth, self.length)


class Mapping(Collection["dict[str, Node]"]):
    """String keys to nodes."""

    __slots__ = ()


class Sequence(Collection["list[Node]"]):
    """A list of nodes."""

    __slots__ = ()


class Pile:
    """Layers that wait for a template to lie under them; the first is a `_merge_` container."""

    __slots__ = ("at", "depth", "file", "key_at", "layers", "length", "size", "special")

    def __init__(self, layers: tuple[Node, ...]) -> None:
        self.layers = layers
        self.file: TextFile | None = layers[-1].file
        self.at: int = layers[-1].at
        self.key_at: int = layers[-1].key_at
        special, self.size, self.depth, self.length = measure(layers)
        self.special = special | MERGE  # it waits, even where expanding its layers left no container in them

    def placed(self, like: Node, key_like: Node | None = None) -> Pile:
        """Return the same layers, the last of them written where `like` is."""
        return Pile((*self.layers[:-1], self.layers[-1].placed(like, key_like)))


Node: TypeAlias = Scalar | Mapping | Sequence | Pile
NodeT = TypeVar("NodeT", Scalar, Mapping, Sequence, Pile, Node)


def measure(children: Iterable[Node]) -> tuple[int, int, int, int]:
    """Return the special flags, the size, the depth and the length of values of a collection of `children`."""
    special, size, depth, length = 0, 1, 0, 0
    for child in children:
        if type(child) is Scalar:
            size += 1
            value = child.value
            if type(value) is str:
                length += len(value)
            elif type(value) is int and not -MILLION < value < MILLION:
                length += value.bit_length() // BITS_PER_DIGIT
        else:
            size += child.size
            length += child.length  # type: ignore[union-attr]  # it is no scalar
            if child.depth > depth:
                depth = child.depth
        special |= child.special
    return special, size, depth + 1, length


def length_of(node: Node) -> int:
    """Count the characters of a node's values and of the paths to them, beyond those that each node has anyway."""
    if type(node) is not Scalar:
        return node.length  # type: ignore[union-attr]  # it is no scalar
    value = node.value
    return len(value) if type(value) is str else value.bit_length() // BITS_PER_DIGIT if type(value) is int else 0


def mapping_of(items: dict[str, Node], file: TextFile | None = None, at: int = 0, key_at: int = -1) -> Mapping:
    """Return a mapping of `items`, written at `at`."""
    special, size, depth, length = measure(items.values())
    length += sum(map(len, items))
    if depth > 1:
        length += sum([len(key) * (child.size - 1) for key, child in items.items() if type(child) is not Scalar])
    if "_merge_" in items or "_value_" in items:
        special |= MERGE
    if "_template_" in items:
        special |= TEMPLATE
    return Mapping(items, file, at, key_at, special, size, depth, length)


def sequence_of(items: list[Node], file: TextFile | None = None, at: int = 0, key_at: int = -1) -> Sequence:
    """Return a sequence of `items`, written at `at`."""
    special, size, depth, length = measure(items)
    return Sequence(items, file, at, key_at, special, size, depth, length + INDEX * (size - 1))


def place_of(node: Node | None) -> SourceLocation | None:
    """Return where the node was written."""
    return None if node is None or node.file is None else node.file.place(node.at)


def key_place_of(node: Node) -> SourceLocation | None:
    """Return where the node's key was written, or the node itself where it has none."""
    return node.file.place(node.key_at) if node.file and node.key_at >= 0 else place_of(node)


def place_within(node: Node, wanted: str, offset: int) -> SourceLocation | None:
    """Return where the text `wanted`, which stands at `offset` of the node's value, was written."""
    if node.file is None or not isinstance(node, Scalar) or offset > MAX_OFFSET:
        return place_of(node)
    text, value = node.file.text, str(node.value)[: offset + len(wanted)]
    # Escapes and indentation shift what is written against what it means: look for the text itself, nearby.
    at, end = node.at - 1, node.at + 2 * len(value) + 200 * (1 + value.count("\n"))
    for _ in range(value.count(wanted, 0, offset) + 1):
        at = text.find(wanted, at + 1, end)
        if at < 0:
            return place_of(node)
    return node.file.place(at)


def to_data(node: Node) -> object:
    """Plain lists and dicts of their own, however often a subtree is shared."""
    if isinstance(node, Mapping):
        return {key: child.value if type(child) is Scalar else to_data(child) for key, child in node.items.items()}
    if isinstance(node, Sequence):
        return [child.value if type(child) is Scalar else to_data(child) for child in node.items]
    if isinstance(node, Scalar):
        return node.value
    raise TypeError("a container still waits for its template")


def kind_of(node: Node) -> str:
    """Return the kind of a node's value."""
    return kinds.kind_of(node.value if isinstance(node, Scalar) else {} if isinstance(node, Mapping) else [])


def is_null(node: Node | None) -> bool:
    """Return whether `node` is absent or null."""
    return node is None or (isinstance(node, Scalar) and node.value is None)


def child_of(node: Node, step: str | int) -> Node | None:
    """Return the node one step down, or None."""
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.items.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def without(node: Mapping, key: str) -> Mapping:
    """Return the mapping without `key`."""
    if key not in node.items:
        return node
    items = {name: child for name, child in node.items.items() if name != key}
    return mapping_of(items, node.file, node.at, node.key_at)


class Trail(NamedTuple):
    """The way from the top to a node; ways share their beginnings, where tuples of keys would be copies of them."""

    above: Trail | None
    step: str | int

    def path(self) -> ConfigPath:
        steps: list[str | int] = []
        at: Trail | None = self
        while at is not None:
            steps.append(at.step)
            at = at.above
        return tuple(reversed(steps))


def path_of(trail: Trail | None) -> ConfigPath:
    return trail.path() if trail else ()


def walk(node: Node, special: int, trail: Trail | None = None) -> Iterator[tuple[Trail | None, Node]]:
    """Yield every node under `node` that holds something `special`, parents first, in document order."""
    stack: list[tuple[Trail | None, Node]] = [(trail, node)] if node.special & special else []
    while stack:
        here, at = stack.pop()
        yield here, at
        below: list[tuple[Trail | None, Node]] = []
        if isinstance(at, Mapping):
            below = [(Trail(here, key), child) for key, child in at.items.items() if child.special & special]
        elif isinstance(at, Sequence):
            below = [(Trail(here, index), child) for index, child in enumerate(at.items) if child.special & special]
        elif isinstance(at, Pile):
            below = [(here, layer) for layer in at.layers if layer.special & special]
        stack.extend(reversed(below))
