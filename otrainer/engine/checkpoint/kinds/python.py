"""Values of Python's own types: containers, numbers, dates, paths."""

from __future__ import annotations

import datetime
import enum
import pathlib
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from otrainer.engine.checkpoint.kinds.kind import Factory, Kind, LostError, class_of, class_parts, is_exactly

# In this order a class is asked which of them it extends.
BASES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (int, float, complex, str, bytes, list, tuple, set, frozenset, deque, OrderedDict, Counter, dict)
}
FACTORIES = {**BASES, "bool": bool}


def pairs(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {"items": [[key, item] for key, item in value.items()]}


def in_order(values: typing.Iterable[Any]) -> list[Any]:
    """Return the items of a set in an order that is the same in every process."""
    return sorted(values, key=text_of)


def text_of(value: Any) -> str:
    inner = ", ".join(text_of(item) for item in in_order(value)) if isinstance(value, frozenset) else repr(value)
    return f"{type(value).__qualname__} {inner}"


def defaults(value: defaultdict[Any, Any]) -> dict[str, Any]:
    factory = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "")
    if name is not None and FACTORIES.get(name) is not factory:
        return {"factory": Factory(factory), **pairs(value)}
    return {"factory": name, **pairs(value)}


def made_defaults(parts: Mapping[str, Any]) -> defaultdict[Any, Any]:
    factory = parts["factory"]
    function = FACTORIES[factory] if isinstance(factory, str) else getattr(factory, "function", None)
    return defaultdict(function, [(key, item) for key, item in parts["items"]])


def base_of(value: Any) -> tuple[str, Any]:
    """Return the builtin that an object's class extends, by its name and itself."""
    return next((name, base) for name, base in BASES.items() if isinstance(value, base))


def is_extended(value: Any) -> bool:
    """Return whether an object is of a class that extends a builtin, and has no room but a dictionary beside it."""
    return isinstance(value, tuple(BASES.values())) and not isinstance(value, enum.Enum | bool)


def extended(value: Any) -> dict[str, Any]:
    name, base = base_of(value)
    cls = type(value)
    if any(extends(each) for each in cls.__mro__[: cls.__mro__.index(base)]):
        raise LostError(f"is of the class `{cls.__qualname__}`, which keeps more than its items and attributes")
    return {"class": class_parts(cls), "base": name, "content": plainly(value, base), "attributes": attributes(value)}


def extends(cls: type) -> bool:
    slots = vars(cls).get("__slots__", ())
    return bool([slots] if isinstance(slots, str) else list(slots))


def plainly(value: Any, base: Any) -> Any:
    """Return an object as one of the builtin that its class extends."""
    if base is deque:
        return deque(value, value.maxlen)
    if issubclass(base, dict):
        return base(dict.items(value)) if base is not Counter else Counter(dict(dict.items(value)))
    if base in (list, tuple, set, frozenset):
        return base(base.__iter__(value))
    return complex(value.real, value.imag) if base is complex else base.__getnewargs__(value)[0]


