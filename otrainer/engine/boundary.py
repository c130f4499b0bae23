"""The last step's end: what a step that fails half-way has changed besides, so that it can be put back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _NormBase

from otrainer.engine.attributes import Attributes, own_modules
from otrainer.engine.seed import numpy_random

if TYPE_CHECKING:
    from torch import nn

MOST_BYTES = 16 * 2**20  # of buffers that are copied with each step
BETWEEN = "between"
COMPUTING = "computing"
UPDATING = "updating"


@dataclass
class Kept:
    """A buffer as a step found it."""

    owner: nn.Module
    name: str
    buffer: torch.Tensor
    version: int
    copy: torch.Tensor | None = None

    @property
    def is_changed(self) -> bool:
        """Whether it is another one, or was written to. Normalisation writes without counting versions."""
        now = self.owner._buffers.get(self.name)
        moves = isinstance(self.owner, _NormBase) and self.owner.training
        return moves or now is not self.buffer or self.buffer._version != self.version

    def renew(self) -> None:
        """Take the copy anew, of the buffer that is there now."""
        now = self.owner._buffers.get(self.name)
        if self.copy is None or now is None or not self.is_changed:
            return
        if now is self.buffer:
            self.copy.copy_(now)
        else:
            self.buffer, self.copy = now, now.detach().clone()
        self.version = now._version


class Boundary:
    """Where the run stands in a step, with random states, buffers and attributes of modules from the last step's end.

    Gradients do not matter: they are cleared. Parameters change in the optimizer's step alone, during which there is no
    way back. Buffers and attributes are copied if steps change them, and while these are small.
    """

    def __init__(self, modules: Sequence[nn.Module], device: torch.device) -> None:
        self.phase = BETWEEN
        self._modules, self._on_cuda = modules, device.type == "cuda"
        self._others_draw: bool | None = None
        self._others: Any = None
        self._all: list[Kept] = []
        self._moving: list[Kept] = []
        self._owners: list[nn.Module] = []
        self._attributes: Attributes | None = None
        self._changing: list[tuple[int, str]] = []

    def look(self) -> None:
        """Take in which buffers there are, and which of them steps have changed since the last look."""
        moved = {(id(kept.owner), kept.name) for kept in self._all if kept.is_changed or kept.copy is not None}
        self._all = [
            Kept(module, name, buffer, buffer._version)
            for root in self._modules
            for module in root.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self._moving = [
            kept
            for kept in self._all
            if (id(kept.owner), kept.name) in moved or (isinstance(kept.owner, _NormBase) and kept.owner.training)
        ]
        if sum(kept.buffer.nbytes for kept in self._moving) > MOST_BYTES:
            self._moving = []
        for kept in self._moving:
            kept.copy = kept.buffer.detach().clone()

    def begin_epoch(self) -> None:
        """Learn anew, from the next step, what steps change."""
        self._others_draw = None
        self._owners = [module for root in self._modules for _, module in own_modules(root)]
        self.look()

    def mark(self) -> None:
        """Say that a step begins, with everything as it is now."""
        self.phase = COMPUTING
        self._torch = torch.get_rng_state()
        if self._on_cuda:
            self._cuda = torch.cuda.get_rng_state_all()
        if self._others_draw is None or self._others_draw:
            self._others = other_states()
        if self._others_draw is None or self._changing:
            self._attributes = Attributes(self._owners, None if self._others_draw is None else self._changing)
        for kept in self._moving:
            kept.renew()

    def reach(self) -> None:
        """Say that the step is done and counted."""
        self.phase = BETWEEN
        if self._others_draw is None:  # after the first step, which tells
            self._others_draw = not same_states(self._others, other_states())
            self._others = None
            self._changing = list(self._attributes.changed()) if self._attributes is not None else []
            self._attributes = None
            self.look()

    def go_back(self) -> bool:
        """Put back what an unfinished step changed; return whether the run stands at a step's end now."""
        if self.phase != COMPUTING:
            return self.phase == BETWEEN
        if any(kept.is_changed and kept.copy is None for kept in self._all):
            return False
        if self._attributes is not None:
            if not self._attributes.whole(self._attributes.changed()):
                return False
            self._attributes.put_back()
        torch.set_rng_state(self._torch)
        if self._on_cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        if self._others is not None:
            set_other_states(self._others)
        for kept in self._moving:
            if kept.copy is not None:
                kept.owner._buffers[kept.name] = kept.buffer
                kept.buffer.copy_(kept.copy)
        self.phase = BETWEEN
        return True


def other_states() -> tuple[Any, Any]:
    """Return the global states of Python's and numpy's generators, which take ten times as long as torch's."""
    return random.getstate(), None if numpy_random is None else numpy_random.get_state()


def set_other_states(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    if numpy_random is not None and states[1] is not None:
        numpy_random.set_state(states[1])


def same_states(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    if one[0] != other[0]:
        return False
    return one[1] is None or bool(one[1][2:] == other[1][2:] and (one[1][1] == other[1][1]).all())
