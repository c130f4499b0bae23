"""Whether model and loss still have the weights that they were built with: a resume loads into those, and no others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from otrainer.engine.checkpoint.flags import named_modules

log = logging.getLogger("otrainer")
MOST_NAMED = 4


def weight_names(part: Any) -> set[str]:
    """Return the names of what the modules of a part load: parameters, and buffers that are saved, set or not yet."""
    return set(found_in(part))


def found_in(part: Any) -> Iterator[str]:
    for prefix, module in named_modules(part):
        start = f"{prefix}." if prefix else ""
        yield from (start + name for name, value in module._parameters.items() if value is not None)
        yield from (start + name for name in module._buffers if name not in module._non_persistent_buffers_set)


def tell_grown(name: str, now: set[str], built: set[str]) -> None:
    """Warn of weights of the model or the loss (by `name`) that came or went, which a resume would refuse."""
    if now - built:
        log.warning(
            "The %s has %s, unlike when it was built. A resume builds it anew and loads weights into what it has then, "
            "so no run can go on from this one's checkpoints. Let it have the same weights from its `__init__` on.",
            name,
            several(now - built),
        )
    if built - now:
        log.warning(
            "The %s no longer has %s, unlike when it was built. A resume builds it anew, with them, so no run can go "
            "on from this one's checkpoints. Let it have the same weights from its `__init__` on.",
            name,
            several(built - now),
        )


def several(names: Iterable[str]) -> str:
    first = sorted(names)
    shown = ", ".join(f"`{name}`" for name in first[:MOST_NAMED])
    return f"{shown} and {len(first) - MOST_NAMED} more" if len(first) > MOST_NAMED else shown
