"""Make values again from the plain data that `encode` wrote."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from otrainer.engine.checkpoint.encode import LOST, MARK, SAME, is_marked
from otrainer.engine.checkpoint.fill import fill_tensor, filled, takes, trains
from otrainer.engine.checkpoint.kinds import LostError, kinds
from otrainer.engine.checkpoint.kinds.generators import continue_as, is_generator
from otrainer.engine.tree import with_children

UNMAKEABLE = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError)


class NotSavedError(LostError):
    """There is no value, since it could not be written."""


class Missing:
    """Stands for a value where there is none, as it is: it is never made."""


class Decoder:
    """Makes values again; `own` is asked first for marked data. Tensors of other devices come to `device`.

    `fresh` is what a new component has at the same place: it stands in for what is lost, and goes on where it can.
    """

    def __init__(
        self, device: torch.device | str = "cpu", own: Callable[[Decoder, Any, Any], Any] | None = None
    ) -> None:
        self._device, self._own, self._kinds = device, own, kinds()

    def decode(self, data: Any, fresh: Any = Missing) -> Any:
        """Return the value that `data` stands for. Raises LostError where it cannot be made, and `fresh` is none."""
        if is_marked(data):
            return self._marked(data, fresh)
        if type(data) in (dict, OrderedDict):
            return with_children(data, list(self._items(data, fresh)))
        if type(data) in (list, tuple):
            return type(data)(self.decode(item, child(fresh, index)) for index, item in enumerate(data))
        return data

    def _items(self, data: Any, fresh: Any) -> Any:
        for key, item in data.items():
            with suppress(NotSavedError):  # it is as if it had not been there, which was told when it was not saved
                yield key, self.decode(item, child(fresh, key))

    def _marked(self, data: dict[str, Any], fresh: Any) -> Any:
        if data[MARK] == LOST:
            if fresh is Missing:
                raise NotSavedError("was not saved")
            return fresh
        if data[MARK] == SAME:
            return filled(fresh, self.decode(data["items"], fresh))
        try:
            made = self._own(self, data, fresh) if self._own is not None else Missing
            made = self._made(data, fresh) if made is Missing else made
        except LostError:
            raise
        except UNMAKEABLE as cause:
            raise LostError(f"cannot be made again from the checkpoint: {cause}") from cause
        if is_generator(made) and type(fresh) is type(made):
            continue_as(fresh, made)
            return fresh
        if trains(made) and takes(fresh, made):
            fill_tensor(fresh, made)
            return fresh
        return made

    def _made(self, data: dict[str, Any], fresh: Any) -> Any:
        kind = self._kinds.get(data[MARK]) if isinstance(data[MARK], str) else None
        if kind is None:
            raise LostError(f"is of a kind that this otrainer does not know: {data[MARK]!r}")
        beside = kind.parts(fresh) if kind.fits(fresh) else {}
        parts = {name: self.decode(item, beside.get(name, Missing)) for name, item in data.items() if name != MARK}
        made = kind.make(parts)
        moved = isinstance(made, torch.Tensor) and torch.device(parts.get("device", "cpu")).type != "cpu"
        return move(made, self._device) if moved else made


def move(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Return a tensor on a device, as the leaf that it was."""
    moved = tensor.detach().to(device)
    is_parameter = isinstance(tensor, torch.nn.Parameter)
    return (
        torch.nn.Parameter(moved, tensor.requires_grad) if is_parameter else moved.requires_grad_(tensor.requires_grad)
    )


def child(fresh: Any, key: Any) -> Any:
    """Return what a mapping or list has by a key or index, Missing where it has nothing."""
    if isinstance(fresh, dict):
        return fresh.get(key, Missing)
    if isinstance(fresh, list | tuple) and isinstance(key, int) and key < len(fresh):
        return fresh[key]
    return Missing
