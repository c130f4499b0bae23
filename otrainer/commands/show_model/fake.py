"""Tensors that know their shape, type and device and hold no numbers, and what cannot be computed with them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from otrainer.diagnostics.redaction.exceptions import all_behind
from otrainer.engine.tree import map_leaves
from otrainer.model.meta import empty_like

# What is raised where numbers are missing, and what that means; torch 2.12 and before have fewer kinds.
REASONS = {
    "DataDependentOutputException": "it asks a tensor for its numbers, and there are none",
    "DynamicOutputShapeException": "how large the result of `{}` is depends on numbers, and there are none",
    "UnsupportedOperatorException": "`{}` has no kernel for the meta device",
    "UnsupportedFakeTensorException": "",
    "FakeTensorDeviceMismatchError": "",
}
NEED_NUMBERS = tuple(getattr(fake_tensor, name) for name in REASONS if hasattr(fake_tensor, name))
COMPILER = ("torch._dynamo", "torch._inductor", "torch.fx.experimental")
PHRASES = re.compile(
    r"'Meta' backend|\b[Mm]eta (tensor|device|kernel)|[Ff]ake ?[Tt]ensor|fake impl|tensor subclass|data pointer"
)


@contextmanager
def fake_mode() -> Iterator[None]:
    """Make tensors without numbers in the block; real ones are taken for such, and what fails is not logged."""
    log = logging.getLogger(fake_tensor.__name__)
    before, log.disabled = log.disabled, True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        log.disabled = before


def to_fake(tree: Any, device: torch.device) -> Any:
    """Return the same structure with tensors on `device` that hold no numbers, inside of `fake_mode`."""
    return map_leaves(tree, lambda leaf: empty_like(leaf, device) if isinstance(leaf, torch.Tensor) else leaf)


def needs_numbers(error: BaseException) -> bool:
    """Return whether an error says that numbers are missing, rather than that something is wrong."""
    return any(
        isinstance(each, NEED_NUMBERS) or type(each).__module__.startswith(COMPILER) or PHRASES.search(str(each))
        for each in all_behind(error)
    )


def explain(error: BaseException) -> str:
    """Say why something could not be followed, in plain words where these are known, else as the error does."""
    for each in all_behind(error):
        if words := REASONS.get(type(each).__name__):
            return words.format(getattr(each, "func", "an operation"))
    return summarize(error)


def summarize(error: BaseException) -> str:
    """Return the type of an error and its first line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {' '.join(text[0].split()).rstrip('.')}" if text else type(error).__name__
