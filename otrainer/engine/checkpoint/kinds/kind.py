"""How values that are no plain data are written as plain data, and made again from it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class LostError(ValueError):
    """A value cannot be written, or made again; the message says why, as the end of a sentence on it."""


@dataclass(frozen=True, eq=False)
class Factory:
    """The function that makes the values of a defaultdict, where it is no builtin: it is taken from the new one."""

    function: Any


@dataclass(frozen=True)
class Kind:
    """Values of one kind: `parts` names what each consists of, and `make` makes it again from these.

    Parts may be of any kind again. `make` runs nothing that a file names: a class gives its builtin base's instance.
    """

    name: str
    fits: Callable[[Any], bool]
    parts: Callable[[Any], dict[str, Any]]
    make: Callable[[Mapping[str, Any]], Any]


def is_exactly(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types


def class_parts(cls: type) -> list[str]:
    """Return the module and the name of a class; raise LostError unless it is found by them."""
    names = [cls.__module__, cls.__qualname__]
    if find_class(*names) is not cls:
        raise LostError(f"is of the class `{cls.__qualname__}`, which cannot be found by its name")
    return names


def find_class(module: str, name: str) -> Any:
    """Return what a loaded module has by a dotted name, None where there is nothing; nothing is imported for it."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found


def class_of(parts: Mapping[str, Any], base: type) -> Any:
    """Return the class that `class_parts` named; raise LostError where there is no such subclass of `base` now."""
    module, name = parts["class"]
    found = find_class(module, name)
    if isinstance(found, type) and issubclass(found, base):
        return found
    raise LostError(f"was of the class `{name}` of `{module}`, which is not there")
