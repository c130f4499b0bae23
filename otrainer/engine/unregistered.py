"""Find parameters that lie where nobody looks for them: in plain lists, objects and functions that parts hold."""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

from otrainer.engine.attributes import own_attributes

MOST_LOOKED_AT = 20_000  # of what parts hold, in the order of its depth
MOST_ITEMS = 1000  # of a container, which data may be in as well
PLAIN = frozenset({int, float, bool, str, bytes, type(None)})
NOT_THE_USER_S = frozenset({"torch", "otrainer", "numpy", *sys.stdlib_module_names})


def unregistered(parts: Any, known: Iterable[torch.Tensor]) -> list[str]:
    """Return where tensors lie that require gradients, are no result of others and are not `known`.

    They are looked for in `parts.model`, whose paths are those in it, and in `parts.loss` and `parts.io`.
    """
    waiting: deque[tuple[str, Any, bool]] = deque(
        [("", parts.model, True), ("loss", parts.loss, True), ("io", parts.io, True)]
    )
    seen, found = {id(each) for each in known}, []
    for _ in range(MOST_LOOKED_AT):
        if not waiting:
            break
        path, value, is_part = waiting.popleft()
        if id(value) in seen:
            continue
        if isinstance(value, torch.Tensor):
            seen.add(id(value))
            if value.requires_grad and value.is_leaf:
                found.append(path)
        elif items := held_in(value, is_part=is_part):
            seen.add(id(value))
            for name, item in islice(items, MOST_ITEMS):
                if type(item) not in PLAIN:
                    waiting.append((f"{path}.{name}" if path else str(name), item, False))
    return found


def held_in(value: Any, *, is_part: bool) -> Iterable[tuple[Any, Any]]:
    """Return what something holds, by name, without calling any of the user's code; nothing of what is not looked into.

    Of torch's modules it is their parameters and modules, of the user's, and of a part of the run, all attributes.
    """
    if isinstance(value, nn.Module):
        own = own_attributes(value) if is_part or is_user_s(value) else {}
        return {**value._parameters, **value._modules, **own}.items()
    if isinstance(value, dict):
        return dict.items(value)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return enumerate(value)
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, MethodType):
        return [("__self__", value.__self__)]
    if isinstance(value, FunctionType):
        return enclosed_by(value)
    if isinstance(value, type | ModuleType) or not (is_part or is_user_s(value)):
        return ()
    return attributes_of(value)


def is_user_s(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] not in NOT_THE_USER_S or type(value) is SimpleNamespace


def enclosed_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield what a function holds of the one that it was made in, by name."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # nothing is in it yet
            continue


def attributes_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, be it in its dictionary or in slots."""
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, MemberDescriptorType):
                try:
                    yield name, member.__get__(value, cls)
                except AttributeError:  # nothing is in it yet
                    continue
