"""What factories of the user's must return: an optimizer, and a scheduler with its rhythm."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import torch

from otrainer.errors import ConfigError
from otrainer.protocols import SchedulerBundle, Stateful

BUNDLED = tuple(part.name for part in fields(SchedulerBundle))
ACTS = ("step", "zero_grad", "state_dict", "load_state_dict")


def check_optimizer(optimizer: Any, factory: Any) -> None:
    """Raise ConfigError unless a factory returned something that can be stepped, cleared and saved as an optimizer."""
    if isinstance(optimizer, torch.optim.Optimizer):
        return
    has_groups = not isinstance(optimizer, type) and isinstance(getattr(optimizer, "param_groups", None), list)
    if has_groups and all(callable(getattr(optimizer, name, None)) for name in ACTS):
        return
    raise ConfigError(
        f"`build` of `{type(factory).__qualname__}` returned {told(optimizer)}, not an optimizer.",
        title="not an optimizer",
        config_path=("optimizer",),
        hint="Return one torch.optim.Optimizer, whose parameter groups may have settings of their own. A config names "
        "several: `optimizer: {NAME: {_type_: ...}, NAME: {_type_: ...}}`.",
    )


def check_bundle(bundle: Any, factory: Any) -> None:
    """Raise ConfigError unless a factory returned a scheduler together with when it steps."""
    if not isinstance(bundle, SchedulerBundle) and not all(hasattr(bundle, name) for name in BUNDLED):
        found = f"{told(bundle)}"
    elif is_scheduler(bundle.scheduler):
        return
    else:
        found = f"{type(bundle).__qualname__} with {told(bundle.scheduler)}, which is no scheduler"
    raise ConfigError(
        f"`build` of `{type(factory).__qualname__}` returned {found}, not a scheduler and when it steps.",
        title="not a scheduler",
        config_path=("scheduler",),
        hint='Return `SchedulerBundle(scheduler, interval="epoch")` of otrainer.components.sched, or leave `scheduler` '
        "out of the config for none.",
    )


def is_scheduler(value: Any) -> bool:
    is_object = isinstance(value, Stateful) and not isinstance(value, type)
    return is_object and callable(getattr(value, "step", None))


def told(value: Any) -> str:
    """Return what a value is, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class `{value.__qualname__}` itself"
    if isinstance(value, list | tuple) and value:
        kinds = dict.fromkeys(type(each).__qualname__ for each in value)
        return f"a {type(value).__name__} of {len(value)} ({', '.join(f'`{kind}`' for kind in kinds)})"
    return f"a value of type `{type(value).__qualname__}`"


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer's `step` has to be given a function that evaluates the loss again.

    So it is where `closure` has no default, and where the class says so by `needs_closure = True`.
    """
    if hasattr(optimizer, "needs_closure"):
        return bool(optimizer.needs_closure)
    try:
        closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    except (TypeError, ValueError):
        return False
    return closure is not None and closure.default is closure.empty
