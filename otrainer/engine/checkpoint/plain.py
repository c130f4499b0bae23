"""Plain data: what a `weights_only` load gives back as it was saved."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from otrainer.engine.tree import leaves_with_paths
from otrainer.errors import dotted

PLAIN = (bool, int, float, str, bytes, type(None))
TENSORS = (torch.Tensor, torch.nn.Parameter)


class NotPlainError(ValueError):
    """Something in a state could not be loaded again as data; `path` says where."""

    def __init__(self, path: tuple[str | int, ...], value: Any) -> None:
        super().__init__(f"`{dotted(path)}` is a {type(value).__qualname__}")
        self.path, self.value = path, value


def is_leaf(node: Any) -> bool:
    """Return whether `node` is no container of plain data: such a list, tuple or dict, of which types do not count."""
    if type(node) in (dict, OrderedDict):
        return any(type(key) not in PLAIN for key in node)
    return type(node) not in (list, tuple)


def is_plain_leaf(leaf: Any) -> bool:
    return type(leaf) in PLAIN or (type(leaf) in TENSORS and leaf.layout == torch.strided)


def is_plain(value: Any) -> bool:
    """Return whether all of `value` is plain: scalars, tensors, and lists, tuples and dicts of them."""
    return all(is_plain_leaf(leaf) for _, leaf in leaves_with_paths(value, is_leaf))


def check_leaf(path: tuple[str | int, ...], leaf: Any) -> None:
    """Raise NotPlainError for a leaf that is not plain, or for the first such key of a dict."""
    if not is_plain_leaf(leaf):
        is_dict = type(leaf) in (dict, OrderedDict)
        raise NotPlainError(path, next(key for key in leaf if type(key) not in PLAIN) if is_dict else leaf)


def check_plain(state: Any) -> None:
    """Raise NotPlainError where `state` holds what a checkpoint cannot."""
    for path, leaf in leaves_with_paths(state, is_leaf):
        check_leaf(path, leaf)
