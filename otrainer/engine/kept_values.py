"""Values as they are now, to be compared and put back: containers, arrays, generators, objects and what they hold."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from otrainer.engine.data.generators import ARRAYS, as_plain, get_state, is_followed, listed, set_state

MOST_BYTES = 2**20  # of the tensors and arrays that an owner holds, which are copied
MOST_ITEMS = 2_000  # values that are followed for an owner
DEEPEST = 8
# Of a process, and of the run itself: what is no state of a component, or is kept elsewhere.
NOT_FOLLOWED = (nn.Module, type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)
CONTAINERS = (list, tuple, dict, set, deque)
ELSEWHERE = frozenset({"torch", "logging", "threading", "concurrent", "multiprocessing", "asyncio", "otrainer"})


class Room:
    """How much may still be followed and copied for one owner; what was seen is followed once."""

    def __init__(self) -> None:
        self.items, self.bytes = MOST_ITEMS, MOST_BYTES
        self.seen: set[int] = set()

    def enter(self, value: Any) -> bool:
        self.items -= 1
        if self.items < 0 or id(value) in self.seen:
            return False
        self.seen.add(id(value))
        return True


class Kept:
    """A value that may change in place, as it is now; `whole` is false where it is too large to be copied."""

    def __init__(self, value: Any, room: Room, depth: int = 0) -> None:
        self.value = value
        self.version = value._version if isinstance(value, torch.Tensor) else 0
        self.copy = copied(value, room)
        self.inside = kept_in(items_of(value), room, depth + 1)
        is_copied = self.copy is not None or isinstance(value, tuple)
        self.whole: bool = is_copied and all(kept.whole for kept in self.inside)

    def is_changed(self) -> bool:
        """Return whether it is not what it was. No device is waited for: there, a tensor's version says it."""
        if isinstance(self.value, torch.Tensor) and (self.copy is None or self.value.is_cuda):
            return self.value._version != self.version
        return (self.copy is not None and differs(self.value, self.copy)) or any(
            each.is_changed() for each in self.inside
        )

    def put_back(self) -> None:
        """Let it be what it was; what did not change is not written to, since it may be read-only."""
        if self.copy is not None and differs(self.value, self.copy):
            refill(self.value, self.copy)
        for kept in self.inside:
            kept.put_back()


def kept_in(values: Iterable[Any], room: Room, depth: int = 0) -> list[Kept]:
    """Return those of the values that may change in place, as they are now."""
    if depth > DEEPEST:
        return []
    return [Kept(value, room, depth) for value in values if may_change(value) and room.enter(value)]


def may_change(value: Any) -> bool:
    """Return whether a value may change in place in a way that is followed."""
    if isinstance(value, torch.Tensor):
        return not isinstance(value, nn.Parameter) and value.layout == torch.strided and not value.is_meta
    return isinstance(value, CONTAINERS) or is_array(value) or is_followed(value) or is_object(value)


def is_object(value: Any) -> bool:
    """Return whether a value is an object with attributes, of a class that is neither torch's nor of a process."""
    if isinstance(value, NOT_FOLLOWED) or not isinstance(getattr(value, "__dict__", None), dict):
        return False
    return type(value).__module__.partition(".")[0] not in ELSEWHERE


def is_array(value: Any) -> bool:
    return isinstance(value, ARRAYS)


def items_of(value: Any) -> Iterable[Any]:
    """Return what a value holds."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | deque):
        return value
    return vars(value).values() if is_object(value) else ()


def copied(value: Any, room: Room) -> Any:
    """Return what a value is to be put back to; None where that is too large, or not needed."""
    if isinstance(value, torch.Tensor) or is_array(value):
        if value.nbytes > room.bytes:
            return None
        room.bytes -= value.nbytes
        return value.detach().clone() if isinstance(value, torch.Tensor) else value.copy()
    if is_followed(value):
        return get_state(value)
    if isinstance(value, tuple):
        return None
    if isinstance(value, dict | set | list | deque):
        if len(value) > MOST_ITEMS:
            return None
        return dict(value) if isinstance(value, dict) else set(value) if isinstance(value, set) else list(value)
    return dict(vars(value))


def differs(value: Any, copy: Any) -> bool:
    """Return whether a value is not what it was; what a container holds is compared by identity."""
    if isinstance(value, torch.Tensor):
        return value.shape != copy.shape or not torch.equal(value, copy)
    if is_array(value):
        return bool(value.shape != copy.shape or value.tobytes() != copy.tobytes())
    if is_followed(value):
        return bool(listed(as_plain(get_state(value))) != listed(as_plain(copy)))
    if isinstance(value, set):
        return bool(value != copy)
    if isinstance(copy, dict):
        now = value if isinstance(value, dict) else vars(value)
        return not same_items(now, copy) or not same_items(now.values(), copy.values())
    return not same_items(value, copy)


def same_items(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def refill(value: Any, copy: Any) -> None:
    """Let a value be again what its copy is."""
    if isinstance(value, torch.Tensor):
        with torch.no_grad():
            value.copy_(copy)
    elif is_array(value):
        value[...] = copy
    elif is_followed(value):
        set_state(value, copy)
    elif isinstance(value, list | deque):
        value.clear()
        value.extend(copy)
    else:
        holder = value if isinstance(value, dict | set) else vars(value)
        holder.clear()
        holder.update(copy)
