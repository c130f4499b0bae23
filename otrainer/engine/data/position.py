"""Where in an epoch a checkpoint stands, in data that may since be cut into other batches, or be others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

from otrainer.errors import ConfigError, ConfigPath
from otrainer.protocols import EpochLoader

IN_ORDER = "sequential"
PLACES: dict[str, ConfigPath] = {
    "seed": ("run", "seed"),
    "batch_size": ("data", "batch_size"),
    "workers": ("data", "num_workers"),
    "order": ("data", "shuffle"),
}
WORDS = {
    "seed": "the seed of the data's order",
    "batch_size": "the batch size",
    "workers": "the number of workers",
    "order": "the order of the samples",
    "samples": "the number of samples",
    "batches": "the number of batches",
}


def facts_of(loader: Any, seed: int) -> dict[str, Any]:
    """Return what a position in an epoch of a loader's depends on, as plain data; `seed` is that of its order."""
    if isinstance(loader, EpochLoader):
        describe = getattr(loader, "position_facts", None)
        facts: dict[str, Any] = describe(seed) if callable(describe) else {"order": type(loader).__name__}
        return facts
    if not isinstance(loader, DataLoader):
        batches = len(loader) if isinstance(loader, Sequence) else None
        return {"order": type(loader).__name__, "batches": batches}
    if isinstance(loader.dataset, IterableDataset):
        kind = type(getattr(loader.dataset, "samples", loader.dataset)).__name__
        return {"order": kind, "batch_size": loader.batch_size, "workers": loader.num_workers}
    if loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler:
        return {"order": type(loader.batch_sampler).__name__, "batches": length_of(loader.batch_sampler)}
    sampler = loader.sampler
    is_seeded = type(sampler) is not SequentialSampler and getattr(sampler, "generator", None) is None
    return {
        "order": IN_ORDER if type(sampler) is SequentialSampler else type(sampler).__name__,
        "batch_size": 1 if loader.batch_size is None else loader.batch_size,
        "samples": length_of(sampler),
        "seed": seed if is_seeded else None,
    }


def length_of(sampler: Any) -> int | None:
    try:
        return len(sampler) if isinstance(sampler, Sized) else None
    except (TypeError, NotImplementedError):
        return None


def converted(saved: Mapping[str, Any], now: Mapping[str, Any], done: int, *, is_stateful: bool = False) -> int:
    """Return how many batches of now the first `done` ones of then are: the same samples, in the same order.

    Raises ConfigError, at its place in the config, for a change after which no number of batches is that.
    """
    for name in ("order", "seed", "workers", "batches", "samples"):
        was, value = saved.get(name), now.get(name)
        if was != value and not (name == "samples" and is_longer(saved, now, done)):
            raise moved(name, was, value, done, saved)
    was, size = saved.get("batch_size"), now.get("batch_size")
    if was == size or is_stateful:
        return done
    if was is None or size is None or saved.get("workers"):
        raise moved("batch_size", was, size, done, saved)
    samples = samples_done(saved, done)
    if samples % size and samples != now.get("samples"):
        raise moved("batch_size", was, size, done, saved)
    return -(-samples // int(size))


def is_longer(saved: Mapping[str, Any], now: Mapping[str, Any], done: int) -> bool:
    """Return whether data that come in order only got longer, or shorter after what was trained of them."""
    samples = now.get("samples")
    return now.get("order") == IN_ORDER and samples is not None and samples_done(saved, done) <= samples


def samples_done(saved: Mapping[str, Any], done: int) -> int:
    return min(done * int(saved["batch_size"]), int(saved.get("samples") or done * int(saved["batch_size"])))


def moved(name: str, was: Any, value: Any, done: int, saved: Mapping[str, Any]) -> ConfigError:
    """Report a change in the middle of an epoch by which samples would be trained twice, or never."""
    count = f"{done:,} {'batch' if done == 1 else 'batches'}"
    if saved.get("batch_size"):
        count += f" ({samples_done(saved, done):,} samples)"
    change = "is another" if name == "seed" else f"was {told(was)}, is {told(value)}"
    message = f"The checkpoint stands in the middle of an epoch, after {count}, and {WORDS[name]} {change}."
    hint = (
        "Some samples would be trained twice, or never. Resume as it was to the end of the epoch; it may change there"
    )
    hint += ", or let a batch divide what was trained." if name == "batch_size" else "."
    raise_at = PLACES.get(name, ("data",))
    return ConfigError(message, title="changed in the middle of an epoch", config_path=raise_at, hint=hint)


def told(value: Any) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else f"`{value}`"
