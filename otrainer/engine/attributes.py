"""What modules and other parts hold besides parameters, buffers and modules: a count, a temperature, a growing list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils.hooks import RemovableHandle

from otrainer.engine.kept_values import Room, kept_in
from otrainer.engine.recompute import Recomputed

USUAL = frozenset(vars(nn.Module()))
NOT_THE_USER_S = ("torch", "otrainer")
SETTINGS = (bool, int, float, str, type(None))


def own_attributes(part: Any) -> dict[str, Any]:
    """Return the attributes of a module that are neither its parameters, buffers and modules, nor its mode.

    Of a module of torch they are its settings alone, which a callback may change: the rest is how torch computes.
    """
    if isinstance(part, nn.Module) and not is_the_user_s(part):
        return {k: v for k, v in vars(part).items() if k[0] != "_" and k not in USUAL and isinstance(v, SETTINGS)}
    return {k: v for k, v in vars(part).items() if k not in USUAL and not isinstance(v, RemovableHandle | Recomputed)}


def own_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules in `root` by name, but for those that are to become something else."""
    for name, module in root.named_modules():
        if not isinstance(module, LazyModuleMixin):
            yield name, module


def is_the_user_s(part: Any) -> bool:
    return type(part).__module__.partition(".")[0] not in NOT_THE_USER_S


class Attributes:
    """The attributes of a module or another part as they are now, to be compared and put back."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self._attributes = own_attributes(owner)
        self._inside = kept_in(self._attributes.values(), Room())

    @property
    def is_whole(self) -> bool:
        """Whether all that may change in place can be put back."""
        return all(kept.whole for kept in self._inside)

    def is_changed(self, *, waits: bool = True) -> bool:
        """Return whether one is another, or was changed in place."""
        now = own_attributes(self.owner)
        if now.keys() != self._attributes.keys():
            return True
        return any(now[name] is not value for name, value in self._attributes.items()) or any(
            kept.is_changed() for kept in self._inside
        )

    def renew(self) -> None:
        """Take them as they are now."""
        self._attributes = own_attributes(self.owner)
        self._inside = kept_in(self._attributes.values(), Room())

    def put_back(self) -> None:
        own = vars(self.owner)
        for name in own_attributes(self.owner).keys() - self._attributes.keys():
            del own[name]
        own.update(self._attributes)
        for kept in self._inside:
            kept.put_back()


@contextmanager
def attributes_kept(parts: Iterable[Any]) -> Iterator[None]:
    """Put back, after the block, what it changes in attributes of parts, and of the modules in them."""
    kept = [Attributes(owner) for owner in owners(parts)]
    try:
        yield
    finally:
        for each in kept:
            each.put_back()


def owners(parts: Iterable[Any]) -> list[Any]:
    """Return what holds attributes: of a module the modules in it, of another part itself; each once."""
    found: dict[int, Any] = {}
    for part in parts:
        if isinstance(part, nn.Module):
            found |= {id(module): module for _, module in own_modules(part)}
        elif hasattr(part, "__dict__"):
            found[id(part)] = part
    return list(found.values())
