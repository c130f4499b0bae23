"""Epochs of batches whose order and randomness are a function of the seed and the epoch, whoever wrote the loader."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

from otrainer.engine.data.announce import announce_epoch
from otrainer.engine.data.changes import Copied
from otrainer.engine.data.collate import delivered, explain
from otrainer.engine.data.generators import Generators
from otrainer.engine.data.not_kept import NotKept
from otrainer.engine.data.position import check_first, converted, facts_of
from otrainer.engine.data.reach import reached
from otrainer.engine.data.rejoined import END, Rejoined
from otrainer.engine.data.saved import SavedData, check_same_kind, is_at_end, stateful_part, used_up
from otrainer.engine.data.sizes import batches_in_epoch, samples_in_batch
from otrainer.engine.data.told import checked, tell
from otrainer.engine.data.workers import end_workers, has_workers, undisturb, worker_trouble
from otrainer.engine.kept_values import Kept, Room, is_object
from otrainer.engine.seed import RandomStream, derive_seed
from otrainer.engine.tree import count_samples
from otrainer.protocols import CountsSamples, EpochLoader, Stateful

__all__ = ["Loader", "worker_trouble"]
log = logging.getLogger("otrainer")


class Beside(Protocol):
    """What is read beside training, of which a checkpoint of the training data holds the state."""

    def stand_apart(self, others: Generators) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Loader:
    """A user's loader, asked for again each epoch where it hands out an iterator that is used up after one."""

    def __init__(self, make: Callable[[], Iterable[Any] | None], *, seed: int, stage: str) -> None:
        self._seed = derive_seed(seed, "data", stage)
        self._make, self._stage = make, stage
        self._had_some = False
        self._used = False
        self._batches: Iterator[Any] = iter(())
        self._at_end = False  # whether the epoch was at its end already when it was gone on with
        self._stream: RandomStream | None = None
        self._saved: SavedData | None = None
        self._epoch: int | None = None
        self._first: int | None = None  # samples in the first batch of the epoch, once it is read
        self._beside: Beside | None = None
        self._not_kept: NotKept | None = None
        with RandomStream(self._seed):
            self._loader = undisturb(explain(checked(make(), stage)))
        self._generators = Generators(self._loader)
        self._beginning = self._generators.state()
        tell(self._loader, stage)

    def __bool__(self) -> bool:
        return self._loader is not None

    def by_name(self) -> dict[str, Loader]:
        """Return the loaders that this is, by name; one that is alone has none."""
        return {"": self}

    def take_along(self, other: Beside, module: Any) -> None:
        """Keep the state of the other stage's loader with this one's, and of generators that the data module holds."""
        self._beside = other
        self._generators = Generators((self._loader, module))
        self._beginning = self._generators.state()
        other.stand_apart(self._generators)
        if stateful_part(self._loader) is None and not isinstance(module, Stateful):
            self._not_kept = NotKept(self._loader, module)

    def stand_apart(self, others: Generators) -> None:
        """Leave to `others` the generators that they follow too."""
        self._generators = Generators(self._loader, apart_from=others)
        self._beginning = self._generators.state()

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

    def peek(self, epoch: int, most: int = 1) -> list[Any]:
        """Return the first batches of an epoch, as many as there are up to `most`, and be as if nobody had asked."""
        with self.peeking(epoch, most) as batches:
            return list(batches)

    @contextmanager
    def peeking(self, epoch: int, most: int | None) -> Iterator[Iterator[Any]]:
        """Hand out the first batches of an epoch, up to `most` or all; after it be as if nobody had asked."""
        part, held = stateful_part(self._loader), Generators((self._loader, getattr(self._make, "__self__", None)))
        state, before = None if part is None else part.state_dict(), held.state()
        kept = (self._saved, self._epoch, self._beginning, self._stream, self._first)
        is_once = isinstance(self._loader, Iterator)  # it gets back what was taken from it, and goes on from there
        objects = [] if is_once else [Kept(each, Room()) for _, each in reached(self._loader) if is_object(each)]
        try:
            yield islice(self._peeked(most) if is_once else self.epoch(epoch), most)
        finally:
            self._saved, self._epoch, self._beginning, self._stream, self._first = kept
            self._batches = iter(())
            if part is not None and state is not None:
                part.load_state_dict(state)
            for each in objects:
                each.put_back()
            held.load(before)

    def _peeked(self, most: int | None) -> Iterator[Any]:
        """Yield the first batches of another iterator; where there is but one, it gets back what was taken from it."""
        once = self._loader
        with RandomStream(self._seed):
            other = iter(self._make() or ())
            taken = list(islice(other, most))
        if other is once:
            self._loader = Rejoined(taken, other)
        yield from taken

    def state_dict(self) -> dict[str, Any]:
        """Return how far a stateful loader was read, and where the generators stand that loader and data hold."""
        if self._not_kept is not None:
            self._not_kept.tell()
        part, saved = stateful_part(self._loader), self._saved
        state = {
            "part": None if part is None else part.state_dict(),
            "stream": None if part is None or self._stream is None else self._stream.state_dict(),
            "epoch": self._epoch,
            "generators": {"beginning": self._beginning, "now": self._generators.state()},
            "facts": self._facts(),
            "beside": None if self._beside is None else self._beside.state_dict(),
            "at_end": part is not None and (self._at_end or is_at_end(self._batches)),
        }
        # Nothing was read since: it stands where the checkpoint has it.
        return state if saved is None else {**state, **saved.unread()}

    def _facts(self) -> dict[str, Any]:
        """Return what a position depends on, with the size of the first batch where that was only seen."""
        facts = facts_of(self._loader, self._seed)
        return facts if facts.get("first") is not None else {**facts, "first": self._first}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go on from what `state_dict` gave. Raises ConfigError where the loader cannot."""
        saved, part = SavedData.of(state), stateful_part(self._loader)
        check_same_kind(saved, part)
        if part is not None:
            part.load_state_dict(saved.part)
        self._generators.check(saved.generators["beginning"], saved.generators["now"])
        saved.went_on()
        self._saved, self._first = saved, (saved.facts or {}).get("first")
        if self._beside is not None and saved.beside is not None:
            self._beside.load_state_dict(saved.beside)

    def position(self, done: int) -> int:
        """Return where to go on after `done` batches of the checkpoint that was loaded: at which batch of now.

        Raises ConfigError where batch size, order or length of the data changed so that it is at none.
        """
        saved = self._saved
        if saved is None or saved.facts is None or done == 0:
            return done
        return converted(saved.facts, facts_of(self._loader, self._seed), done, is_stateful=self.is_stateful)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Return the batches of an epoch from number `start` on; none where there is no loader."""
        loader = self._loader
        if loader is None:
            return iter(())
        saved, self._saved = self._saved, None
        self._generators.look()
        if saved is not None:
            self._generators.load(saved.generators_before(epoch))
        self._epoch, self._beginning = epoch, self._generators.state()
        if isinstance(loader, EpochLoader):
            if hasattr(loader, "position_facts") or isinstance(loader, CountsSamples):
                return loader.iterate_epoch(seed=self._seed, epoch=epoch, start=start)
            return self._looked_at(loader, epoch, start, saved)
        announce_epoch(loader, epoch)
        if isinstance(loader, Sequence):
            return map(loader.__getitem__, range(start, len(loader)))
        return self._read(epoch, start, saved)

    def _looked_at(self, loader: EpochLoader, epoch: int, start: int, saved: SavedData | None) -> Iterator[Any]:
        """Yield an epoch of a loader that says nothing of its batches, once its first one is seen."""
        if start:
            with RandomStream(0):
                again = iter(loader.iterate_epoch(seed=self._seed, epoch=epoch, start=0))
                self._see_first(next(again, None), start, saved)
            self._generators.load(self._beginning)
        batches = iter(loader.iterate_epoch(seed=self._seed, epoch=epoch, start=start))
        if not start and (first := next(batches, END)) is not END:
            self._see_first(first, start, saved)
            yield first
        yield from batches

    def _see_first(self, batch: Any, start: int, saved: SavedData | None) -> None:
        """Note how many samples the first batch of an epoch has; raise ConfigError where a resume had others."""
        self._first = count_samples(batch)
        if start and saved is not None and saved.facts is not None:
            now = self._facts()
            if saved.facts.get("batch_size") == now.get("batch_size"):
                check_first(saved.facts, now, start)

    def give_up(self) -> None:
        """Nobody asks for another batch: workers end now, for which torch would wait until they have theirs."""
        reading = getattr(self._loader, "reading", self._batches)
        for worker in getattr(reading, "_workers", ()):
            worker.terminate()

    def close(self) -> None:
        """Let the workers end while all that they are told by is there; later it may be taken down in any order."""
        reading = getattr(self._loader, "reading", self._batches)
        if callable(end := getattr(reading, "_shutdown_workers", None)):
            end()

    def _read(self, epoch: int, start: int, saved: SavedData | None) -> Iterator[Any]:
        """Yield an epoch of a loader that only runs through, with randomness of its own so that it can be repeated."""
        self._stream = stream = RandomStream(derive_seed(self._seed, epoch))
        self._at_end = False
        self._batches = batches = stream.call(self._fresh, epoch)
        read = start
        if saved is not None and saved.is_inside(epoch, start) and (went_on := saved.went_on()) is not None:
            # What is drawn to begin an epoch was drawn before its state was kept.
            self._stream = stream = went_on
            self._generators.load(saved.generators["now"])
            if saved.at_end:
                self._at_end = True
                return
        elif self._skips(stream, batches, start, saved):
            return
        copied = Copied(self._loader.dataset) if has_workers(self._loader) else None
        while (batch := stream.call(next, batches, END)) is not END:
            read += 1
            if read == 1:
                self._see_first(batch, 0, None)
            yield delivered(batch)
        if copied is not None:
            copied.tell(self._loader)
        if read == 0 and saved is not None and saved.part is not None:
            # It was saved at the end of an epoch, and went on from there: the end came once more.
            self._generators.load(self._beginning)
            yield from self._read(epoch, 0, None)
            return
        self._check_some(epoch, read)

    def _skips(self, stream: RandomStream, batches: Iterator[Any], start: int, saved: SavedData | None) -> bool:
        """Read the batches before `start` again; return whether the epoch ended with them."""
        if start:
            log.warning(
                "the training data (%s) can only be read from the beginning; batches read again to go on from there: "
                "%d. A dataset with state_dict() and load_state_dict() goes on at once.",
                type(self._loader).__name__,
                start,
            )
        for number in range(start):
            if (batch := stream.call(next, batches, END)) is END:
                return True
            if number == 0:
                self._see_first(batch, start, saved)
        return False

    def _check_some(self, epoch: int, read: int) -> None:
        """Raise ConfigError where an epoch had no batch, and one before it had some."""
        if read == 0 and self._had_some:
            raise used_up(self._stage, epoch)
        self._had_some = self._had_some or read > 0

    def _fresh(self, epoch: int) -> Iterator[Any]:
        # An iterator of a later epoch is made in that epoch's own randomness, after a resume too.
        if self._used or (epoch and isinstance(self._loader, Iterator)):
            self._loader = undisturb(explain(self._make()))
        self._used = isinstance(self._loader, Iterator)
        end_workers(self._loader)
        return iter(self._loader if self._loader is not None else ())
