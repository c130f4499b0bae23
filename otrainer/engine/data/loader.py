"""Epochs of batches whose order and randomness are a function of the seed and the epoch, whoever wrote the loader."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from torch.utils.data import IterableDataset

from otrainer.engine.data.sizes import batches_in_epoch, samples_in_batch
from otrainer.engine.data.workers import undisturb
from otrainer.engine.seed import RandomStream, derive_seed
from otrainer.errors import ConfigError
from otrainer.protocols import EpochLoader, Stateful

log = logging.getLogger("otrainer")


class Loader:
    """A user's loader, asked for again each epoch where it hands out an iterator that is used up after one."""

    def __init__(self, make: Callable[[], Iterable[Any] | None], *, seed: int, stage: str) -> None:
        self._seed = derive_seed(seed, "data", stage)
        self._make = make
        self._used = False
        self._peeked: Iterator[Any] | None = None
        self._batches: Iterator[Any] = iter(())
        self._stream: RandomStream | None = None
        self._went_on: RandomStream | None = None
        with RandomStream(self._seed):
            self._loader = undisturb(make())

    def __bool__(self) -> bool:
        return self._loader is not None

    @property
    def is_stateful(self) -> bool:
        """Whether it says itself how far it was read."""
        return stateful_part(self._loader) is not None

    def samples(self, number: int) -> int | None:
        """Return how many samples batch `number` of an epoch holds, where the loader knows; it may be of any epoch."""
        return samples_in_batch(self._loader, number)

    def batches(self) -> int | None:
        """Return how many batches an epoch has, where that is sure; 0 where there is no loader."""
        return batches_in_epoch(self._loader) if self else 0

    def state_dict(self) -> dict[str, Any] | None:
        """Return how far a stateful loader was read; None for any other, which begins where the batches' count says."""
        part = stateful_part(self._loader)
        if part is None:
            return None
        return {"part": part.state_dict(), "stream": self._stream and self._stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go on from what `state_dict` gave. Raises ConfigError where the loader cannot."""
        part = stateful_part(self._loader)
        if (part is None) != (state is None):
            has, had = ("has none" if part is None else "has one"), ("none" if state is None else "one")
            message = f"The checkpoint holds {had} of the training data's own state, and the data of this config {has}."
            hint = "Resume with the data that it was saved with, or train from the start."
            raise ConfigError(message, title="data does not match the checkpoint", config_path=("data",), hint=hint)
        if part is not None and state is not None:
            part.load_state_dict(state["part"])
            if state["stream"] is not None:
                self._went_on = RandomStream(0)
                self._went_on.load_state_dict(state["stream"])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Return the batches of an epoch from number `start` on; none where there is no loader."""
        peeked, self._peeked = self._peeked, None
        if peeked is not None:
            return peeked
        loader = self._loader
        if loader is None:
            return iter(())
        if isinstance(loader, EpochLoader):
            self._batches = loader.iterate_epoch(seed=self._seed, epoch=epoch, start=start)
            return self._batches
        announce_epoch(loader, epoch)
        if isinstance(loader, Sequence):
            return map(loader.__getitem__, range(start, len(loader)))
        beginning = self._stream = RandomStream(derive_seed(self._seed, epoch))
        went_on, self._went_on = self._went_on, None
        if went_on is not None and start:
            # What is drawn to begin an epoch was drawn before its state was kept.
            self._stream, start = went_on, 0
        if start:
            log.warning(
                "the training data (%s) can only be read from its beginning: %d batches are read again to go on from "
                "there. A dataset with state_dict() and load_state_dict() goes on at once.",
                type(loader).__name__,
                start,
            )
        return self._replayed(beginning, self._stream, start)

    def peek(self, epoch: int) -> Any:
        """Return the first batch of an epoch, which `epoch` gives again; None where there is none."""
        batches = self.epoch(epoch)
        first = next(batches, END)
        if isinstance(self._loader, Iterator):  # which could not be asked for it a second time
            self._peeked = chain(() if first is END else (first,), batches)
        return None if first is END else first

    def give_up(self) -> None:
        """Nobody asks for another batch: workers end now, for which torch would wait until they have theirs."""
        for worker in getattr(self._batches, "_workers", ()):
            worker.terminate()

    def _replayed(self, beginning: RandomStream, stream: RandomStream, start: int) -> Iterator[Any]:
        """Yield an epoch of a loader that only runs through, with randomness of its own so that it can be repeated."""
        self._batches = batches = beginning.call(self._fresh)
        for _ in range(start):
            if stream.call(next, batches, END) is END:
                return
        while (batch := stream.call(next, batches, END)) is not END:
            yield batch

    def _fresh(self) -> Iterator[Any]:
        if self._used:
            self._loader = undisturb(self._make())
        self._used = isinstance(self._loader, Iterator)
        return iter(self._loader if self._loader is not None else ())


def stateful_part(loader: Any) -> Stateful | None:
    """Return what knows how far a loader was read: itself, or the iterable dataset of a DataLoader without workers."""
    dataset = getattr(loader, "dataset", None) if getattr(loader, "num_workers", 0) == 0 else None
    stream = (dataset, getattr(dataset, "samples", None)) if isinstance(dataset, IterableDataset) else ()
    for part in (loader, *stream):
        if isinstance(part, Stateful) and not isinstance(part, EpochLoader):
            return part
    return None


@contextmanager
def worker_trouble() -> Iterator[None]:
    """Let what torch says of a data worker that died, or hangs, be a ConfigError that says what to do.

    It may say so anywhere: the death of a child is a signal, whatever this process is at.
    """
    try:
        yield
    except RuntimeError as cause:
        if not str(cause).startswith("DataLoader"):
            raise
        raise ConfigError(
            f"{str(cause).strip().splitlines()[0].rstrip('.')}.",
            title="data worker failed",
            config_path=("data",),
            hint="Memory may have run out: fewer workers need less. With `num_workers: 0` errors show where they come "
            "from; `timeout` is how long a batch may take.",
        ) from cause


END = object()


def announce_epoch(loader: Any, epoch: int) -> None:
    """Tell samplers that shuffle by epoch which one comes, as torch's DistributedSampler wants it."""
    for part in (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        set_epoch = getattr(part, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)