def attributes(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def made_extended(parts: Mapping[str, Any]) -> Any:
    base = BASES[parts["base"]]
    cls, content = class_of(parts, base), parts["content"]
    if base in (list, set, dict, OrderedDict, Counter, deque):
        made = base.__new__(cls)
        filled(made, base, content)
    else:
        made = base.__new__(cls, content)
    if parts["attributes"]:
        vars(made).update(parts["attributes"])
    return made


def filled(made: Any, base: Any, content: Any) -> None:
    if base is deque:
        deque.__init__(made, content, content.maxlen)
    elif issubclass(base, dict):
        for key, item in content.items():
            base.__setitem__(made, key, item)
    else:
        base.__init__(made, content)


def named(value: Any) -> dict[str, Any]:
    return {"class": class_parts(type(value)), "fields": list(value._fields), "items": list(tuple.__iter__(value))}


def is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and isinstance(getattr(type(value), "_fields", None), tuple)


def made_named(parts: Mapping[str, Any]) -> Any:
    cls = class_of(parts, tuple)
    if list(getattr(cls, "_fields", ())) != parts["fields"]:
        raise LostError(f"had the fields {', '.join(parts['fields'])}, which `{cls.__qualname__}` no longer has")
    return tuple.__new__(cls, parts["items"])


def member(value: enum.Enum) -> dict[str, Any]:
    cls = type(value)
    if value.name is None or value.name not in cls.__members__:
        raise LostError(f"is a combination of `{cls.__qualname__}`")
    return {"class": class_parts(cls), "name": value.name}


def made_member(parts: Mapping[str, Any]) -> Any:
    cls = class_of(parts, enum.Enum)
    if parts["name"] not in cls.__members__:
        raise LostError(f"was `{parts['name']}` of `{cls.__qualname__}`, which no longer has it")
    return cls.__members__[parts["name"]]


def is_fixed_time(value: Any) -> bool:
    if type(value) not in (datetime.datetime, datetime.time):
        return type(value) is datetime.date
    return type(value.tzinfo) in (type(None), datetime.timezone) and value.fold == 0


TIMES = {kind.__name__: kind for kind in (datetime.datetime, datetime.date, datetime.time)}


def python_kinds() -> tuple[Kind, ...]:
    """Return the kinds of Python's own values."""
    return (
        Kind("int", is_exactly(int), lambda value: {"hex": hex(value)}, lambda parts: int(parts["hex"], 16)),
        Kind(
            "complex",
            is_exactly(complex),
            lambda value: {"real": value.real, "imag": value.imag},
            lambda parts: complex(parts["real"], parts["imag"]),
        ),
        Kind(
            "bytearray",
            is_exactly(bytearray),
            lambda value: {"bytes": bytes(value)},
            lambda parts: bytearray(parts["bytes"]),
        ),
        Kind("dict", is_exactly(dict), pairs, lambda parts: dict(map(tuple, parts["items"]))),
        Kind("OrderedDict", is_exactly(OrderedDict), pairs, lambda parts: OrderedDict(map(tuple, parts["items"]))),
        Kind("Counter", is_exactly(Counter), pairs, lambda parts: Counter(dict(map(tuple, parts["items"])))),
        Kind("defaultdict", is_exactly(defaultdict), defaults, made_defaults),
        Kind("set", is_exactly(set), lambda value: {"items": in_order(value)}, lambda parts: set(parts["items"])),
        Kind(
            "frozenset",
            is_exactly(frozenset),
            lambda value: {"items": in_order(value)},
            lambda parts: frozenset(parts["items"]),
        ),
        Kind(
            "deque",
            is_exactly(deque),
            lambda value: {"items": list(value), "maxlen": value.maxlen},
            lambda parts: deque(parts["items"], parts["maxlen"]),
        ),
        Kind(
            "range",
            is_exactly(range, slice),
            lambda value: {"type": type(value).__name__, "parts": [value.start, value.stop, value.step]},
            lambda parts: {"range": range, "slice": slice}[parts["type"]](*parts["parts"]),
        ),
        Kind("Decimal", is_exactly(Decimal), lambda value: {"text": str(value)}, lambda parts: Decimal(parts["text"])),
        Kind(
            "Fraction",
            is_exactly(Fraction),
            lambda value: {"parts": [value.numerator, value.denominator]},
            lambda parts: Fraction(*parts["parts"]),
        ),
        Kind(
            "time",
            is_fixed_time,
            lambda value: {"type": type(value).__name__, "text": value.isoformat()},
            lambda parts: TIMES[parts["type"]].fromisoformat(parts["text"]),
        ),
        Kind(
            "timedelta",
            is_exactly(datetime.timedelta),
            lambda value: {"parts": [value.days, value.seconds, value.microseconds]},
            lambda parts: datetime.timedelta(*parts["parts"]),
        ),
        Kind(
            "path",
            lambda value: type(value) in (type(pathlib.Path()), pathlib.PurePosixPath, pathlib.PureWindowsPath),
            lambda value: {"pure": not isinstance(value, pathlib.Path), "text": str(value)},
            lambda parts: (pathlib.PurePath if parts["pure"] else pathlib.Path)(parts["text"]),
        ),
        Kind("named_tuple", is_named_tuple, named, made_named),
        Kind("member", lambda value: isinstance(value, enum.Enum), member, made_member),
        Kind("extended", is_extended, extended, made_extended),
    )
