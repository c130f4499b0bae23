"""The names of several validation sets, as the config of the built-in data has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def named_sets(data: Any) -> tuple[str, ...]:
    """Return the names of the sets in `val` of `data.dataset`; none where that is one dataset."""
    if not isinstance(data, Mapping) or data.get("_type_") != "data.dataset":
        return ()
    inner = data.get("_kwargs_")
    val = data.get("val", inner.get("val") if isinstance(inner, Mapping) else None)
    if not isinstance(val, Mapping) or any(str(key).startswith("_") for key in val):
        return ()
    return tuple(map(str, val))
