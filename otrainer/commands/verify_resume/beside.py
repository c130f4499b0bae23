"""What the user's own parts of a run keep in memory, be it in a checkpoint or not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.data.generators import as_plain, get_state, is_followed
from otrainer.engine.data.reach import LONGEST, attributes_of, is_flat, reached
from otrainer.storage.installed import is_installed

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext

OURS = ("otrainer", "torch", "numpy", "builtins", "collections", "functools", "torchmetrics")


def kept_beside(ctx: RunContext, own: int) -> Iterator[tuple[str, Any]]:
    """Yield each number, tensor and generator that objects of the user's own classes hold, by where it is.

    Texts, data and loggers are left out, and the last `own` callbacks, which the check itself put there.
    """
    parts: dict[str, Any] = {"model": ctx.model, "optimizer": ctx.optimizer, "loss": ctx.loss, "io": ctx.io}
    parts |= {f"metrics[{index}]": part for index, part in enumerate(ctx.metrics)}
    parts |= {f"callbacks[{index}]": part for index, part in enumerate(ctx.callbacks[: len(ctx.callbacks) - own])}
    for name, part in parts.items():
        for path, each in reached(part):
            if is_the_users(each):
                for attribute, value in attributes_of(each):
                    if (fact := fact_of(value)) is not None:
                        yield ".".join(filter(None, (name, path, attribute))), fact


def is_the_users(value: Any) -> bool:
    room = type(value).__module__
    file = getattr(sys.modules.get(room), "__file__", None) or ""
    return room.partition(".")[0] not in OURS and not is_installed(Path(file))


def fact_of(value: Any) -> Any:
    """Return what there is to compare of a value; None for what is looked into, or is no number."""
    if isinstance(value, bool | int | float | complex | torch.Tensor):
        return value
    if is_followed(value):
        return as_plain(get_state(value))
    if is_flat(value) and len(value) <= LONGEST and isinstance(value[0], bool | int | float):
        return list(value)
    return torch.as_tensor(value) if is_numbers(value) else None


def is_numbers(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(getattr(value, "dtype", None), "kind", "") in tuple("biuf")
