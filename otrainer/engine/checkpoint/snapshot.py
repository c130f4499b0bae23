"""A consistent copy of a run's state, in buffers that are kept from save to save so that taking it is one pass."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch

from otrainer.engine.checkpoint.plain import check_leaf, is_leaf
from otrainer.engine.tree import map_with_paths

Path = tuple[str | int, ...]
Memory = tuple[Any, ...]


class Snapshots:
    """Takes copies of nested state; the tensors of each copy are the same buffers, filled anew.

    Buffers lie in main memory, in pinned one where state comes from a CUDA device. Tensors that share their memory,
    as tied weights do, share a buffer. Without `keep`, each copy has memory of its own, which is free again once nobody
    holds the copy.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.keep = keep
        self._buffers: dict[Path, torch.Tensor] = {}

    def take(self, state: Any) -> tuple[Any, Callable[[], None]]:
        """Return a copy of `state` that no later step changes, and what to call, from any thread, until it is filled.

        Raises NotPlainError for a leaf that a `weights_only` load would not give back.
        """
        pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        known: dict[Memory, torch.Tensor] = {}

        def buffer(path: Path, tensor: torch.Tensor) -> torch.Tensor:
            memory = memory_of(tensor)
            if memory not in known:
                known[memory] = self._buffer(path, tensor)
                pairs.append((known[memory], tensor.detach()))
            return known[memory]

        copied, on_cuda = map_tensors(state, buffer), False
        for target, source in pairs:
            on_cuda |= source.is_cuda
            target.copy_(source, non_blocking=source.is_cuda)
        if not on_cuda:
            return copied, lambda: None
        # Steps that come later on this stream wait for the copies; this thread does not.
        filled = torch.cuda.Event()
        filled.record()
        return copied, filled.synchronize

    def reserve(self, state: Any) -> Callable[[], None]:
        """Return what makes the buffers for `state`, from any thread: new memory takes longer to come by than to fill.

        Raises NotPlainError as `take` does.
        """
        wanted: dict[Memory, tuple[Path, torch.Tensor]] = {}

        def note(path: Path, tensor: torch.Tensor) -> torch.Tensor:
            wanted.setdefault(memory_of(tensor), (path, tensor))
            return tensor

        map_tensors(state, note)

        def make() -> None:
            for path, tensor in wanted.values():
                touch(self._buffer(path, tensor))

        return make

    def _buffer(self, path: Path, tensor: torch.Tensor) -> torch.Tensor:
        kept, layout = self._buffers.get(path), (tensor.shape, tensor.dtype, tensor.stride())
        if kept is not None and (kept.shape, kept.dtype, kept.stride()) == layout:
            return kept
        made = torch.empty_like(tensor, device="cpu", requires_grad=False, pin_memory=tensor.is_cuda)
        if self.keep and made.stride() == tensor.stride():
            self._buffers[path] = made
        return made


def memory_of(tensor: torch.Tensor) -> Memory:
    """Return what two tensors share that are views of the same numbers."""
    if tensor.layout != torch.strided:
        return (id(tensor),)
    seen_as = tensor.dtype, tensor.shape, tensor.stride(), tensor.is_conj(), tensor.is_neg()
    return tensor.device, tensor.data_ptr(), *seen_as


def touch(buffer: torch.Tensor) -> None:
    """Let the system give a new buffer its pages, in this thread and without Python's lock."""
    storage = buffer.untyped_storage()
    if storage.nbytes():
        ctypes.memset(storage.data_ptr(), 0, storage.nbytes())


def map_tensors(state: Any, change: Callable[[Path, torch.Tensor], torch.Tensor]) -> Any:
    """Return `state` with `change(path, tensor)` for each tensor; raises NotPlainError where it is not plain."""

    def checked(path: Path, leaf: Any) -> Any:
        check_leaf(path, leaf)
        return change(path, leaf) if isinstance(leaf, torch.Tensor) else leaf

    return map_with_paths(state, checked, is_leaf)
