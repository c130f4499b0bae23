"""What a component `sampler.*` gives, as an epoch's order: looked at, and what a position in it depends on."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import torch

from otrainer.errors import ConfigError

PLACE = ("data", "sampler")


def samples_in_epoch(sampler: Any, samples: int) -> int:
    """Return how many samples an epoch has: as the sampler says, else as many as there are."""
    say = getattr(sampler, "samples_in_epoch", None)
    count: int = say(samples) if callable(say) else samples
    return count


def checked_order(given: Any, sampler: Any, samples: int, length: int) -> torch.Tensor:
    """Return an order as a tensor; raise ConfigError unless it is `length` numbers of samples."""
    name = type(sampler).__name__
    try:
        order = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise wrong_order(f"`{name}.order` returned {type(given).__name__}, which is no list of numbers.") from cause
    if order.ndim != 1 or order.dtype.is_floating_point or order.dtype == torch.bool:
        raise wrong_order(f"`{name}.order` returned {list(order.shape)} of {order.dtype}, not whole numbers in a row.")
    if len(order) != length:
        raise wrong_order(f"`{name}.order` returned {len(order)} samples, where an epoch has {length}.")
    if length and not (int(order.min()) >= 0 and int(order.max()) < samples):
        raise wrong_order(f"`{name}.order` names a sample beyond the {samples} that there are, counted from 0.")
    return order


def wrong_order(message: str) -> ConfigError:
    hint = "Return numbers of samples from 0 on, as many as `samples_in_epoch` says (as there are, without it)."
    return ConfigError(message, title="wrong order", config_path=PLACE, hint=hint)


def facts_of_sampler(epoch_sampler: Any, seed: int) -> dict[str, Any]:
    """Return what a position in an epoch depends on: the order, which may go by the batch size, too."""
    return {
        "order": type(epoch_sampler.drawn_by).__name__,
        "batch_size": epoch_sampler.batch_size,
        "samples": epoch_sampler.length,
        "seed": seed,
        "sampler": {"batch_size": epoch_sampler.batch_size, **settings_of(epoch_sampler.drawn_by)},
    }


def settings_of(sampler: Any) -> dict[str, Any]:
    """Return by what a sampler of ours draws; attributes of a plugin's may be its state, and are not looked at."""
    if type(sampler).__module__.partition(".")[0] != "otrainer":
        return {}
    return {name: mark for name, value in vars(sampler).items() if (mark := mark_of(value)) is not None}


def mark_of(value: Any) -> Any:
    """Return what tells a plain value or a tensor of numbers from another one; None for anything else."""
    if isinstance(value, torch.Tensor):
        return crc32(value.detach().cpu().contiguous().numpy().tobytes())
    return value if isinstance(value, bool | int | float | str) else None
