"""What a process keeps from one call to the next: all of ours that outlives a call is here, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_memory: dict[str, Any] = {}


def get(name: str, make: Callable[[], T]) -> T:
    """Return what this process keeps under `name`, made by `make` when it is first asked for."""
    kept: T = _memory[name] if name in _memory else _memory.setdefault(name, make())
    return kept


def put(name: str, value: object) -> None:
    """Keep `value` under `name`, in place of what was kept."""
    _memory[name] = value


def forget(name: str) -> None:
    """Begin anew, as a process that has kept nothing under `name`."""
    _memory.pop(name, None)
