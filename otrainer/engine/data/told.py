"""What is told of data before anything is trained: what nobody can follow, what comes twice, what starts anew."""

from __future__ import annotations

import inspect
import logging
import random
import sys
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from otrainer.engine.data.generators import is_followed
from otrainer.engine.data.reach import reached
from otrainer.engine.data.workers import Undisturbed
from otrainer.errors import ConfigError
from otrainer.protocols import EpochLoader

log = logging.getLogger("otrainer")


def checked(loader: Any, stage: str) -> Any:
    """Return a loader; raise ConfigError for several ones, and for what no batches can be read from."""
    parts = list(loader.values()) if isinstance(loader, dict) else loader
    if isinstance(parts, list | tuple) and any(isinstance(each, DataLoader | EpochLoader) for each in parts):
        message = f"`{stage}_dataloader` returned a {type(loader).__name__} of {len(loader)} loaders; a run reads one."
    elif loader is None or isinstance(loader, EpochLoader) or hasattr(loader, "__iter__") or is_indexed(loader):
        return loader
    else:
        kind = type(loader).__qualname__
        message = f"`{stage}_dataloader` returned a value of type `{kind}`, from which no batch can be read."
    raise ConfigError(
        message,
        title="not a loader",
        config_path=("data",),
        hint="Return one loader: ConcatDataset makes one dataset of several, and a generator may draw each batch from "
        "several loaders.",
    )


def is_indexed(loader: Any) -> bool:
    return hasattr(type(loader), "__getitem__")


def tell(loader: Any, stage: str) -> None:
    """Warn of what a loader, as a data module returned it, keeps from going on exactly, or from being read once."""
    tell_unfollowed(loader, stage)
    if not isinstance(loader, DataLoader):
        return
    if loader.persistent_workers:
        log.warning(
            "%s_dataloader: its workers are started anew each epoch, in spite of `persistent_workers`: then what they "
            "draw goes by the epoch, and a resume repeats it. `data.dataset` keeps its workers.",
            stage,
        )
    if is_read_by_each_worker(loader):
        log.warning(
            "%s_dataloader: each worker reads all of `%s`, as far as its code shows, so every sample comes %d times: "
            "split it by torch.utils.data.get_worker_info(), or set `splits_among_workers = True` if it is split.",
            stage,
            type(loader.dataset).__name__,
            loader.num_workers,
        )


def tell_unfollowed(loader: Any, stage: str) -> None:
    """Warn of what draws numbers that no resume can repeat."""
    workers = None if isinstance(loader, DataLoader) else getattr(loader, "num_workers", None)
    for path, each in reached(loader):
        if isinstance(each, random.SystemRandom):
            log.warning(
                "%s_dataloader: `%s` draws from the system, so a resumed run gets other numbers: use "
                "`random.Random(seed)`, or the global generators, which the run's seed decides.",
                stage,
                path,
            )
        elif type(workers) is int and workers > 0 and is_followed(each):
            log.warning(
                "%s_dataloader: `%s` is a generator in workers of a `%s`, where it cannot be followed: return torch's "
                "DataLoader, or give the loader `state_dict()` and `load_state_dict(state)`.",
                stage,
                path,
                type(loader).__name__,
            )


def is_read_by_each_worker(loader: DataLoader[Any]) -> bool:
    """Return whether several workers read all of an iterable dataset, as far as code and marks show."""
    if loader.num_workers < 2 or not isinstance(loader.dataset, IterableDataset):
        return False
    own = loader.worker_init_fn.then if isinstance(loader.worker_init_fn, Undisturbed) else loader.worker_init_fn
    return own is None and not any(splits(each) for _, each in reached(loader.dataset) if hasattr(each, "__iter__"))


def splits(part: Any) -> bool:
    """Return whether a dataset says that it splits itself, or its module, if it is the user's, speaks of workers."""
    if getattr(part, "splits_among_workers", False):
        return True
    module = sys.modules.get(type(part).__module__)
    if module is None or type(part).__module__.partition(".")[0] in ("torch", "builtins", "otrainer"):
        return False
    try:
        return "worker_info" in inspect.getsource(module) or "site-packages" in (inspect.getsourcefile(module) or "")
    except (OSError, TypeError):
        return True
