"""What parts of a run held when they were built, by identity: what is still the same object is filled by a resume."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch.nn.parameter import is_lazy

if TYPE_CHECKING:
    import torch

Place = tuple[int, tuple[Any, ...]]
SMALL = 1 << 20


class There:
    """The objects that parts and modules held when they were built, each at its place; it notes them while it is open.

    Two attributes may share an object. One that was changed in place is changed for both of them; one that was replaced
    is not: a resume has to know which of the two it was.
    """

    def __init__(self) -> None:
        self.is_open = True
        self._values: dict[Place, Callable[[], Any]] = {}
        self._versions: dict[Place, int] = {}

    def holds(self, owner: Any, path: tuple[Any, ...], value: Any) -> bool:
        """Return whether an owner held this very object at this place when it was built."""
        place = id(owner), path
        if self.is_open:
            self._values[place] = reference(value)
            return False
        return place in self._values and self._values[place]() is value

    def moved(self, module: torch.nn.Module, name: str) -> bool:
        """Return whether a buffer is another one than when it was built, or was written to since then.

        Of a module that came later, those are taken for moved that were written to, or are small.
        """
        buffer, place = module._buffers[name], (id(module), ("buffers", name))
        if buffer is None or is_lazy(buffer) or buffer.grad_fn is not None:
            return False
        if self.is_open:
            self._values[place], self._versions[place] = reference(buffer), buffer._version
            return False
        if place not in self._values:
            return buffer._version > 0 or buffer.nbytes <= SMALL
        return self._values[place]() is not buffer or buffer._version != self._versions[place]

    def close(self, *models: torch.nn.Module) -> None:
        """Note no more, once the buffers of these are where training has them."""
        for model in models:
            for module in model.modules():
                for name in module._non_persistent_buffers_set & module._buffers.keys():
                    self.moved(module, name)
        self.is_open = False


def reference(value: Any) -> Callable[[], Any]:
    """Return what gives the object back; it is kept only where nothing else can tell it from a later one."""
    try:
        return weakref.ref(value)
    except TypeError:  # as lists and mappings are
        return lambda: value
