"""Lazy widths: parameters that get their shape from the first batch, without leaving any other trace of it."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _LazyNormBase
from torch.nn.modules.conv import _LazyConvXdMixin
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from otrainer.errors import ConfigError, Finding


def has_lazy(model: nn.Module) -> bool:
    """Return whether some parameter or buffer of `model` waits for its shape."""
    return bool(lazy_modules(model))


def lazy_modules(model: nn.Module) -> list[str]:
    """Return names of the submodules that hold a parameter or buffer without a shape."""

    def own_tensors(module: nn.Module) -> Iterator[torch.Tensor]:
        return chain(module.parameters(recurse=False), module.buffers(recurse=False))

    return [name for name, module in model.named_modules() if any(map(is_lazy, own_tensors(module)))]


def materialize(model: nn.Module, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
    """Give every lazy parameter of `model` its shape by one forward pass in eval mode without gradients.

    The new weights are drawn from the random state at hand; afterwards random states, the buffers of modules that had
    their shape before, and every module's training flag are as they were. Without lazy parameters nothing happens.

    Raises:
        ConfigError: some module is still without shape, since the forward pass does not reach it.
    """
    if not has_lazy(model):
        return
    with training_flags_kept(model), buffers_kept(model), random_states_kept(), torch.no_grad():
        model.eval()
        model(*args, **(kwargs or {}))
    hint = "Give its width in the config, or call it in the graph."
    findings = [
        Finding(f"`{name}` has no shape yet: the model's forward does not reach it.", "lazy width unknown", hint=hint)
        for name in lazy_modules(model)
    ]
    if findings:
        raise ConfigError.of(findings)


def finish(model: nn.Module) -> None:
    """Let torch's lazy modules whose tensors were loaded be what their first forward pass would have made of them."""
    lazy: list[Any] = [module for module in model.modules() if isinstance(module, LazyModuleMixin)]
    for module in lazy:
        waits = hasattr(module, "_initialize_hook") and not module.has_uninitialized_params()
        if waits and (width := width_of(module)) is not None:
            setattr(module, *width)
            module._infer_parameters(module, (None,))


def width_of(module: nn.Module) -> tuple[str, int] | None:
    """Return the attribute in which a lazy module of torch has its width, and that width by its tensors."""
    if isinstance(module, nn.LazyLinear):
        return "in_features", module.weight.shape[1]
    if isinstance(module, _LazyConvXdMixin):
        weight: Any = module.weight
        return "in_channels", weight.shape[0] if module.transposed else weight.shape[1] * module.groups
    if isinstance(module, _LazyNormBase):
        tensor: Any = module.weight if module.affine else module.running_mean
        return "num_features", 0 if tensor is None else tensor.shape[0]
    return None


@contextmanager
def training_flags_kept(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put the values of buffers that have a shape back after the block, into the same tensors."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers() if not is_lazy(buffer)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Put back the random states of Python, NumPy (where loaded) and torch (CPU, current CUDA device) at the end."""
    numpy = sys.modules.get("numpy")
    python_state, numpy_state = random.getstate(), numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
            yield
    finally:
        random.setstate(python_state)
        if numpy:
            numpy.random.set_state(numpy_state)
