"""Whether a plain value is one of those that a schema of a parameter admits, and if not, which part of it is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.config.secrets import OPENING
from otrainer.registry.build.spec import is_spec

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.registry.describe.annotations import Values

# As JSON Schema's dialect of regular expressions reads them too, which has no flags.
TRUTH = re.compile(r"^([yY]([eE][sS])?|[nN][oO]?|[oO][nN]|[oO][fF][fF]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE])$")
NUMBER = re.compile(r"^ *[-+]?(\.[0-9]+|[0-9]+([.,][0-9]*)?)([eE][-+]?[0-9]+)? *$")


class Misfit(NamedTuple):
    """A value that is none of those which were to stand at `path`."""

    path: ConfigPath
    value: Any
    values: Values


def admits(value: object, values: Values) -> bool:
    """Return whether `values` take `value` with all that is in it."""
    return next(misfits(value, values), None) is None


def misfits(value: Any, values: Values, path: ConfigPath = ()) -> Iterator[Misfit]:
    """Yield the innermost parts of `value` that cannot be what they should; what a spec builds may be anything."""
    kinds = kinds_of(value)
    if not values or not kinds:
        return
    if "type" not in values:
        if isinstance(value, str) and re.search(values["not"]["pattern"], value):
            yield Misfit(path, value, values)
    elif kinds.isdisjoint(values["type"]) or ("enum" in values and not listed(value, values["enum"])):
        yield Misfit(path, value, values)
    elif "array" in kinds:
        yield from in_list(value, values, path)
    elif "object" in kinds:
        for name, item in value.items():
            yield from misfits(item, values.get("additionalProperties", {}), (*path, name))


def in_list(value: list[Any], values: Values, path: ConfigPath) -> Iterator[Misfit]:
    if not values.get("minItems", 0) <= len(value) <= values.get("maxItems", len(value)):
        yield Misfit(path, value, values)
        return
    several = values.get("prefixItems", ())
    for index, item in enumerate(value):
        wanted = several[index] if index < len(several) else values.get("items", {})
        yield from misfits(item, wanted, (*path, index))


def listed(value: object, several: list[Any]) -> bool:
    """Return whether a value is one of several: true is not 1."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in several)


def kinds_of(value: object) -> frozenset[str]:
    """Return the types that JSON Schema calls a value by; none for what only building it would tell."""
    if is_spec(value) or (isinstance(value, str) and OPENING in value):
        return frozenset()
    for cls, kinds in KINDS:
        if isinstance(value, cls):
            return kinds | {"integer"} if cls is float and value.is_integer() else kinds
    return frozenset()


KINDS: tuple[tuple[Any, frozenset[str]], ...] = (
    (type(None), frozenset({"null"})),
    (bool, frozenset({"boolean"})),
    (int, frozenset({"integer", "number"})),
    (float, frozenset({"number"})),
    (str, frozenset({"string"})),
    ((list, tuple), frozenset({"array"})),
    (Mapping, frozenset({"object"})),
)


def is_plain(value: object) -> bool:
    """Return whether a value is one that a config can write."""
    return bool(kinds_of(value))
