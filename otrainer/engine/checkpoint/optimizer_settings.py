"""The settings that a checkpoint has of an optimizer's groups, looked at before a step computes with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from otrainer.engine.checkpoint.form import setting_in_place_of, told
from otrainer.engine.checkpoint.parameters import misfit

# Settings of torch's own under which a step takes state that it makes with the first one only.
NEEDED = {"amsgrad": "max_exp_avg_sq", "centered": "grad_avg"}


def check_settings(groups: Sequence[Mapping[str, Any]], optimizer: Any) -> None:
    """Raise ConfigError where a group's setting is no number, and is one here, or is none that torch's own takes."""
    rates = {"initial_lr": 0.0}  # a scheduler adds it
    now = [{**rates, **group} for group in optimizer.param_groups]
    for index, group in enumerate(groups):
        mine = now[min(index, len(now) - 1)] if now else rates
        for key in mine.keys() & group.keys() - {"params"}:
            wanted = setting_in_place_of(mine[key], group[key], is_torch_s(optimizer))
            if wanted:
                place = f"`param_groups[{index}].{key}` of the checkpoint"
                raise misfit(f"{place} is {told(group[key])}, not {wanted}.")


def is_torch_s(optimizer: Any) -> bool:
    """Return whether an optimizer is one of torch's, whose kernels trust the shapes of their state, or extends one."""
    bases = [base for base in type(optimizer).__mro__ if base.__module__.startswith("torch.optim.")]
    return any(base is not torch.optim.Optimizer for base in bases)


def check_needed(optimizer: Any) -> None:
    """Raise ConfigError where a setting lets a step take state that the parameters of its group have not."""
    needed = NEEDED | ({"momentum": "momentum_buffer"} if isinstance(optimizer, torch.optim.RMSprop) else {})
    for index, group in enumerate(optimizer.param_groups if is_torch_s(optimizer) else ()):
        for setting, key in needed.items():
            if group.get(setting) and any(lacks(optimizer.state.get(each), key) for each in group["params"]):
                raise misfit(f"With `{setting}`, group {index} needs `{key}`, which its state has not.")


def lacks(state: Any, key: str) -> bool:
    """Return whether a parameter has state, and not that of this key; one that has none begins with all of it."""
    return bool(state) and key not in state
