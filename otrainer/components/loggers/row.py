"""A row of logged values as JSON: numbers of any kind, null for what is not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from otrainer.diagnostics.redaction.values import masked


def row_text(head: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """Return a line with `head` first; a value that is called like a key of it goes by that name and `_`."""
    row = dict(head)
    for name, value in values.items():
        name = str(name)
        while name in row:
            name += "_"
        row[name] = plain(value)
    return f"{masked(json.dumps(row, ensure_ascii=False, allow_nan=False))}\n"


def plain(value: Any) -> Any:
    """Return a value as JSON has it: tensors and arrays by their numbers, what is not finite as None."""
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if callable(getattr(value, "tolist", None)):  # a tensor, an array or a number of numpy
        return plain(value.tolist())
    return number(value)


def number(value: Any) -> float | str | None:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return found if math.isfinite(found) else None
