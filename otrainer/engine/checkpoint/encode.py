"""Write values of many kinds as plain data: what is none becomes a mapping with a mark, which no other mapping has."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from otrainer.engine.checkpoint.fill import is_fillable
from otrainer.engine.checkpoint.kinds import Factory, LostError, kinds
from otrainer.engine.checkpoint.plain import PLAIN
from otrainer.engine.tree import with_children

MARK = "__otrainer__"
LOST = "lost"
GONE = "gone"  # an attribute that was deleted
SAME = "same"  # around a value that is the object which was built, and was changed in place
DEEPEST = 100
LARGEST = 1 << 2000  # the bits of a number that a `weights_only` load takes

Path = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Lost:
    """In encoded data, the place of a value that cannot be written; `why` ends a sentence on it."""

    value: Any
    why: str


class Encoder:
    """Encodes values; `own` is asked first and returns data in place of some, or None.

    With `places`, tensors on another device than the CPU are marked, so that they come back to the run's. `is_same`
    says of a list, mapping, set, array or tensor whether it is the object that was built.
    """

    def __init__(
        self,
        own: Callable[[Encoder, Path, Any], Any] | None = None,
        *,
        places: bool = False,
        is_same: Callable[[Path, Any], bool] | None = None,
    ) -> None:
        self._own, self._places, self._is_same = own, places, is_same
        self._above: list[int] = []
        self._kinds = kinds()

    def encode(self, value: Any, path: Path = ()) -> Any:
        """Return `value` as plain data, in which instances of Lost stand for what cannot be written."""
        kind = type(value)
        if kind in PLAIN and not (kind is int and abs(value) > LARGEST):
            return value
        if self._own is None and kind is torch.Tensor and self._is_bare(value):
            return value
        self._above.append(id(value))
        try:
            return self._encode(value, path)
        except LostError as cause:
            return Lost(value.function if kind is Factory else value, str(cause))
        finally:
            self._above.pop()

    def _is_bare(self, value: torch.Tensor) -> bool:
        is_plain = value.layout == torch.strided and not value.requires_grad and not value.is_meta
        return is_plain and (value.is_cpu or not self._places)

    def _encode(self, value: Any, path: Path) -> Any:
        if id(value) in self._above[:-1]:
            raise LostError("holds itself")
        if len(path) > DEEPEST:
            raise LostError(f"is deeper than {DEEPEST} levels")
        if type(value) is Factory:
            raise LostError(f"is made by {described(value.function)}")
        if self._own is not None and (data := self._own(self, path, value)) is not None:
            return data
        data = self._alone(value, path)
        is_same = self._is_same is not None and is_fillable(value) and self._is_same(path, value)
        return {MARK: SAME, "items": data} if is_same else data

    def _alone(self, value: Any, path: Path) -> Any:
        if type(value) is torch.Tensor and self._is_bare(value):
            return value
        if type(value) in (list, tuple):
            return type(value)(self.encode(item, (*path, index)) for index, item in enumerate(value))
        if is_plain_mapping(value):
            return with_children(value, [(key, self.encode(item, (*path, key))) for key, item in value.items()])
        for kind in self._kinds.values():
            if kind.fits(value):
                return self.marked(kind.name, kind.parts(value), path)
        raise LostError(f"is {described(value)}")

    def marked(self, name: str, parts: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return a mapping with the mark `name`, and the encoded `parts` of a value."""
        return {MARK: name, **{part: self.part(name, item, (*path, part)) for part, item in parts.items()}}

    def part(self, name: str, item: Any, path: Path) -> Any:
        is_data = isinstance(item, torch.Tensor) and name.endswith("tensor")
        return item if is_data else self.encode(item, path)


def is_plain_mapping(value: Any) -> bool:
    return type(value) in (dict, OrderedDict) and MARK not in value and all(type(key) in PLAIN for key in value)


def described(value: Any) -> str:
    """Return what a value is, as one says it."""
    if getattr(value, "__name__", "") == "<lambda>":
        return "a lambda"
    name = type(value).__qualname__
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} `{name}`"


def is_marked(data: Any, name: str | None = None) -> bool:
    """Return whether encoded data stands for a value that is no plain data (of the kind `name`)."""
    return type(data) is dict and MARK in data and (name is None or data[MARK] == name)
