"""Whether an optimizer of torch's may step by fused kernels, which do what its plain ones do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from otrainer.engine.checkpoint.optimizer_state import IMPLEMENTATION
from otrainer.engine.optimizer import is_dense
from otrainer.registry.build.signature import signatures_of

WHOLE = (torch.float32, torch.float64)


def is_fusible(cls: Any, model: torch.nn.Module, chosen: Collection[str]) -> bool:
    """Return whether fused kernels may be chosen, where no argument is `chosen` that says how a step is computed.

    They take neither sparse gradients nor complex parameters, nor such as are slices of others. Those of SGD leave
    out most of what is in half precision on the CPU (pytorch#191763), and on a GPU they take momentum from a step
    that a gradient scaler leaves out: there the plain ones stay.
    """
    if not takes_fused(cls) or any(name in chosen for name in IMPLEMENTATION):
        return False
    if any(getattr(module, "sparse", False) for module in model.modules()):
        return False
    parameters = list(model.parameters())
    if any(map(is_lazy, parameters)):  # as in a trial, which has no batch
        return False
    is_sgd = inspect.isclass(cls) and issubclass(cls, torch.optim.SGD)
    if is_sgd and not all(each.is_cpu and each.dtype in WHOLE for each in parameters):
        return False
    return all(is_dense(each) and not each.is_complex() for each in parameters)


def takes_fused(cls: Callable[..., Any]) -> bool:
    return any("fused" in signature.parameters for signature in signatures_of(cls))
