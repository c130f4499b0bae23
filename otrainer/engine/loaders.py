"""Epochs of batches whose order and randomness are a function of the seed and the epoch, whoever wrote the loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from otrainer.engine.seed import RandomStream, derive_seed


@runtime_checkable
class EpochLoader(Protocol):
    """A loader that can begin anywhere in any epoch without reading what comes before."""

    def iterate_epoch(self, *, seed: int, epoch: int, start: int) -> Iterator[Any]:
        """The batches of `epoch` from number `start` on."""
        ...


class Loader:
    """A user's loader, asked for again each epoch where it hands out an iterator that is used up after one."""

    def __init__(self, make: Callable[[], Iterable[Any] | None], *, seed: int, stage: str) -> None:
        self._seed = derive_seed(seed, "data", stage)
        self._make = make
        self._used = False
        with RandomStream(self._seed):
            self._loader = make()

    def __bool__(self) -> bool:
        return self._loader is not None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch from number `start` on; none where there is no loader."""
        loader = self._loader
        if loader is None:
            return iter(())
        if isinstance(loader, EpochLoader):
            return loader.iterate_epoch(seed=self._seed, epoch=epoch, start=start)
        announce_epoch(loader, epoch)
        if isinstance(loader, Sequence):
            return islice(loader, start, None)
        return self._replayed(RandomStream(derive_seed(self._seed, epoch)), start)

    def _replayed(self, stream: RandomStream, start: int) -> Iterator[Any]:
        """An epoch of a loader that can only be run through: with randomness of its own, so that it can be repeated."""
        batches = stream.call(self._fresh)
        for _ in range(start):
            if stream.call(next, batches, END) is END:
                return
        while (batch := stream.call(next, batches, END)) is not END:
            yield batch

    def _fresh(self) -> Iterator[Any]:
        if self._used:
            self._loader = self._make()
        self._used = isinstance(self._loader, Iterator)
        return iter(self._loader if self._loader is not None else ())


END = object()


def announce_epoch(loader: Any, epoch: int) -> None:
    """Tell samplers that shuffle by epoch which one comes, as torch's DistributedSampler wants it."""
    for part in (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        set_epoch = getattr(part, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)
