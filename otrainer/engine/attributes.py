"""What the user's modules hold besides parameters, buffers and modules: a count, a temperature, a growing list."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils.hooks import RemovableHandle

try:
    import numpy as np
except ImportError:  # torch and otrainer work without it
    np = None  # type: ignore[assignment]

USUAL = frozenset(vars(nn.Module()))
NOT_THE_USER_S = ("torch", "otrainer")
MOST_BYTES = 2**20  # of a tensor or an array that is copied to be put back
MOST_ITEMS = 10_000  # of a container that is
DEEPEST = 8


def own_attributes(module: Any) -> dict[str, Any]:
    """Return the attributes of a module that are neither its parameters, buffers and modules, nor its mode."""
    return {k: v for k, v in vars(module).items() if k not in USUAL and not isinstance(v, RemovableHandle)}


def own_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules in `root` whose classes are the user's, by name: those of torch hold settings and caches."""
    for name, module in root.named_modules():
        if type(module).__module__.partition(".")[0] not in NOT_THE_USER_S:
            yield name, module


class Held:
    """A value as it is now: whether it was changed in place since then, and how to put it back.

    Lists, mappings, sets, deques, tensors and arrays are followed, and what they hold; `whole` is false where something
    is too large to be kept.
    """

    def __init__(self, value: Any, depth: int = DEEPEST) -> None:
        self.value = value
        self.whole = depth > 0 and is_small(value)
        self._copy = copied(value) if self.whole else None
        inside = [item for item in items_of(value) if is_mutable(item)] if self.whole else ()
        self._inside = [Held(item, depth - 1) for item in inside]
        self.whole = self.whole and all(held.whole for held in self._inside)
        self._version = value._version if isinstance(value, torch.Tensor) else 0

    def is_changed(self) -> bool:
        """Return whether it holds something else now; what is not kept counts as unchanged, but for tensors."""
        if isinstance(self.value, torch.Tensor):
            return self.value._version != self._version
        if self._copy is None:
            return False
        return differs(self.value, self._copy) or any(held.is_changed() for held in self._inside)

    def put_back(self) -> None:
        if self._copy is not None and self.is_changed():
            refill(self.value, self._copy)
        for held in self._inside:
            held.put_back()


class Attributes:
    """Some attributes of modules, or of other objects, as they are now: by default all of them."""

    def __init__(self, modules: Iterable[Any], names: Sequence[tuple[int, str]] | None = None) -> None:
        self._modules = list(modules)
        self._names = names
        self._kept = [(module, self._chosen(index, module)) for index, module in enumerate(self._modules)]
        self._held = [
            {name: Held(value) for name, value in kept.items() if is_mutable(value)} for _, kept in self._kept
        ]

    def _chosen(self, index: int, module: Any) -> dict[str, Any]:
        now = own_attributes(module)
        if self._names is None:
            return now
        return {name: now[name] for number, name in self._names if number == index and name in now}

    def changed(self) -> Iterator[tuple[int, str]]:
        """Yield the number of the module and the name of each attribute that is another one now, or was changed."""
        for index, (module, kept) in enumerate(self._kept):
            now = own_attributes(module)
            for name in now.keys() | kept.keys():
                held = self._held[index].get(name)
                if now.get(name, self) is not kept.get(name, self) or (held is not None and held.is_changed()):
                    yield index, name

    def whole(self, names: Iterable[tuple[int, str]]) -> bool:
        """Return whether these can be put back."""
        return all(self._held[index][name].whole for index, name in names if name in self._held[index])

    def put_back(self) -> None:
        """Let the modules have what they had."""
        for index, (module, kept) in enumerate(self._kept):
            if self._names is None:
                for name in own_attributes(module).keys() - kept.keys():
                    del vars(module)[name]
            vars(module).update(kept)
            for held in self._held[index].values():
                held.put_back()


@contextmanager
def attributes_kept(parts: Iterable[Any]) -> Iterator[None]:
    """Put back, after the block, what it changes in attributes of objects, and of modules of the user's in modules.

    Lazy modules are left out: they become what they are to be.
    """
    found = {id(owner): owner for part in parts for owner in owners(part) if not isinstance(owner, LazyModuleMixin)}
    kept = Attributes(found.values())
    try:
        yield
    finally:
        kept.put_back()


def owners(part: Any) -> Iterator[Any]:
    """Yield what of a part of the run holds attributes: the modules in a module, other objects themselves."""
    if isinstance(part, nn.Module):
        yield from (module for _, module in own_modules(part))
    elif hasattr(part, "__dict__"):
        yield part


def is_array(value: Any) -> bool:
    return np is not None and isinstance(value, np.ndarray)


def is_mutable(value: Any) -> bool:
    """Return whether a value may change in place in a way that is followed."""
    if isinstance(value, torch.Tensor):
        return not isinstance(value, nn.Parameter) and value.layout == torch.strided and not value.is_meta
    return isinstance(value, list | dict | set | deque) or is_array(value)


def is_small(value: Any) -> bool:
    if isinstance(value, torch.Tensor) or is_array(value):
        return bool(value.nbytes <= MOST_BYTES)
    return len(value) <= MOST_ITEMS


def items_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | deque) else ()


def copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if is_array(value):
        return value.copy()
    if isinstance(value, dict):
        return dict(value)
    return set(value) if isinstance(value, set) else list(value)


def differs(value: Any, copy: Any) -> bool:
    """Return whether a container or an array is not what it was; what it holds is compared by identity."""
    if is_array(value):
        return bool(value.shape != copy.shape or value.tobytes() != copy.tobytes())
    if isinstance(value, set):
        return bool(value != copy)
    if len(value) != len(copy):
        return True
    if isinstance(value, dict):
        return any(one is not other or value[one] is not copy[other] for one, other in zip(value, copy, strict=True))
    return any(one is not other for one, other in zip(value, copy, strict=True))


def refill(value: Any, copy: Any) -> None:
    """Let a value hold again what its copy holds."""
    if isinstance(value, torch.Tensor):
        with torch.no_grad():
            value.copy_(copy)
        return
    if is_array(value):
        value[...] = copy
        return
    value.clear()
    add: Callable[[Any], Any] = value.update if isinstance(value, dict | set) else value.extend
    add(copy)
