"""Torch's optimizers without its compiler, which they load, for as long as torch itself takes, to hide from it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

COMPILER = "torch._dynamo"
IN_ITS_PLACE = "__dynamo_disable"  # of a function hidden from the compiler: what torch calls, once it has been loaded


def is_loaded() -> bool:
    """Return whether anybody has loaded torch's compiler: then it may be compiling what calls us."""
    return COMPILER in sys.modules


@contextmanager
def off_the_compiler() -> Iterator[None]:
    """Let the methods of optimizers be called without loading the compiler, and afterwards be hidden from it again.

    Where it is loaded, or torch hides them in another way, they are called as ever.
    """
    lent = [] if is_loaded() else hidden(torch.optim.Optimizer)
    for function in lent:
        setattr(function, IN_ITS_PLACE, function)
    try:
        yield
    finally:
        for function in lent:
            vars(function).pop(IN_ITS_PLACE, None)


def hidden(kind: type) -> list[Callable[..., Any]]:
    """Return the functions of a class that torch hides from its compiler, and has not called yet."""
    hide = getattr(torch, "_disable_dynamo", None)
    code = code_of(hide(hidden)) if hide else None
    found = [each.__wrapped__ for each in vars(kind).values() if code and code_of(each) is code]
    return [function for function in found if IN_ITS_PLACE not in vars(function)]


def code_of(function: Any) -> Any:
    """Return a function's own code, whatever it says that it wraps."""
    return getattr(function, "__code__", None)
