"""What a value is in a few words: of tensors the dtype and the shape, of nested ones their parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

MOST_PARTS = 6
MOST_CHARACTERS = 40
DEPTH = 3


def described(value: Any, depth: int = DEPTH) -> str:
    """`float32 [8, 4]` for a tensor, with its device unless that is the CPU; `{x: float32 [8, 4]}` for a mapping."""
    if isinstance(value, torch.Tensor):
        return tensor_in_words(value)
    if isinstance(value, Mapping) and depth:
        return listed([f"{key}: {described(item, depth - 1)}" for key, item in first(value.items())], len(value), "{}")
    if type(value) in (list, tuple) and depth:
        return listed([described(item, depth - 1) for item in first(value)], len(value), "[]")
    if isinstance(value, bool | int | float | str | type(None)) and len(repr(value)) <= MOST_CHARACTERS:
        return repr(value)
    if hasattr(value, "dtype") and isinstance(getattr(value, "shape", None), tuple):
        return f"{type(value).__name__} {value.dtype} {list(value.shape)}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def tensor_in_words(value: torch.Tensor) -> str:
    place = "" if value.device.type == "cpu" else f" on {value.device}"
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}{place}"


def first(parts: Any) -> list[Any]:
    return [part for part, _ in zip(parts, range(MOST_PARTS), strict=False)]


def listed(words: list[str], count: int, brackets: str) -> str:
    more = [f"{count - len(words)} more"] if count > len(words) else []
    return f"{brackets[0]}{', '.join([*words, *more])}{brackets[1]}"


def extremes(value: Any) -> tuple[int, int] | None:
    """The smallest and the greatest of whole numbers on the CPU; elsewhere they may be out of reach after an error."""
    whole = isinstance(value, torch.Tensor) and value.dtype in (torch.int64, torch.int32, torch.int16, torch.uint8)
    if not whole or value.device.type != "cpu" or not value.numel():
        return None
    least, most = torch.aminmax(value)
    return int(least), int(most)
