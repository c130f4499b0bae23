"""Walk plain data, as resolved configs are: mappings, lists and scalars, without recursion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath


# Most of what is walked over; asked first, since whether something is a `Mapping` takes ten times as long to tell.
SCALARS = (str, int, float, type(None))


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
        if isinstance(item, SCALARS) or (into is not None and not into(item)):
            continue
        if isinstance(item, dict | Mapping):
            stack.extend(((*here, key), item[key]) for key in reversed(list(item)))
        elif isinstance(item, list | tuple):
            stack.extend(((*here, index), item[index]) for index in reversed(range(len(item))))


def mappings(
    value: object, path: ConfigPath = (), *, into: Callable[[object], bool] | None = None
) -> Iterator[tuple[ConfigPath, Mapping[str, Any]]]:
    """Yield the mappings that `walk` yields."""
    found = walk(value, path, into=into)
    return ((here, item) for here, item in found if not isinstance(item, SCALARS) and isinstance(item, Mapping))


def texts(value: object) -> Iterator[str]:
    """Yield every string in `value`, keys included, in no promised order."""
    waiting = [value]
    for item in waiting:
        if isinstance(item, SCALARS):
            if isinstance(item, str):
                yield item
        elif isinstance(item, dict | Mapping):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
