"""Trees of values (batches, outputs, the state of a run): walk them, map them, look things up in them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

Path = Sequence[str | int]
MAPPINGS = (dict, Mapping)  # in this order, since asking an abstract class takes long


def children(node: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return what a mapping, list, tuple or dataclass holds, each with its key, index or field; None for a leaf."""
    if isinstance(node, MAPPINGS):
        return node.items()
    if isinstance(node, (list, tuple)):
        return enumerate(node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [(part.name, getattr(node, part.name)) for part in dataclasses.fields(node)]
    return None


def with_children(node: Any, items: Iterable[tuple[Any, Any]]) -> Any:
    """Return a container like `node`, of its type and with its attributes, that holds `items` instead.

    One whose class does not let it be made so becomes the dict, list or tuple that it is based on; a dataclass that
    cannot be copied is returned as it is.
    """
    if type(node) is dict:
        return dict(items)
    items = list(items)
    try:
        return remade(node, items)
    except Exception:  # noqa: BLE001 - whatever a class of somebody else's raises
        if isinstance(node, MAPPINGS):
            return dict(items)
        values = [item for _, item in items]
        return tuple(values) if isinstance(node, tuple) else values if isinstance(node, list) else node


def remade(node: Any, items: list[tuple[Any, Any]]) -> Any:
    """Return a container of the type of `node`, without its constructor where that can be, which may take anything."""
    if isinstance(node, list | tuple):
        return sequence_like(node, [item for _, item in items])
    if isinstance(node, Mapping) and not isinstance(node, dict):
        made = type(node)(dict(items))  # type: ignore[call-arg]  # as types.MappingProxyType takes it
        return made if list(made) == [key for key, _ in items] else dict(items)
    changed = copy.copy(node)
    if isinstance(node, dict):
        for key, item in items:  # which it has already; some forbid `clear` and `update`
            changed[key] = item
    else:
        for name, item in items:
            object.__setattr__(changed, name, item)
    return changed


def sequence_like(node: Any, values: list[Any]) -> Any:
    """Return a list or tuple of the class of `node`, with its attributes."""
    if type(node) in (list, tuple):
        return type(node)(values)
    if isinstance(node, list):
        made = copy.copy(node)
        list.__setitem__(made, slice(None), values)
        return made
    try:
        made = tuple.__new__(type(node), values)
    except TypeError:  # a tuple of C code, as `torch.max` returns one
        return type(node)(values)
    if hasattr(node, "__dict__"):
        vars(made).update(vars(node))
    return made


def leaves_with_paths(
    tree: Any, is_leaf: Callable[[Any], bool], path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield each leaf, in order, after the keys, indices and fields that lead to it.

    Leaves are what `is_leaf` takes for one, and what holds nothing else.
    """
    items = None if is_leaf(tree) else children(tree)
    if items is None:
        yield path, tree
        return
    for key, item in items:
        yield from leaves_with_paths(item, is_leaf, (*path, key))


def map_with_paths(
    tree: Any, change: Callable[[tuple[Any, ...], Any], Any], is_leaf: Callable[[Any], bool], path: tuple[Any, ...] = ()
) -> Any:
    """Return the same structure with `change(path, leaf)` in place of each leaf; see `leaves_with_paths`."""
    items = None if is_leaf(tree) else children(tree)
    if items is None:
        return change(path, tree)
    return with_children(tree, [(key, map_with_paths(item, change, is_leaf, (*path, key))) for key, item in items])


def is_tensor(node: Any) -> bool:
    return isinstance(node, torch.Tensor)


def is_movable(node: Any) -> bool:
    """Return whether `node` is a tensor, or moves all that it holds by a method `to` of its own."""
    return isinstance(node, torch.Tensor) or callable(getattr(node, "to", None))


def is_detachable(node: Any) -> bool:
    """Return whether `node` is a tensor, or leaves the graph with all that it holds by a method `detach` of its own."""
    return isinstance(node, torch.Tensor) or callable(getattr(node, "detach", None))


def leaves(tree: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor of a tree, in order."""
    return (leaf for _, leaf in leaves_with_paths(tree, is_tensor) if isinstance(leaf, torch.Tensor))


def map_leaves(tree: Any, change: Callable[[Any], Any]) -> Any:
    """Return the same structure with `change` applied to every tensor, and to what has a method `to`."""

    def changed(_path: tuple[Any, ...], leaf: Any) -> Any:
        return change(leaf) if isinstance(leaf, torch.Tensor) or is_movable(leaf) else leaf

    return map_with_paths(tree, changed, is_movable)


def move_to_device(tree: Any, device: torch.device | str, *, non_blocking: bool = False) -> Any:
    """Return the same structure with every tensor on `device`.

    Dicts, lists, tuples, named tuples and dataclasses keep their type; anything else with a `to` method is moved by
    it, and the rest is passed on as it is.
    """
    return map_leaves(tree, lambda leaf: leaf.to(device, non_blocking=non_blocking))


def get_path(tree: Any, path: Path) -> Any:
    """Return what stands at `path` in a nested structure: keys and fields by name, items by index.

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
    """Return one clause about a value of a batch: its type and its keys, length or shape."""
    if isinstance(tree, Mapping):
        return f"it is a mapping with the keys {', '.join(map(repr, tree)) or '(none)'}"
    if isinstance(tree, torch.Tensor):
        return f"it is a tensor of shape {tuple(tree.shape)}"
    if isinstance(tree, list | tuple):
        names = getattr(tree, "_fields", None)
        return f"it is a {type(tree).__name__} {'with the fields ' + ', '.join(names) if names else f'of {len(tree)}'}"
    return f"it is a {type(tree).__name__}"


def count_samples(*trees: Any) -> int:
    """Return how many samples a batch holds: the first dimension of the first tensor that has one, else 1."""
    for tree in trees:
        for leaf in leaves(tree):
            if leaf.dim() > 0:
                return leaf.shape[0]
    return 1
