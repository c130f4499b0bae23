"""Walk plain data, as resolved configs are: mappings, lists and scalars, without recursion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath


# Most of what is walked over; asked first, since whether something is a `Mapping` takes ten times as long to tell.
SCALARS = frozenset((str, int, float, bool, type(None)))
LISTS = (list, tuple)
NO_MAPPINGS = SCALARS.union(LISTS)
Found = tuple["ConfigPath", object]


def walk(
    value: object, path: ConfigPath = (), *, into: Callable[[object], bool] | None = None
) -> Iterator[tuple[ConfigPath, object]]:
    """Yield `value`, which lies at `path`, and everything in it, parents first and in document order.

    Where `into` is given, only collections for which it returns true are entered.
    """
    stack = [(path, value)]
    while stack:
        here, item = stack.pop()
        yield here, item
        if type(item) not in SCALARS and (into is None or into(item)):
            stack += [((*here, key), each) for key, each in last_first(item)]


def mappings(
    value: object, path: ConfigPath = (), *, into: Callable[[object], bool] | None = None
) -> Iterator[tuple[ConfigPath, Mapping[str, Any]]]:
    """Yield the mappings that `walk` yields."""
    stack: list[Found] = [(path, value)]
    while stack:
        here, item = stack.pop()
        if is_mapping(item):
            yield here, item
        if into is None or into(item):
            stack += [((*here, key), each) for key, each in last_first(item) if type(each) not in SCALARS]


def last_first(item: object) -> Iterable[tuple[Any, object]]:
    """Return what is right in a collection, each with its key or index, from the last; nothing for anything else."""
    if is_mapping(item):
        return reversed(item.items() if isinstance(item, dict) else [*item.items()])
    return reversed([*enumerate(item)]) if isinstance(item, LISTS) else ()


def is_mapping(item: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(item, dict) or (type(item) not in NO_MAPPINGS and isinstance(item, Mapping))


def texts(value: object) -> Iterator[str]:
    """Yield every string in `value`, keys included, in no promised order."""
    waiting = [value]
    for item in waiting:
        if isinstance(item, str):
            yield item
        elif isinstance(item, LISTS):
            waiting += item
        elif is_mapping(item):
            waiting += item
            waiting += item.values()
