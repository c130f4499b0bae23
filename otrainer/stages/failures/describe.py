"""Describe a value in a few words: a tensor by its dtype and shape, a nested one by its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch

MOST_PARTS = 6
MOST_CHARACTERS = 40
DEPTH = 3
WHOLE_NUMBERS = (torch.int64, torch.int32, torch.int16, torch.uint8)


def describe(value: Any, depth: int = DEPTH) -> str:
    """Write `float32 [8, 4]` for a tensor, with its device unless that is the CPU; `{x: float32 [8, 4]}` for a dict."""
    if isinstance(value, torch.Tensor):
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{dtype_name(value.dtype)} {list(value.shape)}{place}"
    if isinstance(value, Mapping) and depth:
        parts = (f"{key}: {describe(item, depth - 1)}" for key, item in value.items())
        return f"{{{join_first(parts, len(value))}}}"
    if type(value) in (list, tuple) and depth:
        return f"[{join_first((describe(item, depth - 1) for item in value), len(value))}]"
    if isinstance(value, bool | int | float | str | type(None)) and len(repr(value)) <= MOST_CHARACTERS:
        return repr(value)
    name = type(value).__name__
    if hasattr(value, "dtype") and isinstance(getattr(value, "shape", None), tuple):
        return f"{name} {value.dtype} {list(value.shape)}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def join_first(parts: Iterable[str], count: int) -> str:
    first = list(islice(parts, MOST_PARTS))
    return ", ".join([*first, *([f"{count - len(first)} more"] if count > len(first) else [])])


def extremes(value: Any) -> tuple[int, int] | None:
    """Return the smallest and greatest of whole numbers on the CPU; on a device an error may put them out of reach."""
    whole = isinstance(value, torch.Tensor) and value.dtype in WHOLE_NUMBERS
    if not whole or value.device.type != "cpu" or not value.numel():
        return None
    least, most = torch.aminmax(value)
    return int(least), int(most)
