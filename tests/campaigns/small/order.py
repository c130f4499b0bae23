"""Whether the batches of a training are those that its data hold."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from campaigns.plain.data import field_of
from torch.utils.data import DataLoader

from .draw import Experiment
from .loaders import options_of, samples_of
from .parts import Seen

DRAWN_BY_TORCH = (
    "DataLoader, own generator",
    "DataLoader, own sampler",
    "DataLoader, epochs' sampler",
    "DataLoader, own batches",
)


def order_faults(drawn: Experiment, seen: Seen) -> list[str]:
    """What is wrong with the batches themselves: each sample is there once an epoch, or as torch's own loader has it."""
    epochs = [each for each in seen.train if each]
    ids = [[field_of(batch, "id").tolist() for batch in epoch] for epoch in epochs]
    samples = samples_of(drawn, "train")
    if drawn.loader in DRAWN_BY_TORCH:
        loader = DataLoader(
            range(len(samples)), collate_fn=list, **options_of(drawn.loader, len(samples), drawn.batch_size)
        )
        expected = [list(loader_of_epoch(loader, epoch)) for epoch in range(len(ids))]
        return [] if ids == expected else [f"other batches than torch's: {ids} instead of {expected}"]
    for epoch, batches in enumerate(ids):
        if sorted(chain.from_iterable(batches)) != list(range(len(samples))):
            return [f"not each sample once in epoch {epoch}: {batches}"]
        grown = samples.x * (1 + epoch) if samples.x.is_floating_point() else samples.x
        first = field_of(epochs[epoch][0], "x")
        first = first[:, 0] if drawn.time_first else first[0]
        if drawn.loader == "dataset of epochs" and not torch.equal(first, grown[batches[0][0]]):
            return [f"the dataset was not told that epoch {epoch} begins"]
    return []


def loader_of_epoch(loader: DataLoader[Any], epoch: int) -> DataLoader[Any]:
    if hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)
    return loader
