"""Walk over what a loader holds: its samplers and datasets, what those wrap, and all their attributes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

MOST = 20_000  # values in all
LONGEST = 2_000  # values in a container that is looked into: longer ones are samples
SHORT = 16
ATOMS = (str, bytes, bytearray, int, float, complex, bool, type(None), torch.dtype, torch.device)
CLOSED = (*ATOMS, torch.Tensor, torch.Generator, ModuleType, type, BuiltinFunctionType)
# Of a process and its files, which no state of data is kept in.
ELSEWHERE = ("logging", "threading", "multiprocessing", "concurrent", "asyncio", "socket", "weakref", "numpy")


def reached(root: Any) -> Iterator[tuple[str, Any]]:
    """Yield all that `root` leads to, itself first, each object once, after the attributes and keys that lead to it.

    The order is the same in every process. It ends after 20,000 values, and looks into no container of over 2,000,
    nor into a longer list of samples.
    """
    seen: set[int] = set()
    kept: list[Any] = []  # what is made for the walk lives as long as its id is known
    waiting: deque[tuple[str, Any]] = deque([("", root)])
    while waiting and len(kept) < MOST:
        path, value = waiting.popleft()
        if id(value) in seen and not isinstance(value, ATOMS):
            continue
        seen.add(id(value))
        kept.append(value)
        yield path, value
        if not is_closed(value):
            waiting.extend((f"{path}.{name}" if path else name, item) for name, item in held_by(value))


def is_closed(value: Any) -> bool:
    """Return whether the walk ends at a value: a plain one, or what is no part of the data."""
    return isinstance(value, CLOSED) or type(value).__module__.partition(".")[0] in ELSEWHERE


def held_by(value: Any) -> Iterable[tuple[str, Any]]:
    """Return what a value holds, by name."""
    if isinstance(value, Mapping | list | tuple | set | frozenset | deque):
        return [*items_of(value), *attributes_of(value)]
    if isinstance(value, partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, MethodType):
        return [("__self__", value.__self__)]
    if isinstance(value, FunctionType):
        return closed_over(value)
    return attributes_of(value)


def items_of(value: Any) -> list[tuple[str, Any]]:
    """Return what a container holds, unless it is long or flat, or does not let itself be looked into."""
    try:
        if len(value) > LONGEST or is_flat(value):
            return []
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        names = ((key if isinstance(key, str | int) else place, item) for place, (key, item) in enumerate(items))
        return [(str(name), item) for name, item in names]
    except Exception:  # noqa: BLE001 - whatever a container of somebody else's raises
        return []


def is_flat(value: Any) -> bool:
    """Return whether a longer list or tuple is one of samples, by its first ones: values, or containers of such."""
    return isinstance(value, list | tuple) and len(value) > SHORT and all(map(is_sample, value[:SHORT]))


def is_sample(value: Any) -> bool:
    if isinstance(value, dict):
        return len(value) <= SHORT and all(map(is_closed, value.values()))
    return is_closed(value) or (isinstance(value, list | tuple) and all(map(is_closed, value[:SHORT])))


def closed_over(function: FunctionType) -> list[tuple[str, Any]]:
    """Return what a function took along from where it was defined."""
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # it has no content yet
            continue
    return found


def attributes_of(value: Any) -> list[tuple[str, Any]]:
    """Return the attributes of an object, those in slots included, without asking for what is computed."""
    found = list(getattr(value, "__dict__", {}).items())
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = kind.__dict__.get(name)
            if member is not None and hasattr(member, "__get__"):
                try:
                    found.append((name, member.__get__(value)))
                except AttributeError:  # it was not set yet
                    continue
    return [(name, item) for name, item in found if name != "_iterator"]  # a DataLoader's, which runs by itself
