"""What somebody changed in a dataset since workers took a copy of it."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import torch

from otrainer.engine.data.generators import ARRAYS, KINDS
from otrainer.engine.data.reach import ATOMS, LONGEST, is_flat, reached

MOST_BYTES = 1 << 20  # of one array, and sixteen times that of all, are compared by content; others by what they are
TEXT = 1 << 10
TOLD = "told_of_changes"
log = logging.getLogger("otrainer")


def marks_of(dataset: Any) -> dict[str, Any]:
    """Return a mark for every attribute of a dataset and of what it holds, which is another where it was changed."""
    left, marks = [MOST_BYTES << 4], {}
    for path, value in reached(dataset):
        if not isinstance(value, KINDS):
            marks[path] = mark_of(value, left)
    return marks


class Copied:
    """A dataset as workers took a copy of it, to be compared at the end of the epoch."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.marks = marks_of(dataset)

    def tell(self, loader: Any) -> None:
        """Warn, once for its loader, if the dataset was changed meanwhile: the workers have not seen it."""
        if getattr(loader, TOLD, False) or (now := marks_of(self._dataset)) == self.marks:
            return
        setattr(loader, TOLD, True)
        changed = [path for path in {**self.marks, **now} if path and self.marks.get(path) != now.get(path)]
        log.warning(
            "%s of `%s` was changed within an epoch: data workers have a copy, and see it with the next epoch. Change "
            "it between epochs, let `set_epoch` do it, or load without workers.",
            shown(changed),
            type(self._dataset).__name__,
        )


def shown(paths: list[str]) -> str:
    """Return the last of some paths, which is the most exact one, as a message has it."""
    return f"`{paths[-1]}`" if paths else "something"


def mark_of(value: Any, left: list[int]) -> Any:
    if isinstance(value, ATOMS):
        return value if not isinstance(value, str | bytes | bytearray) or len(value) < TEXT else hash(bytes_of(value))
    if isinstance(value, torch.Tensor):
        return (id(value), value._version, content_of(value, left))
    if isinstance(value, ARRAYS):
        return (id(value), content_of(value, left))
    if is_flat(value) and len(value) <= LONGEST and isinstance(value[0], ATOMS):
        return (id(value), tuple(value))
    return (id(value), len(value) if isinstance(value, list | tuple | dict | set) else 0)


def bytes_of(value: str | bytes | bytearray) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else bytes(value)


def content_of(array: Any, left: list[int]) -> str | None:
    """Return a digest of a small array's numbers; None where it is large, or not in main memory."""
    size = array.nbytes
    if size > min(MOST_BYTES, left[0]) or (isinstance(array, torch.Tensor) and not is_readable(array)):
        return None
    left[0] -= size
    if isinstance(array, torch.Tensor):
        array = array.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return None if array.dtype.hasobject else hashlib.blake2b(array.tobytes(), digest_size=8).hexdigest()


def is_readable(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.layout == torch.strided and not tensor.is_quantized
