"""Tell samplers and datasets which epoch comes, as torch's DistributedSampler wants it."""

from __future__ import annotations

from typing import Any

from otrainer.engine.data.reach import is_closed, reached


def announce_epoch(root: Any, epoch: int) -> None:
    """Call `set_epoch(epoch)` of all that a loader or dataset leads to, itself included, where there is one."""
    for part in [part for _, part in reached(root) if not is_closed(part)]:
        if hasattr(type(part), "set_epoch") or "set_epoch" in getattr(part, "__dict__", ()):
            part.set_epoch(epoch)
