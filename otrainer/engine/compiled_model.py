"""The model as the loop calls it: by torch's compiler where that is asked for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from otrainer.engine.state import RunSettings

PRINTS_TRACEBACKS = ("torch._subclasses.fake_tensor",)  # of what the compiler then raises anyway


def compiled(model: torch.nn.Module, run: RunSettings) -> Callable[..., Any]:
    """Return the model, compiled if `run.compile` is true, or holds arguments of torch.compile; of several, each."""
    if not run.compile:
        return model
    for name in PRINTS_TRACEBACKS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    options = {} if run.compile is True else dict(run.compile)
    if getattr(model, "are_several", False):
        for part in model.children():
            part.compile(**options)
        return model
    call: Callable[..., Any] = torch.compile(model, **options)
    return call
