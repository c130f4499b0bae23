"""Generators that loaders, samplers and datasets hold themselves: their state as plain data, and seeds by batch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from otrainer.engine.data.reach import reached
from otrainer.engine.seed import derive_seed

try:
    import numpy as np
except ImportError:  # torch and otrainer work without it
    np = None  # type: ignore[assignment]

NUMPY: tuple[type, ...] = () if np is None else (np.random.Generator, np.random.RandomState)
ARRAYS: tuple[type, ...] = () if np is None else (np.ndarray,)
KINDS: tuple[type, ...] = (torch.Generator, random.Random, *NUMPY)


class Scratch(torch.Generator):
    """A generator whose state is nobody's: what is drawn from it decides nothing."""


def is_followed(value: Any) -> bool:
    """Return whether a value is a generator of somebody's own; the global ones are followed by `RandomStream`."""
    if not isinstance(value, KINDS) or isinstance(value, Scratch | random.SystemRandom):
        return False
    return value is not torch.default_generator and value is not getattr(np and np.random.mtrand, "_rand", None)


def get_state(generator: Any) -> Any:
    """Return a generator's state as its own library has it."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.bit_generator.state


def set_state(generator: Any, state: Any) -> None:
    """Put a generator to where `get_state` found it."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def reseed(generator: Any, seed: int) -> None:
    """Let a generator begin from a seed, whatever it drew before."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, random.Random):
        generator.seed(seed)
    elif isinstance(generator, np.random.RandomState):
        kind = getattr(np.random, generator.get_state(legacy=False)["bit_generator"])
        generator.set_state({**kind(seed).state, "has_gauss": 0, "gauss": 0.0})
    else:
        generator.bit_generator.state = type(generator.bit_generator)(seed).state


def as_plain(state: Any) -> Any:
    """Return a generator's state as a checkpoint takes it: arrays and tuples of words as tensors that say so."""
    if isinstance(state, tuple):
        if len(state) > 8 and all(isinstance(word, int) for word in state):
            return {"words": torch.tensor(state, dtype=torch.int64)}
        return {"tuple": [as_plain(item) for item in state]}
    if isinstance(state, Mapping):
        return {"mapping": {key: as_plain(item) for key, item in state.items()}}
    if np is not None and isinstance(state, np.ndarray):
        return {"array": torch.from_numpy(state.astype(np.int64)), "dtype": str(state.dtype)}
    return state


def from_plain(state: Any) -> Any:
    """Return what `as_plain` was given."""
    if not isinstance(state, dict):
        return state
    if "words" in state:
        return tuple(state["words"].tolist())
    if "tuple" in state:
        return tuple(from_plain(item) for item in state["tuple"])
    if "array" in state:
        return state["array"].cpu().numpy().astype(state["dtype"])
    return {key: from_plain(item) for key, item in state["mapping"].items()}


def mark_of(generator: Any) -> str:
    """Return a text that two generators share which are about to give the same numbers."""
    state = as_plain(get_state(generator))
    return f"{type(generator).__name__} {listed(state)}"


def listed(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: listed(item) for key, item in state.items()}
    if isinstance(state, list):
        return [listed(item) for item in state]
    return state.tolist() if isinstance(state, torch.Tensor) else state


class Generators:
    """The generators that something leads to, by the path to each."""

    def __init__(self, root: Any, apart_from: Generators | None = None) -> None:
        self._root = root
        self._others = apart_from
        self._twins: dict[str, str] = {}
        self.found: dict[str, Any] = {}
        self.look()
        self._pair()

    def __bool__(self) -> bool:
        return bool(self.found)

    def look(self) -> bool:
        """Look for them again; return whether there are others than before."""
        before = list(self.found.values())
        taken = {id(each) for each in self._others.found.values()} if self._others is not None else set()
        self.found = {path: each for path, each in reached(self._root) if is_followed(each) and id(each) not in taken}
        return [id(each) for each in before] != [id(each) for each in self.found.values()]

    def _pair(self) -> None:
        """Note which ones began alike: an image and its mask, say, are to be turned by the same numbers."""
        marks: dict[str, str] = {}
        for path, each in self.found.items():
            self._twins[path] = marks.setdefault(mark_of(each), path)

    def state(self) -> dict[str, Any]:
        """Return where each stands, as plain data."""
        return {path: {"kind": type(each).__name__, "state": as_plain(get_state(each))} for path, each in self.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put each to where `state` has it; those that it does not have stay as they are."""
        for path, each in self.items():
            kept = state.get(path)
            if kept is not None and kept["kind"] == type(each).__name__:
                set_state(each, from_plain(kept["state"]))

    def check(self, *states: Mapping[str, Any]) -> None:
        """Raise what a generator raises of a state that it cannot be put to; all stay where they are."""
        before = self.state()
        try:
            for state in states:
                self.load(state)
        finally:
            self.load(before)

    def items(self) -> Iterator[tuple[str, Any]]:
        return iter(self.found.items())

    def reseed(self, seed: int) -> None:
        """Let each begin from a function of `seed` and of its path; those that began alike stay so."""
        for path, each in self.items():
            reseed(each, derive_seed(seed, "generator", self._twins.get(path, path)))

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Let them begin from `seed` for the block, and put them back after it."""
        kept = [(each, get_state(each)) for each in self.found.values()]
        self.reseed(seed)
        try:
            yield
        finally:
            for each, state in kept:
                set_state(each, state)
