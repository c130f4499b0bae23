"""Name kinds of values as YAML users call them."""

from __future__ import annotations

from collections.abc import Mapping

KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (str, "a string"),
    ((list, tuple), "a list"),
    (Mapping, "a mapping"),
)


def kind_of(value: object) -> str:
    """Return the kind of a plain value; of any other its type."""
    return next((name for cls, name in KINDS if isinstance(value, cls)), f"a {type(value).__name__}")


def value_or_kind(value: object) -> str:
    """Return a scalar as it may be quoted in a message, and the kind of anything else."""
    return f"`{value}`" if isinstance(value, str | int | float) else kind_of(value)
