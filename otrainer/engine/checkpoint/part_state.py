"""The state of components that nobody told how to save themselves: `state_dict`, or their plain attributes."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.checkpoint.flags import Flags, changed_flags, flags_of
from otrainer.engine.checkpoint.plain import is_plain
from otrainer.errors import ConfigError

if TYPE_CHECKING:
    from otrainer.engine.parts import Parts

log = logging.getLogger("otrainer")


class Baseline:
    """Plain attributes and flags of a run's parts as they were built: what still equals them is no state."""

    def __init__(self, parts: Parts) -> None:
        self._built = {id(part): copy.deepcopy(plain_attributes(part) or {}) for part in parts.with_state}
        self._flags = {"model": flags_of(parts.model), "loss": flags_of(parts.loss)}

    def changed_flags(self, name: str, part: Any) -> Flags:
        """Return the flags of the model or the loss (by `name`) that are not those that they were built with."""
        return changed_flags(flags_of(part), self._flags[name])

    def changes(self, part: Any) -> dict[str, Any] | None:
        """Return the plain attributes that differ from those at the start; None where some are no plain data."""
        now, built = plain_attributes(part), self._built.get(id(part), {})
        if now is None:
            return None
        return {name: value for name, value in now.items() if name not in built or not same(built[name], value)}


def part_state(part: Any, baseline: Baseline) -> dict[str, Any] | None:
    """Return a component's `state_dict()`, else its plain attributes as far as they changed, else None."""
    if callable(getattr(part, "state_dict", None)):
        return {"state_dict": part.state_dict()}
    changes = baseline.changes(part)
    return None if changes is None else {"attributes": changes}


def plain_attributes(part: Any) -> dict[str, Any] | None:
    attributes = getattr(part, "__dict__", {})
    return dict(attributes) if all(is_plain(value) for value in attributes.values()) else None


def same(one: Any, other: Any) -> bool:
    """Equality of plain data, tensors by their values."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def load_part(part: Any, state: dict[str, Any] | None) -> None:
    """Give a component back what `part_state` kept of it."""
    if state is None:
        return
    if "attributes" in state:
        vars(part).update(state["attributes"])
    elif callable(getattr(part, "load_state_dict", None)):
        part.load_state_dict(state["state_dict"])


def states_of(parts: Sequence[Any], baseline: Baseline) -> list[dict[str, Any]]:
    """Return one entry a component, in order: its class and its state."""
    return [{"class": type(part).__qualname__, "state": part_state(part, baseline)} for part in parts]


def load_states(parts: Sequence[Any], states: Sequence[dict[str, Any]], section: str) -> None:
    """Load what `states_of` kept; raises ConfigError as `check_same_classes` does."""
    check_same_classes(parts, states, section)
    for part, state in zip(parts, states, strict=True):
        load_part(part, state["state"])


def check_same_classes(parts: Sequence[Any], states: Sequence[dict[str, Any]], section: str) -> None:
    """Raise ConfigError with both lists unless the components are the same ones in the same order."""
    now, kept = [type(part).__qualname__ for part in parts], [state["class"] for state in states]
    if now != kept:
        message = f"The checkpoint holds the {section} [{', '.join(kept)}], and this config has [{', '.join(now)}]."
        hint = "Configure the same ones in the same order, or train from the start."
        raise ConfigError(message, title="parts do not match the checkpoint", config_path=(section,), hint=hint)


def warn_of_restarts(parts: Iterable[Any], baseline: Baseline) -> None:
    """Say which components would begin empty after a continuation."""
    for part in parts:
        if part_state(part, baseline) is None:
            log.warning(
                "%s has no state_dict(), and attributes that are no plain data: after a resume it starts empty",
                type(part).__qualname__,
            )
