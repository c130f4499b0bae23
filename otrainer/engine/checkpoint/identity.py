"""What tells the components of one list from each other, wherever they stand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any

from otrainer.diagnostics.redaction.values import known
from otrainer.engine.checkpoint.held import own_values
from otrainer.engine.checkpoint.plain import PLAIN

Identity = Mapping[str, Any]
# Of several of one class, those that have the same in the first of these are the same.
FEATURES = ("built", "name")


def identity_of(part: Any) -> dict[str, Any]:
    """Return what tells a component, as it is built, from others: its class, its name, and a digest of its settings."""
    settings = {name: value for name, value in own_values(part).items() if is_setting(value)}
    name = settings.get("name")
    return {
        "class": type(part).__qualname__,
        "name": name if isinstance(name, str) else None,
        "built": hashlib.blake2b(repr(settings).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest(),
    }


def is_setting(value: Any) -> bool:
    """Return whether an attribute is a plain value; those of this machine, and secrets, tell nothing."""
    if type(value) not in PLAIN and not isinstance(value, PurePath):
        return False
    text = str(value)
    return not (PurePath(text).is_absolute() or known().shown_in(text))


def matched(now: Sequence[Identity], kept: Sequence[Identity]) -> dict[int, int]:
    """Return for each component that a checkpoint knows the place of its state there.

    Components match by class; of several of one class first those that were built alike, then those of one name, and
    the rest in their order.
    """
    found: dict[int, int] = {}

    def match(alike: Callable[[Identity, Identity], bool]) -> None:
        for index, one in enumerate(now):
            free = [place for place, other in enumerate(kept) if place not in found.values() and alike(one, other)]
            if index not in found and free:
                found[index] = free[0]

    for feature in FEATURES:
        match(partial(is_alike, feature))
    match(is_one)
    return found


def is_one(one: Identity, other: Identity) -> bool:
    return bool(one["class"] == other["class"])


def is_alike(feature: str, one: Identity, other: Identity) -> bool:
    return is_one(one, other) and one[feature] is not None and one[feature] == other.get(feature)
