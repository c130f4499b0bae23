"""Nested batches: move their tensors, look things up in them, and count their samples."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

Path = Sequence[str | int]


def move_to_device(tree: Any, device: torch.device | str, *, non_blocking: bool = False) -> Any:
    """The same structure with every tensor on `device`.

    Dicts, lists, tuples, named tuples and dataclasses keep their type; anything else with a `to` method is moved by
    it, and the rest is passed on as it is.
    """
    return map_leaves(tree, lambda leaf: leaf.to(device, non_blocking=non_blocking))


def map_leaves(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The same structure with `change` applied to every tensor-like leaf (whatever has `to`)."""
    if isinstance(tree, torch.Tensor) or callable(getattr(tree, "to", None)):
        return change(tree)
    if isinstance(tree, Mapping):
        return _rebuilt_mapping(tree, {key: map_leaves(value, change) for key, value in tree.items()})
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(value, change) for value in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(map_leaves(value, change) for value in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return _rebuilt_dataclass(tree, change)
    return tree


def _rebuilt_mapping(tree: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    if type(tree) is dict:
        return items
    if isinstance(tree, dict):
        changed = copy.copy(tree)
        changed.update(items)
        return changed
    return type(tree)(items)  # type: ignore[call-arg]  # a Mapping type is rebuilt from a dict, as types.MappingProxyType is


def _rebuilt_dataclass(tree: Any, change: Callable[[Any], Any]) -> Any:
    changed = copy.copy(tree)
    for part in dataclasses.fields(tree):
        object.__setattr__(changed, part.name, map_leaves(getattr(tree, part.name), change))
    return changed


def get_path(tree: Any, path: Path) -> Any:
    """What stands at `path` in a nested structure: keys and fields by name, items by index.

    Raises LookupError that says which step failed and what there is instead.
    """
    for depth, part in enumerate(path):
        try:
            tree = _step(tree, part)
        except (KeyError, IndexError, AttributeError, TypeError) as cause:
            where = "".join(f"[{step!r}]" for step in path[:depth])
            raise LookupError(f"There is no {part!r} at {where or 'the top'}: {describe(tree)}.") from cause
    return tree


def _step(tree: Any, part: str | int) -> Any:
    if isinstance(part, str) and not isinstance(tree, Mapping):
        return getattr(tree, part)
    return tree[part]


def describe(tree: Any) -> str:
    """One clause about a value of a batch: its type and its keys, length or shape."""
    if isinstance(tree, Mapping):
        return f"it is a mapping with the keys {', '.join(map(repr, tree)) or '(none)'}"
    if isinstance(tree, torch.Tensor):
        return f"it is a tensor of shape {tuple(tree.shape)}"
    if isinstance(tree, list | tuple):
        names = getattr(tree, "_fields", None)
        return f"it is a {type(tree).__name__} " + (
            f"with the fields {', '.join(names)}" if names else f"of {len(tree)}"
        )
    return f"it is a {type(tree).__name__}"


def leaves(tree: Any) -> Iterator[torch.Tensor]:
    """Every tensor of a nested structure, in order."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        for part in dataclasses.fields(tree):
            yield from leaves(getattr(tree, part.name))


def count_samples(*trees: Any) -> int:
    """How many samples a batch holds: the first dimension of the first tensor that has one, else 1."""
    for tree in trees:
        for leaf in leaves(tree):
            if leaf.dim() > 0:
                return leaf.shape[0]
    return 1
