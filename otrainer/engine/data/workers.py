"""Data workers hear no signal that is meant for training, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import DataLoader

from otrainer.diagnostics.redaction.streams import conceal
from otrainer.diagnostics.redaction.values import known

LOOK_S = 0.5


@dataclass(frozen=True)
class Undisturbed:
    """A `worker_init_fn` that leaves signals to the process that trains, and `then` does what another one does.

    Ctrl-C and a batch system's SIGTERM reach every process of a training. Workers that end by it, as torch's would,
    take the batch along for which the last step is waiting, and so the checkpoint. Nor do they print `secrets`, which a
    worker that is no fork does not know.
    """

    then: Callable[[int], Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=lambda: known().values, repr=False)

    def __call__(self, worker_id: int) -> None:
        conceal(self.secrets)
        loader = multiprocessing.parent_process()
        if loader is not None and hasattr(signal, "sigtimedwait"):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            threading.Thread(target=attend, args=(loader.pid, os.getppid()), daemon=True).start()
        if self.then is not None:
            self.then(worker_id)


def attend(loader: int, parent: int) -> None:
    """End this process once `loader` itself terminates it, or `parent` is gone."""
    while os.getppid() == parent:
        told = signal.sigtimedwait({signal.SIGTERM}, LOOK_S)
        if told is not None and told.si_pid == loader:
            break
    os._exit(0)


def undisturb(loader: Any) -> Any:
    """Let the workers of a DataLoader, if it has any, be undisturbed; the loader."""
    if isinstance(loader, DataLoader) and loader.num_workers and not isinstance(loader.worker_init_fn, Undisturbed):
        loader.worker_init_fn = Undisturbed(loader.worker_init_fn)
    return loader
