"""Bytes that stay between the parts of a training step: activations, gradients and the optimizer's state."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from otrainer.engine.averaging import averaged_buffers, norms_in, statistics_of
from otrainer.engine.bare_step import BareStep
from otrainer.engine.optimizer import held
from otrainer.engine.tree import leaves

GIB = 2**30
# What accelerators and machines come with, in GiB.
DEVICE_SIZES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 141, 192, 288)
SPARE = 1.1
READS = {torch.Tensor.item: 0.5, torch.Tensor.__float__: 0.5, torch.Tensor.__int__: 1, torch.Tensor.__bool__: True}


class SavedTensors(torch.autograd.graph.saved_tensors_hooks):
    """Counts what autograd keeps for the backward pass in its block: each storage once, and none of the model's own."""

    def __init__(self, own: Iterable[torch.Tensor]) -> None:
        super().__init__(self._pack, lambda saved: saved)
        self.bytes = 0
        # Held, so that no other one gets the address by which it is known.
        self._storages = {storage_key(tensor): tensor for tensor in own}

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        key = storage_key(tensor)
        if key not in self._storages:
            self._storages[key] = tensor.detach()
            self.bytes += storage_bytes(tensor)
        return tensor


def storage_key(tensor: torch.Tensor) -> int:
    """Return what distinguishes a tensor's memory from others'."""
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def storage_bytes(tensor: torch.Tensor) -> int:
    """Return the bytes that a tensor keeps in memory: all of its storage, whatever part it looks at."""
    return tensor.untyped_storage().nbytes() if tensor.layout == torch.strided else tensor_bytes(tensor)


def tensor_bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def model_tensors(model: nn.Module) -> list[torch.Tensor]:
    """Return the parameters and buffers that have a shape."""
    return [each for each in (*model.parameters(), *model.buffers()) if not is_lazy(each)]


def parameter_count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters() if not is_lazy(each))


def optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return what the optimizer keeps, found by a step over parameters without numbers; of LBFGS, once grown."""
    if isinstance(optimizer, torch.optim.LBFGS):
        return history_bytes(optimizer)
    for group in optimizer.param_groups:
        # The plain implementation keeps the same and has all its kernels.
        group.update({name: False for name in ("foreach", "fused") if name in group})
    with MadeUpReads():
        BareStep(optimizer)()
    kept = {storage_key(tensor): storage_bytes(tensor) for tensor in leaves(list(optimizer.state.values()))}
    return sum(kept.values())


def averages_bytes(trainer: Mapping[str, Any], optimizer: torch.optim.Optimizer, model: nn.Module) -> int | None:
    """Return what the averages of the weights keep once there are some; None where the trainer takes none.

    A validation that sees them puts what is trained aside meanwhile, which is as much again and not counted here.
    """
    options = next((trainer[name] for name in ("ema", "swa") if isinstance(trainer.get(name), Mapping)), None)
    if options is None:
        return None
    buffers = averaged_buffers(model) if options.get("buffers") == "averaged" else {}
    if options.get("update_bn"):
        buffers = statistics_of(norms_in(model))
    return sum(map(tensor_bytes, (*held(optimizer), *buffers.values())))


def history_bytes(optimizer: torch.optim.LBFGS) -> int:
    """Count the direction, the last gradient, and the pairs of steps and gradient changes, once all are there."""
    group = optimizer.param_groups[0]
    return (2 * int(group["history_size"]) + 2) * sum(map(tensor_bytes, group["params"]))


class MadeUpReads(TorchFunctionMode):
    """Lets code that reads single values from tensors without numbers go on with some value."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return READS[func] if func in READS else func(*args, **(kwargs or {}))


def smallest_device(count: int) -> int:
    """Return the least usual size of a device's memory, in GiB, that holds `count` bytes and a tenth more; else that.

    What is spare is for the kernels' own needs, the allocator's gaps and the driver.
    """
    needed = count * SPARE
    return next((size for size in DEVICE_SIZES if needed <= size * GIB), math.ceil(needed / GIB))


def device_memory(device: torch.device) -> int | None:
    """Return the bytes of memory that the device here has in all, where that can be known."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
