"""Data workers hear no signal that is meant for training, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import DataLoader, get_worker_info

from otrainer.diagnostics.redaction.streams import conceal
from otrainer.diagnostics.redaction.values import known
from otrainer.engine.data.generators import Generators
from otrainer.errors import ConfigError
from otrainer.storage import process_memory
from otrainer.storage.processes import WARNED

LOOK_S = 0.5


def called_first() -> Callable[[], None] | None:
    """Return what a data worker that is made ready now calls before all else, if anything."""
    first: Callable[[], None] | None = process_memory.get("called_first", lambda: None)
    return first


@dataclass(frozen=True)
class Undisturbed:
    """A `worker_init_fn` that leaves signals to the process that trains, and `then` does what another one does.

    Ctrl-C, a closed terminal and a batch system's SIGTERM reach every process of a training. Workers that end by it, as
    torch's would, take the batch along for which the last step is waiting, and so the checkpoint. Nor do they print
    `secrets`, which a worker that is no fork does not know. `first` is called before all else.

    Generators that the dataset or `collate` holds begin from the worker's own seed: as copies, they would give the same
    numbers in each worker and in each epoch.
    """

    then: Callable[[int], Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=lambda: known().values, repr=False)
    collate: Any = field(default=None, repr=False)
    first: Callable[[], None] | None = field(default_factory=called_first, repr=False)

    def __call__(self, worker_id: int) -> None:
        if self.first is not None:
            self.first()
        conceal(self.secrets)
        loader = multiprocessing.parent_process()
        if loader is not None and hasattr(signal, "sigtimedwait"):
            for signum in (signal.SIGINT, *WARNED):
                signal.signal(signum, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=attend, args=(loader.pid, os.getppid()), daemon=True).start()
        info = get_worker_info()
        if info is not None:
            Generators((info.dataset, self.collate)).reseed(info.seed)
        if self.then is not None:
            self.then(worker_id)


@contextmanager
def workers_call(first: Callable[[], None]) -> Iterator[None]:
    """Let data workers that are made ready within call `first`, which is pickled for those that are no forks."""
    process_memory.put("called_first", first)
    try:
        yield
    finally:
        process_memory.forget("called_first")


def attend(loader: int, parent: int) -> None:
    """End this process once `loader` itself terminates it, or `parent` is gone."""
    while os.getppid() == parent:
        told = signal.sigtimedwait({signal.SIGTERM}, LOOK_S)
        if told is not None and told.si_pid == loader:
            break
    os._exit(0)


def undisturb(loader: Any) -> Any:
    """Let the workers of a DataLoader, if it has any, be undisturbed; the loader."""
    if has_workers(loader) and not isinstance(loader.worker_init_fn, Undisturbed):
        loader.worker_init_fn = Undisturbed(loader.worker_init_fn, collate=loader.collate_fn)
    return loader


def has_workers(loader: Any) -> bool:
    """Return whether a loader is torch's, and lets workers load."""
    return isinstance(loader, DataLoader) and loader.num_workers > 0


def end_workers(loader: Any) -> None:
    """Let workers that stay from epoch to epoch end; the next epoch begins with new ones, and a copy of the data."""
    if isinstance(loader, DataLoader) and loader.persistent_workers:
        loader._iterator = None


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
