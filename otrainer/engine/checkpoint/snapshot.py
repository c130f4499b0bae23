"""A consistent copy of a run's state, in buffers that are kept from save to save so that taking it is one pass."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch

from otrainer.engine.checkpoint.part_state import PLAIN
from otrainer.errors import dotted

if TYPE_CHECKING:
    from collections.abc import Callable

Path = tuple[str | int, ...]


class NotPlainError(ValueError):
    """Something in a state could not be loaded again as data; `path` says where."""

    def __init__(self, path: Path, value: Any) -> None:
        super().__init__(f"`{dotted(path)}` is a {type(value).__qualname__}")
        self.path, self.value = path, value


class Snapshots:
    """Takes copies of nested state; the tensors of each copy are the same buffers, filled anew.

    Buffers lie in main memory, in pinned one where state comes from a CUDA device. Tensors that are one tensor stay
    one. Without `keep`, each copy has memory of its own, which is free again once nobody holds the copy.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.keep = keep
        self._buffers: dict[Path, torch.Tensor] = {}

    def take(self, state: Any) -> tuple[Any, Callable[[], None]]:
        """A copy of `state` that no later step changes, and what to call, from any thread, until it is filled.

        Raises NotPlainError for a leaf that a `weights_only` load would not give back.
        """
        pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        known: dict[int, torch.Tensor] = {}

        def buffer(path: Path, tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in known:
                known[id(tensor)] = self._buffer(path, tensor)
                pairs.append((known[id(tensor)], tensor.detach()))
            return known[id(tensor)]

        copied, on_cuda = copy_of(state, (), buffer), False
        for target, source in pairs:
            on_cuda |= source.is_cuda
            target.copy_(source, non_blocking=source.is_cuda)
        if not on_cuda:
            return copied, nothing
        # Steps that come later on this stream wait for the copies; this thread does not.
        filled = torch.cuda.Event()
        filled.record()
        return copied, filled.synchronize

    def reserve(self, state: Any) -> Callable[[], None]:
        """What makes the buffers for `state`, from any thread: fresh memory takes longer to come by than to fill.

        Raises NotPlainError as `take` does.
        """
        wanted: dict[int, tuple[Path, torch.Tensor]] = {}

        def note(path: Path, tensor: torch.Tensor) -> torch.Tensor:
            wanted.setdefault(id(tensor), (path, tensor))
            return tensor

        copy_of(state, (), note)

        def make() -> None:
            for path, tensor in wanted.values():
                touch(self._buffer(path, tensor))

        return make

    def _buffer(self, path: Path, tensor: torch.Tensor) -> torch.Tensor:
        kept = self._buffers.get(path)
        if kept is not None and (kept.shape, kept.dtype, kept.stride()) == (
            tensor.shape,
            tensor.dtype,
            tensor.stride(),
        ):
            return kept
        made = torch.empty_like(tensor, device="cpu", requires_grad=False, pin_memory=tensor.is_cuda)
        if self.keep and made.stride() == tensor.stride():
            self._buffers[path] = made
        return made


def touch(buffer: torch.Tensor) -> None:
    """Let the system give a new buffer its pages, in this thread and without Python's lock."""
    storage = buffer.untyped_storage()
    if storage.nbytes():
        ctypes.memset(storage.data_ptr(), 0, storage.nbytes())


def nothing() -> None:
    """There is nothing to wait for."""


def copy_of(value: Any, path: Path, tensor: Callable[[Path, torch.Tensor], torch.Tensor]) -> Any:
    """The same nested structure with `tensor(path, leaf)` for each tensor; raises NotPlainError for other leaves."""
    if isinstance(value, torch.Tensor):
        if type(value) not in (torch.Tensor, torch.nn.Parameter) or value.layout != torch.strided:
            raise NotPlainError(path, value)
        return tensor(path, value)
    if type(value) in PLAIN:
        return value
    if type(value) in (list, tuple):
        return type(value)(copy_of(item, (*path, index), tensor) for index, item in enumerate(value))
    if type(value) in (dict, OrderedDict):
        copied = type(value)()
        for key, item in value.items():
            if type(key) not in PLAIN:
                raise NotPlainError(path, key)
            copied[key] = copy_of(item, (*path, key), tensor)
        if hasattr(value, "_metadata"):  # versions of the modules, as torch's load_state_dict wants them
            copied._metadata = value._metadata
        return copied
    raise NotPlainError(path, value)


def check_plain(state: Any) -> None:
    """Raise NotPlainError where `state` holds what a checkpoint cannot."""
    copy_of(state, (), lambda _path, tensor: tensor)
