"""Compare encoded state with what it was when it was built, and keep what differs."""

from __future__ import annotations

import functools
import hashlib
import logging
import re
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from otrainer.engine.checkpoint.encode import GONE, LOST, MARK, SAME, Lost, is_marked
from otrainer.engine.checkpoint.flags import changed_flags
from otrainer.engine.checkpoint.held import OBJECT, STATEFUL
from otrainer.engine.tree import children, with_children

LARGE = 1 << 20


@dataclass(frozen=True)
class Digest:
    """What is kept of a large tensor, to see whether it changed."""

    facts: tuple[Any, ...]
    content: str


def frozen(data: Any) -> Any:
    """Return encoded data that no later change of a tensor reaches; of what saves itself, only what may be compared."""
    if isinstance(data, torch.Tensor):
        return digest(data) if data.nbytes > LARGE else data.detach().clone()
    if is_marked(data, STATEFUL):
        buffers = {name: data["state"][name] for name in data.get("buffers", ()) if name in data["state"]}
        return frozen({**data, MARK: None, "state": buffers})
    if is_marked(data, SAME):
        return frozen(data["items"])
    items = children(data)
    return data if items is None or isinstance(data, Lost) else with_children(data, [(k, frozen(v)) for k, v in items])


def digest(tensor: torch.Tensor) -> Digest:
    content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return Digest((tensor.dtype, tensor.shape), hashlib.blake2b(content.data).hexdigest())


def same(one: Any, other: Any) -> bool:
    """Equality of encoded data: tensors by their values, floats by their bits."""
    if isinstance(one, Digest) or isinstance(other, Digest):
        return isinstance(one, torch.Tensor | Digest) and isinstance(other, torch.Tensor | Digest) and alike(one, other)
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        is_tensor = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        return is_tensor and one.dtype == other.dtype and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, Lost):
        return one.value is other.value
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other) if isinstance(one, float) else bool(one == other)


def alike(one: torch.Tensor | Digest, other: torch.Tensor | Digest) -> bool:
    first, second = (digest(each) if isinstance(each, torch.Tensor) else each for each in (one, other))
    return first == second


def reduced(now: Any, built: Any) -> tuple[Any, bool]:
    """Return encoded data without what is as it was `built`, where that can be left out, and whether all of it is so.

    Attributes of objects can; what saves itself keeps its state, and names the buffers that are as they were.
    """
    if is_marked(now, STATEFUL):
        return without_built(now, built), False
    if is_marked(now, SAME):
        content, is_same = reduced(now["items"], built)
        return {**now, "items": content}, is_same
    if is_marked(now, OBJECT) and is_marked(built, OBJECT) and now["class"] == built["class"]:
        attributes = changes(now["attributes"], built["attributes"])
        return {**now, "attributes": attributes}, not attributes
    items = None if isinstance(now, Lost) else children(now)
    if items is None or not is_like(now, built):
        if items is not None:
            now = with_children(now, [(key, reduced(item, None)[0]) for key, item in items])
        return now, items is None and same(now, built)
    found = [(key, *reduced(item, built[key])) for key, item in items]
    return with_children(now, [(key, item) for key, item, _ in found]), all(is_same for *_, is_same in found)


def is_like(now: Any, built: Any) -> bool:
    """Return whether two containers have the same keys in the same order, or the same length."""
    if type(now) is not type(built):
        return False
    return list(now) == list(built) if isinstance(now, dict) else len(now) == len(built)


def changes(now: dict[str, Any], built: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that are not as they were built, with a mark for those that there are no longer."""
    return {**kept_changes(now, built), **{name: {MARK: GONE} for name in built if name not in now}}


def kept_changes(now: dict[str, Any], built: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that are not as they were built, of those that there are."""
    found = {name: reduced(value, built.get(name)) for name, value in now.items()}
    return {name: value for name, (value, is_same) in found.items() if not (is_same and name in built)}


def without_built(now: dict[str, Any], built: Any) -> dict[str, Any]:
    """Return what a module saves, without flags and attributes that it was built with; `unchanged` names buffers."""
    if "flags" not in now:
        return now
    was = built if type(built) is dict and built.get("class") == now["class"] else {}
    before, kept = was.get("attributes", {}), was.get("state", {})
    attributes = {name: kept_changes(values, before.get(name, {})) for name, values in now["attributes"].items()}
    return {
        **{name: item for name, item in now.items() if name != "buffers"},
        "flags": changed_flags(now["flags"], was.get("flags", {})),
        "attributes": {name: values for name, values in attributes.items() if values},
        "unchanged": [name for name, value in kept.items() if same(now["state"].get(name), value)],
    }


def stateless() -> tuple[type, ...]:
    """Return the types of objects without a state of their own: the same one is as it was."""
    functions = types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial
    locks = type(threading.Lock()), type(threading.RLock()), threading.local
    return (*functions, *locks, type, types.ModuleType, logging.Logger, re.Pattern)


def lost_in(now: Any, built: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Lost]]:
    """Yield what cannot be written, with the way to it, but for what has no state and is what was built."""
    if isinstance(now, Lost):
        if not (isinstance(now.value, stateless()) and same(now, built)):
            yield path, now
        return
    if is_marked(now, SAME):
        yield from lost_in(now["items"], built, path)
        return
    for key, item in children(now) or ():
        yield from lost_in(item, beside(built, key), (*path, key))


def unmade_in(now: Any, there: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield the way to what saves itself, and its class, where no such thing is `there` and none can be made."""
    if isinstance(now, Lost):
        return
    if is_marked(now, STATEFUL):
        is_there = type(there) is dict and there.get("class") == now["class"]
        if not is_there and now.get("like") is None and now.get("averages") is None:
            yield path, now["class"]
        return
    if is_marked(now, SAME):
        yield from unmade_in(now["items"], there, path)
        return
    for key, item in children(now) or ():
        yield from unmade_in(item, beside(there, key), (*path, key))


def beside(built: Any, key: Any) -> Any:
    """Return what was built in the place of an item, None where nothing was."""
    if isinstance(built, dict):
        return built.get(key)
    return built[key] if isinstance(built, list | tuple) and key < len(built) else None


def marked_lost(data: Any) -> Any:
    """Return encoded data as plain data, with a mark in the place of what cannot be written."""
    if isinstance(data, Lost):
        return {MARK: LOST}
    items = children(data)
    return data if items is None else with_children(data, [(key, marked_lost(item)) for key, item in items])


def values_in(data: Any) -> Any:
    """Return encoded data without the marks of what is the object that was built: what counts are values."""
    if is_marked(data, SAME):
        return values_in(data["items"])
    items = children(data)
    return data if items is None else with_children(data, [(key, values_in(item)) for key, item in items])
