"""What was changed in data since a run began, and no checkpoint holds: it is told once, at the first save."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import torch

from otrainer.engine.data.changes import MOST_BYTES, mark_of
from otrainer.engine.data.generators import ARRAYS
from otrainer.engine.data.reach import ATOMS, reached
from otrainer.protocols import Stateful

OURS = ("otrainer", "builtins", "collections")
COUNTS = ("epoch", "_epoch")  # what each epoch sets anew
log = logging.getLogger("otrainer")


class NotKept:
    """Attributes of a loader, its datasets and samplers, and the data module, as they were when the run began."""

    def __init__(self, loader: Any, module: Any) -> None:
        self._root = (loader, module)
        self._built = marks_of_own(self._root)
        self._is_told = False

    def tell(self) -> None:
        """Warn, once, of an attribute that is another now; one that came later is taken for a cache."""
        if self._is_told:
            return
        now = marks_of_own(self._root)
        changed = [path for path, mark in self._built.items() if path in now and now[path] != mark]
        if not changed:
            return
        self._is_told = True
        log.warning(
            "data: %s of `%s` changed since the run began. No checkpoint holds that: after a resume it is as a new run "
            "has it. Let it follow from the epoch by `set_epoch`, or let the callback that changes it keep it, and set "
            "it again in `on_fit_start`.",
            shown(changed),
            holder_of(changed, self._built),
        )


def shown(paths: list[str]) -> str:
    """Return the first of some attributes, as a message has them."""
    return ", ".join(f"`{path.partition('.')[2]}`" for path in paths[:3])


def holder_of(paths: list[str], built: dict[str, tuple[str, Any]]) -> str:
    """Return the class that holds the first of some attributes."""
    return built[paths[0]][0]


def marks_of_own(root: Any) -> dict[str, tuple[str, Any]]:
    """Return the class that holds each plain attribute, and a mark that is another where it was changed."""
    left, marks, values = [MOST_BYTES << 4], dict[str, tuple[str, Any]](), dict[str, Any]()
    for path, value in reached(root):
        values[path] = value
        above, _, name = path.rpartition(".")
        owner = values.get(above)
        if name not in COUNTS and may_lose(owner, value):
            marks[path] = (type(owner).__name__, mark_of(value, left))
    return marks


def may_lose(owner: Any, value: Any) -> bool:
    """Return whether a change to a value of an object is lost by a stop, as far as its class shows.

    What iterates goes over its own counts anew each epoch, and torch's classes over theirs: of these, arrays alone.
    """
    package = type(owner).__module__.partition(".")[0]
    if package in OURS or isinstance(owner, Stateful) or hasattr(owner, "set_epoch") or owner is None:
        return False
    if isinstance(value, (torch.Tensor, *ARRAYS)):
        return True
    if package == "torch" or hasattr(type(owner), "__iter__") or value is None:
        return False
    return isinstance(value, ATOMS) or type(value) in (list, set, deque)
