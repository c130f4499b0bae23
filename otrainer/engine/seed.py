"""Randomness by name: every stream is a function of the run's seed, and global generators are put back as found."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from otrainer.storage import process_memory

try:
    import numpy as np
except ImportError:  # torch and otrainer work without it
    np = None  # type: ignore[assignment]

numpy_random: Any = None if np is None else np.random  # its stubs leave out the exchange of bit generators
T = TypeVar("T")


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream `names` of a run; the same on every machine, far from every other one's."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed torch (CPU, and CUDA where it is in use), numpy where it is installed, and Python's `random`."""
    # torch.manual_seed costs a hundred times as much, for backends that it looks for each time.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if hasattr(torch, "mps") and torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    random.seed(seed)
    if np is not None:
        np.random.seed(seed % 2**32)


def random_state() -> dict[str, Any]:
    """Return the state of every global generator as tensors and plain values, as a `weights_only` load takes them."""
    version, words, gauss = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if np is not None:
        kind, keys, position, has_gauss, cached = np.random.get_state()
        state["numpy"] = {
            "kind": str(kind),
            "words": torch.from_numpy(np.asarray(keys).astype("int64")),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(cached),
        }
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put every global generator back to what `random_state` returned; a CUDA state for other devices is left out."""
    torch.set_rng_state(state["torch"].cpu())
    python = state["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
    if "numpy" in state and np is not None:
        kept = state["numpy"]
        words = kept["words"].cpu().numpy().astype("uint32")
        np.random.set_state((kept["kind"], words, kept["position"], kept["has_gauss"], kept["gauss"]))


class RandomStream:
    """Global generators of its own: entered, they are the process's; left, the former ones are put back as they were.

    Entered again, it goes on where it was left.
    """

    def __init__(self, seed: int) -> None:
        self._seed: int | None = seed
        # Exchanging numpy's bit generator takes under a microsecond, reading and setting its state 150.
        self._numpy = np.random.MT19937(0) if np is not None else None

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands, as plain data."""
        return self.call(random_state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.call(set_random_state, state)

    def reseed(self, seed: int) -> RandomStream:
        """Begin the stream anew, from `seed`, at the next entry."""
        self._seed = seed
        return self

    def __enter__(self) -> RandomStream:
        self._outer = self._get()
        self._exchange_numpy()
        if self._seed is None:
            self._set(self._own)
        else:
            seed_everything(self._seed)
            self._seed = None
        return self

    def __exit__(self, *_: object) -> None:
        self._own = self._get()
        self._set(self._outer)
        self._exchange_numpy()

    def _exchange_numpy(self) -> None:
        if np is not None:
            outer = numpy_random.get_bit_generator()
            numpy_random.set_bit_generator(self._numpy)
            self._numpy = outer

    @staticmethod
    def _get() -> tuple[Any, ...]:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        return torch.get_rng_state(), random.getstate(), cuda

    @staticmethod
    def _set(state: tuple[Any, ...]) -> None:
        torch.set_rng_state(state[0])
        random.setstate(state[1])
        if state[2] is not None:
            torch.cuda.set_rng_state_all(state[2])

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)` with the stream as the global state."""
        with self:
            return function(*args)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Global generators seeded for the block and put back after it."""
    spare: list[RandomStream] = process_memory.get("random_streams", list)
    stream = spare.pop().reseed(seed) if spare else RandomStream(seed)
    try:
        with stream:
            yield
    finally:
        spare.append(stream)
