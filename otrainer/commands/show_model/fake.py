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
UNFOLLOWED = tuple(getattr(fake_tensor, name) for name in REASONS if hasattr(fake_tensor, name))
COMPILER = ("torch._dynamo", "torch._inductor", "torch.fx.experimental")
WORDS = re.compile(
    r"'Meta' backend|\b[Mm]eta (tensor|device|kernel)|[Ff]ake ?[Tt]ensor|fake impl|tensor subclass|data pointer"
)


@contextmanager
def fake_mode() -> Iterator[None]:
    """In this context tensors are made without numbers; real ones are taken for such, and what fails is not logged."""
    log = logging.getLogger(fake_tensor.__name__)
    before, log.disabled = log.disabled, True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        log.disabled = before


def faked(tree: Any, device: torch.device) -> Any:
    """The same structure with tensors that hold no numbers, inside of `fake_mode`."""
    return map_leaves(tree, lambda leaf: empty_like(leaf, device) if isinstance(leaf, torch.Tensor) else leaf)


def is_unfollowed(error: BaseException) -> bool:
    """Whether an error says that numbers are missing, rather than that something is wrong."""
    return any(
        isinstance(each, UNFOLLOWED) or type(each).__module__.startswith(COMPILER) or WORDS.search(str(each))
        for each in chain(error)
    )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def reason(error: BaseException) -> str:
    """Why something could not be followed, in plain words where these are known, else what the error says."""
    for each in chain(error):
        words = REASONS.get(type(each).__name__, "")
        if words:
            return words.format(getattr(each, "func", "an operation"))
    return said(error)


def said(error: BaseException) -> str:
    """The type of an error and its first line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {' '.join(text[0].split()).rstrip('.')}" if text else type(error).__name__
