"""A training has read its plan: the doit that waits for this process need not keep others from the build any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otrainer.storage import process_memory

if TYPE_CHECKING:
    from collections.abc import Callable

BEGUN = "begun"


def say_begun() -> None:
    """Say so to whoever `on_begun` named, if anybody."""
    tell: Callable[[], object] | None = process_memory.get(BEGUN, lambda: None)
    if tell is not None:
        tell()


def on_begun(tell: Callable[[], object]) -> None:
    """Let `tell` be called by each training of this process that has read its plan."""
    process_memory.put(BEGUN, tell)
