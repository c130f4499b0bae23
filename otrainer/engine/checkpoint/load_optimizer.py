"""Put a saved state into an optimizer: by a plan where parameters have names, else in their order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from otrainer.engine.checkpoint.decode import UNMAKEABLE
from otrainer.engine.checkpoint.optimizer_settings import check_needed, is_torch_s
from otrainer.engine.checkpoint.optimizer_state import (
    IMPLEMENTATION,
    NUMBERS,
    OptimizerState,
    Plan,
    flat,
    several,
)
from otrainer.engine.checkpoint.parameters import misfit
from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.tree import children, with_children

log = logging.getLogger("otrainer")


def load_optimizer(optimizer: Any, saved: OptimizerState, plan: Plan | None, *, unchanged: bool) -> None:
    """Load the optimizer's tensors; hyperparameters are the checkpoint's only where the config is `unchanged`.

    How a step is computed (fused or not) is this run's choice in either case. Raises ConfigError where the optimizer
    does not take it.
    """
    mine = [settings_of(group) for group in optimizer.param_groups]
    state = saved.state
    with off_the_compiler():
        if plan is not None:
            arrange(optimizer, state, plan)
            state = rewritten(optimizer, state, plan)
        try:
            load_alone(optimizer, state)
        except UNMAKEABLE as cause:
            raise misfit(f"The checkpoint's optimizer state does not fit this optimizer: {cause}") from cause
    for number, group in enumerate(optimizer.param_groups):
        own = mine[min(number, len(mine) - 1)]
        is_own = number < len(mine) and not unchanged
        group.update({key: value for key, value in own.items() if is_own or key in IMPLEMENTATION})
    check_needed(optimizer)
    keep_types(optimizer, saved, numbers_of(optimizer, saved, plan))


def load_alone(optimizer: Any, state: Any) -> None:
    """Load a state, and leave the settings of groups to come as they are: torch adds those of the state to them."""
    own = set(getattr(optimizer, "defaults", ()))
    optimizer.load_state_dict(state)
    for name in set(getattr(optimizer, "defaults", ())) - own:
        del optimizer.defaults[name]


def settings_of(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def arrange(optimizer: Any, state: Mapping[str, Any], plan: Plan) -> None:
    """Let the optimizer hold the parameters of the plan, in its groups."""
    there = len(optimizer.param_groups)
    for group, parameters in zip(optimizer.param_groups, plan.groups, strict=False):
        group["params"][:] = parameters
    for parameters, number in zip(plan.groups[there:], plan.settings[there:], strict=True):
        settings = {} if number is None else settings_of(state["param_groups"][number])
        optimizer.add_param_group({"params": list(parameters), **settings})
    if plan.new:
        log.warning("The optimizer has no state in the checkpoint for %s, and begins anew there.", several(plan.new))
    if plan.left:
        log.warning("The optimizer no longer holds %s: the state in the checkpoint is left.", several(plan.left))


def rewritten(optimizer: Any, state: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Return a saved state as this optimizer would have saved it."""
    now = optimizer.state_dict()["param_groups"]
    number_now = dict(
        zip((plan.numbers.get(id(p)) for p in flat(plan.groups)), flat(g["params"] for g in now), strict=True)
    )
    left = set(flat(group["params"] for group in state["param_groups"])) - number_now.keys()
    by_number = {number_now.get(key, key): value for key, value in state["state"].items() if key not in left}
    groups = [
        {**settings_of(group if number is None else state["param_groups"][number]), "params": group["params"]}
        for group, number in zip(now, plan.settings, strict=True)
    ]
    return {**state, "state": by_number, "param_groups": groups}


def numbers_of(optimizer: Any, saved: OptimizerState, plan: Plan | None) -> dict[int, int]:
    """Return the number in the saved state of each parameter, by its id."""
    if plan is not None:
        return plan.numbers
    if not saved.is_by_parameter:
        return {}
    held, groups = flat(group["params"] for group in optimizer.param_groups), saved.state["param_groups"]
    return dict(zip(map(id, held), flat(group["params"] for group in groups), strict=False))


def keep_types(optimizer: Any, saved: OptimizerState, numbers: Mapping[int, int]) -> None:
    """Give state the types of numbers that it was saved with: torch makes them those of the parameters."""
    held = getattr(optimizer, "state", None)
    if not isinstance(held, Mapping) or not numbers:
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            loaded, was = held.get(parameter), saved.state["state"].get(numbers.get(id(parameter)))
            if not isinstance(loaded, dict) or not isinstance(was, dict):
                continue
            for key in loaded.keys() & was.keys():
                if key not in NUMBERS and is_torch_s(optimizer) and not isinstance(optimizer, torch.optim.LBFGS):
                    continue  # torch's kernels trust that its state is of the parameter's type
                beside = (numbers[id(parameter)], key) in saved.beside and not group.get("capturable")
                device = torch.device("cpu") if beside and key != "step" else None
                loaded[key] = as_saved(was[key], loaded[key], device)


def as_saved(was: Any, loaded: Any, device: torch.device | None) -> Any:
    """Return loaded state with the types of what was saved, on `device` if it is given."""
    if isinstance(was, torch.Tensor) and isinstance(loaded, torch.Tensor):
        wanted = loaded.device if device is None else device
        is_same = was.dtype == loaded.dtype and wanted == loaded.device
        return loaded if is_same else was.detach().to(wanted).clone()
    if type(was) is not type(loaded) or not isinstance(was, list | tuple | dict):
        return loaded
    inside = dict(children(was) or ())
    items = children(loaded) or ()
    return with_children(
        loaded, [(key, as_saved(inside[key], item, device) if key in inside else item) for key, item in items]
    )
