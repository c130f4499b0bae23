"""The last step's end: what a step that fails half-way has changed besides, so that it can be put back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

from otrainer.engine.attributes import Attributes, owners
from otrainer.engine.kept_tensors import Allowance, Tensors, refill
from otrainer.engine.seed import numpy_random

if TYPE_CHECKING:
    from torch import nn

MOST_BYTES = 16 * 2**20  # of buffers and frozen parameters that are copied
RARELY = 1024  # steps after which what steps change is learnt again, at the latest
BETWEEN = "between"
COMPUTING = "computing"
UPDATING = "updating"


class Part(Protocol):
    """What a step may change, as it is now."""

    @property
    def is_whole(self) -> bool: ...
    def is_changed(self, *, waits: bool = True) -> bool: ...
    def renew(self) -> None: ...
    def put_back(self) -> None: ...


class OtherStates:
    """The global states of Python's and numpy's generators, which take ten times as long as torch's."""

    is_whole = True

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._python = random.getstate()
        self._numpy: Any = None if numpy_random is None else numpy_random.get_state()

    def is_changed(self, *, waits: bool = True) -> bool:
        if random.getstate() != self._python:
            return True
        if numpy_random is None:
            return False
        kind, words, *rest = numpy_random.get_state()
        return bool(kind != self._numpy[0] or rest != list(self._numpy[2:]) or (words != self._numpy[1]).any())

    def put_back(self) -> None:
        random.setstate(self._python)
        if numpy_random is not None:
            numpy_random.set_state(self._numpy)


class Boundary:
    """Where the run stands in a step, with all that a step may change as it was at the last step's end.

    These are random states, buffers, frozen parameters, and attributes of modules, of the loss and of the io. Gradients
    do not matter: they are cleared. Trained parameters change in the optimizer's step alone, during which there is no
    way back.

    Copies are taken with each step of what steps are known to change, and of all else when an epoch begins. What else
    was changed meanwhile is found when a step fails: then nobody knows which step it was, and there is no way back.
    """

    def __init__(self, modules: Sequence[nn.Module], device: torch.device, others: Sequence[Any] = ()) -> None:
        self.phase = BETWEEN
        self._modules, self._others, self._on_cuda = modules, others, device.type == "cuda"
        self._steps = 0
        self._known: set[tuple[type, int]] = set()
        self._moving: list[Part] = []
        self._still: list[Part] = []

    def begin_epoch(self) -> None:
        """Take in all that there is, between two steps."""
        allowance = Allowance(MOST_BYTES)
        tensors = [Tensors(module, allowance) for root in self._modules for module in root.modules()]
        attributes = [Attributes(owner) for owner in owners((*self._modules, *self._others))]
        self._still, self._moving, self._steps = [*tensors, *attributes, OtherStates()], [], 0
        self._sort(lambda part: key_of(part) in self._known)

    def _sort(self, moves: Any) -> None:
        """Take the copies of parts that steps change with each step from now on."""
        for part in self._still:
            if moves(part):
                self._moving.append(part)
                self._known.add(key_of(part))
        self._still = [part for part in self._still if key_of(part) not in self._known]

    def mark(self) -> None:
        """Say that a step begins, with everything as it is now."""
        self.phase = COMPUTING
        self._torch = torch.default_generator.get_state()
        if self._on_cuda:
            self._cuda = torch.cuda.get_rng_state_all()
        if self._moving:
            self._renew()

    def _renew(self) -> None:
        """Take the copies of what steps change."""
        copies: list[torch.Tensor] = []
        sources: list[torch.Tensor] = []
        for part in self._moving:
            if isinstance(part, Tensors):
                mine, its = part.pairs()
                copies += mine
                sources += its
            else:
                part.renew()
        refill(copies, sources)

    def reach(self) -> None:
        """Say that the step is done and counted."""
        self.phase = BETWEEN
        self._steps += 1
        if self._steps & (self._steps - 1) == 0 or self._steps % RARELY == 0:
            self._sort(lambda part: part.is_changed(waits=False))

    def go_back(self) -> bool:
        """Put back what an unfinished step changed; return whether the run stands at a step's end now."""
        if self.phase != COMPUTING:
            return self.phase == BETWEEN
        changed = [part for part in self._still if part.is_changed()]
        if (changed and self._steps) or any(not part.is_whole for part in self._moving if part.is_changed()):
            return False
        if not all(part.is_whole for part in changed):
            return False
        torch.set_rng_state(self._torch)
        if self._on_cuda:
            torch.cuda.set_rng_state_all(self._cuda)
        for part in (*self._moving, *changed):
            part.put_back()
        self.phase = BETWEEN
        return True


def key_of(part: Part) -> tuple[type, int]:
    """Return what tells a part from others, from epoch to epoch."""
    return type(part), id(getattr(part, "owner", None))
