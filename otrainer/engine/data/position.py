"""Where in an epoch a checkpoint stands, in data that may since be cut into other batches, or be others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sized
from typing import Any
from zlib import crc32

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, WeightedRandomSampler

from otrainer.errors import ConfigError, ConfigPath
from otrainer.protocols import CountsSamples, EpochLoader

log = logging.getLogger("otrainer")
IN_ORDER = "sequential"
SETTINGS = ("replacement", "num_replicas", "rank", "shuffle", "seed", "drop_last")  # of torch's samplers
MOST_BYTES = 16 << 20
MAY_BE_UNKNOWN = ("batches", "sampler")
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
    "first": "the number of samples in its first batch",
    "sampler": "what the sampler draws by",
}


def facts_of(loader: Any, seed: int) -> dict[str, Any]:
    """Return what a position in an epoch of a loader's depends on, as plain data; `seed` is that of its order."""
    if isinstance(loader, EpochLoader):
        describe = getattr(loader, "position_facts", None)
        facts: dict[str, Any] = describe(seed) if callable(describe) else own_facts(loader)
        return facts
    if not isinstance(loader, DataLoader):
        return own_facts(loader)
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
        "sampler": settings_of(sampler),
        "weights": mark_of_weights(sampler),
    }


def own_facts(loader: Any) -> dict[str, Any]:
    """Return what a loader of somebody's own lets be seen without reading; an iterator's length may be what is left."""
    first = loader.samples_in(0) if isinstance(loader, CountsSamples) else None
    batches = None if isinstance(loader, Iterator) else length_of(loader)
    return {"order": type(loader).__name__, "batches": batches, "first": first}


def settings_of(sampler: Any) -> dict[str, Any] | None:
    """Return by what a sampler of torch's draws, in short; None for another one, whose attributes may be its state."""
    if type(sampler).__module__.partition(".")[0] != "torch":
        return None
    return {name: value for name, value in vars(sampler).items() if name in SETTINGS}


def mark_of_weights(sampler: Any) -> int | None:
    """Return a number that other weights of a sampler have not; None where it has none, or over 16 MB of them."""
    weights = getattr(sampler, "weights", None) if isinstance(sampler, WeightedRandomSampler) else None
    if not isinstance(weights, torch.Tensor) or weights.nbytes > MOST_BYTES:
        return None
    return crc32(weights.detach().cpu().numpy().tobytes())


def length_of(sampler: Any) -> int | None:
    try:
        return len(sampler) if isinstance(sampler, Sized) else None
    except (TypeError, NotImplementedError):
        return None


def converted(saved: Mapping[str, Any], now: Mapping[str, Any], done: int, *, is_stateful: bool = False) -> int:
    """Return how many batches of now the first `done` ones of then are: the same samples, in the same order.

    What is not known of both sides is no change. Raises ConfigError, at its place in the config, for a change after
    which no number of batches is that; warns of other weights of a sampler, which somebody may have changed meanwhile.
    """
    for name in ("order", "seed", "workers", "batches", "samples", "sampler"):
        was, value = saved.get(name), now.get(name)
        if name in MAY_BE_UNKNOWN and (is_stateful or was is None or value is None):
            continue
        if was != value and not (name == "samples" and is_longer(saved, now, done)):
            raise moved(name, was, value, done, saved)
    if None not in (weights := (saved.get("weights"), now.get("weights"))) and weights[0] != weights[1]:
        log.warning(
            "the weights of the sampler are others than in the checkpoint, which stands in the middle of an epoch: "
            "what is left of it is drawn by these, so some samples come twice, or never."
        )
    was, size = saved.get("batch_size"), now.get("batch_size")
    if was == size and not is_stateful:
        check_first(saved, now, done)
    if was == size or is_stateful:
        return done
    if was is None or size is None or saved.get("workers"):
        raise moved("batch_size", was, size, done, saved)
    samples = samples_done(saved, done)
    if samples % size and samples != now.get("samples"):
        raise moved("batch_size", was, size, done, saved)
    return -(-samples // int(size))


def check_first(saved: Mapping[str, Any], now: Mapping[str, Any], done: int) -> None:
    """Raise ConfigError where the first batch of an epoch has not as many samples as it had, as far as both are known.

    That is how data of one's own are seen to be cut into other batches, which say so by no setting.
    """
    was, value = saved.get("first"), now.get("first")
    if was is not None and value is not None and was != value:
        raise moved("first", was, value, done, saved)


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
    change = "is another" if name in ("seed", "sampler") else f"was {told(was)}, is {told(value)}"
    message = f"The checkpoint stands in the middle of an epoch, after {count}, and {WORDS[name]} {change}."
    hint = (
        "Some samples would be trained twice, or never. Resume as it was to the end of the epoch; it may change there"
    )
    hint += ", or let a batch divide what was trained." if name == "batch_size" else "."
    raise_at = PLACES.get(name, ("data",))
    return ConfigError(message, title="changed in the middle of an epoch", config_path=raise_at, hint=hint)


def told(value: Any) -> str:
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else f"`{value}`"
