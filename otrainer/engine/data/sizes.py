"""How much a loader gives in an epoch, as far as that is sure before anything is read."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from otrainer.protocols import CountsSamples, EpochLoader


def samples_in_batch(loader: Any, number: int) -> int | None:
    """Return how many samples batch `number` of an epoch holds; None where only the batch itself could tell."""
    return loader.samples_in(number) if isinstance(loader, CountsSamples) else None


def batches_in_epoch(loader: Any) -> int | None:
    """Return how many batches an epoch has; None where the loader does not know, or only guesses as streams do."""
    if isinstance(loader, DataLoader):
        known = not isinstance(loader.dataset, IterableDataset)
    else:
        known = isinstance(loader, Sequence | EpochLoader) and isinstance(loader, Sized)
    try:
        return len(loader) if known else None
    except (TypeError, NotImplementedError):  # a sampler without a length
        return None
