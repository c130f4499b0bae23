"""Bytes that stay between the parts of a training step: activations, gradients and the optimizer's state."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

GIB = 2**30
PARTS = ("weights", "gradients", "optimizer", "activations")
# What accelerators and machines come with, in GiB.
SIZES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 141, 192, 288)
SPARE = 1.1
READS = {
    torch.Tensor.item: 0.5,
    torch.Tensor.__float__: 0.5,
    torch.Tensor.__int__: 1,
    torch.Tensor.__bool__: True,
}


class Saved:
    """Counts what autograd keeps for the backward pass: each storage once, and none that belongs to the model."""

    def __init__(self, owned: Iterable[torch.Tensor]) -> None:
        self.bytes = 0
        # Held, so that no other one gets the address by which it is told.
        self._storages = {key_of(tensor): tensor for tensor in owned}

    def watching(self) -> AbstractContextManager[Any]:
        """What is saved in this context is counted."""
        watching: AbstractContextManager[Any] = torch.autograd.graph.saved_tensors_hooks(
            self._pack, lambda saved: saved
        )
        return watching

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        key = key_of(tensor)
        if key not in self._storages:
            self._storages[key] = tensor.detach()
            self.bytes += held(tensor)
        return tensor


def key_of(tensor: torch.Tensor) -> int:
    """What tells its memory from others'."""
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def held(tensor: torch.Tensor) -> int:
    """The bytes that a tensor keeps in memory: all of its storage, whatever part it looks at."""
    return tensor.untyped_storage().nbytes() if tensor.layout == torch.strided else size_of(tensor)


def size_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    """What the optimizer keeps, found by letting it step over parameters without numbers; grown, for LBFGS."""
    if isinstance(optimizer, torch.optim.LBFGS):
        return history_bytes(optimizer)
    for group in optimizer.param_groups:
        # The plain implementation keeps the same and has all its kernels.
        group.update({name: False for name in ("foreach", "fused") if name in group})
    with Read():
        optimizer.step()
    kept = {key_of(tensor): held(tensor) for state in optimizer.state.values() for tensor in tensors_in(state)}
    return sum(kept.values())


def history_bytes(optimizer: torch.optim.LBFGS) -> int:
    """The direction, the last gradient, and the pairs of steps and changes of the gradient, once all are there."""
    group = optimizer.param_groups[0]
    return (2 * int(group["history_size"]) + 2) * sum(size_of(each) for each in group["params"])


class Read(TorchFunctionMode):
    """Lets code that reads single values from tensors without numbers go on with some value."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return READS[func] if func in READS else func(*args, **(kwargs or {}))


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from tensors_in(item)


def usual_size(count: int) -> int:
    """The least usual size of a device's memory, in GiB, that holds so many bytes and a tenth more; above all, any.

    What is spare is for the kernels' own needs, the allocator's gaps and the driver.
    """
    needed = count * SPARE
    return next((size for size in SIZES if needed <= size * GIB), math.ceil(needed / GIB))


def device_memory(device: torch.device) -> int | None:
    """The bytes of memory that the device here has in all, where that can be told."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
