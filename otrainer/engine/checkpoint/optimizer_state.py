"""Load an optimizer's state by the names of its parameters, once every shape is known to fit."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from otrainer.engine.checkpoint.form import told as told_leaf
from otrainer.engine.checkpoint.optimizer_settings import check_settings, is_torch_s
from otrainer.engine.checkpoint.parameters import (
    Name,
    Names,
    misfit,
    names_in_groups,
    parameters_by_name,
    read_names,
    told,
)
from otrainer.engine.tree import is_tensor, leaves_with_paths

log = logging.getLogger("otrainer")
MOST_NAMED = 4
# How a step is computed, not what it computes.
NUMBERS = ("step", "eta", "mu", "mu_product")
LIKE_PARAMETER = (
    "square_avg", "acc_delta", "sum", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "ax", "momentum_buffer",
    "grad_avg", "prev", "step_size", "variance",
)  # fmt: skip
T = TypeVar("T")
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")


@dataclass(frozen=True)
class Plan:
    """Where saved state goes: for each group its parameters and the saved group, for each parameter's id its number.

    Groups may be more than the optimizer has yet. `new` have no state there, and the state of `left` goes nowhere.
    """

    groups: list[list[torch.Tensor]]
    settings: list[int | None]
    numbers: dict[int, int]
    new: list[Name]
    left: list[Name]


class OptimizerState:
    """The state of an optimizer as a checkpoint has it, whatever its form, and what it says of the parameters."""

    def __init__(self, state: Any, parameters: Mapping[str, Any] | None, built: Any) -> None:
        self.state, self._built = state, built
        self.beside = {(number, key) for number, key in (parameters or {}).get("beside", ())}
        self.names = None if parameters is None else read_names(parameters["names"])
        self.shapes = None if parameters is None else parameters["shapes"]

    @property
    def is_by_parameter(self) -> bool:
        """Whether it has the form of torch's own: groups of numbers, and state by number."""
        if not isinstance(self.state, Mapping):
            return False
        groups = self.state.get("param_groups")
        has_both = isinstance(self.state.get("state"), dict) and isinstance(groups, list)
        return has_both and all("params" in group for group in groups or ())

    def plan(self, optimizer: Any, parts: Any) -> Plan | None:
        """Return where all of it goes; None where it goes by the order of parameters, which are the same ones.

        Raises ConfigError for what does not fit; nothing is touched.
        """
        now = names_in_groups(optimizer, parts)
        if self.names is None or None in flat([*now, *self.names]):
            check_numbers(self.state, optimizer)
            return None
        if not self.is_by_parameter:
            if now != self.names:
                kind = type(optimizer).__qualname__
                raise misfit(f"The state of `{kind}` goes by the order of the parameters, which changed.")
            return None
        numbers = [group["params"] for group in self.state["param_groups"]]
        check_settings(self.state["param_groups"], optimizer)
        if [len(group) for group in numbers] != [len(group) for group in self.names]:
            raise misfit("The checkpoint names other parameters than its optimizer's state has.")
        if [len(group) for group in self.shapes or ()] != [len(group) for group in self.names]:
            raise misfit("The checkpoint's `parameters.shapes` are of other parameters than its `parameters.names`.")
        plan = self._by_name(optimizer, parameters_by_name(parts), now, numbers)
        self._check_shapes(optimizer, plan)
        self._check_order(plan, now)
        return plan

    def _by_name(self, optimizer: Any, known: Mapping[Any, Any], now: Names, numbers: list[list[int]]) -> Plan:
        names = self.names or []
        missing = [name for group in names for name in group if name is not None and name not in known]
        if missing:
            raise misfit(f"The checkpoint's optimizer holds {told(missing[0])}, which there is no longer.")
        number_of = dict(zip(flat(names), flat(numbers), strict=True))
        is_as_built = self._built is not None and [set(g) for g in now] == [set(g) for g in read_names(self._built)]
        if is_as_built and len(names) >= len(now):
            wanted = [in_order(have, want) for have, want in zip(now, names, strict=False)] + names[len(now) :]
            settings: list[int | None] = list(range(len(names)))
        else:
            there = set(flat(now))
            later = [(index, group) for index, group in enumerate(names) if there.isdisjoint(group)]
            wanted = [*now, *(group for _, group in later)]
            settings = [closest(group, names) for group in now] + [index for index, _ in later]
        mine = {
            **known,
            **dict(zip(flat(now), (p for group in optimizer.param_groups for p in group["params"]), strict=True)),
        }
        groups = [[mine[name] for name in group] for group in wanted]
        found = {id(mine[name]): number_of[name] for name in flat(wanted) if name in number_of}
        state, kept = self.state["state"], set(flat(wanted))
        new = [name for name in flat(wanted) if name not in number_of and state]
        left = [name for name in flat(names) if name not in kept and number_of[name] in state]
        return Plan(groups, settings, found, new, left)

    def _check_shapes(self, optimizer: Any, plan: Plan) -> None:
        """Raise ConfigError where a parameter, or what a step reads beside it, has another shape than there."""
        numbers = flat(group["params"] for group in self.state["param_groups"])
        was = dict(zip(numbers, flat(self.shapes or ()), strict=True))
        name_of = dict(zip(numbers, flat(self.names or ()), strict=True))
        for group in plan.groups if is_torch_s(optimizer) else ():
            of_group = [plan.numbers[id(each)] for each in group if id(each) in plan.numbers]
            check_keys((told(name_of[number]), self.state["state"].get(number)) for number in of_group)
        for parameter in flat(plan.groups):
            number = plan.numbers.get(id(parameter))
            if number is None:
                continue
            if list(parameter.shape) != was[number]:
                shapes = f"{list(parameter.shape)} here and {was[number]} in the checkpoint"
                raise misfit(f"{told(name_of[number])} is {shapes}.")
            check_tensors(optimizer, parameter, self.state["state"].get(number, {}), told(name_of[number]))
        check_whole(optimizer, self.state["state"], plan.groups)

    def _check_order(self, plan: Plan, now: Names) -> None:
        """Raise ConfigError where state that belongs to a whole group, kept at its first parameter, would be torn."""
        if flat(now) == flat(self.names or ()):
            return
        for group in self.state["param_groups"]:
            first, *others = group["params"] or [None]
            alone = first in self.state["state"] and not any(number in self.state["state"] for number in others)
            if others and alone:
                raise misfit("The optimizer keeps the state of all parameters in one place, and their order changed.")


def in_order(have: Sequence[Name], want: Sequence[Name]) -> list[Name]:
    """Return the names that are wanted, those that are there already first and in their order."""
    return [*(name for name in have if name in want), *(name for name in want if name not in have)]


def closest(group: Sequence[Name], names: Names) -> int | None:
    """Return the saved group that shares most parameters with one, None where none does."""
    shared = [len(set(group) & set(other)) for other in names]
    return shared.index(max(shared)) if any(shared) else None


def flat(groups: Iterable[Iterable[T]]) -> list[T]:
    return [item for group in groups for item in group]


def several(names: Sequence[Name]) -> str:
    shown = ", ".join(told(name) for name in names[:MOST_NAMED])
    return f"{shown} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else shown


def check_numbers(state: Any, optimizer: Any) -> None:
    """Raise ConfigError where state without names does not fit the parameters in their order."""
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    if not isinstance(groups, list) or not isinstance(state.get("state"), dict):
        return
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = flat(group.get("params", ()) for group in groups)
    check_settings(groups, optimizer)
    for place, (number, parameter) in enumerate(zip(numbers, held, strict=False)):
        check_tensors(optimizer, parameter, state["state"].get(number, {}), f"parameter {place}")
    check_whole(optimizer, state["state"], [held])


def check_tensors(optimizer: Any, parameter: torch.Tensor, state: Any, name: str) -> None:
    """Raise ConfigError where one of torch's optimizers would read or write beside a parameter's state."""
    if not is_torch_s(optimizer):
        return
    if not isinstance(state, dict):
        raise misfit(f"The state of {name} is {told_leaf(state)}, not a mapping.")
    if isinstance(optimizer, torch.optim.LBFGS):
        return
    for key, value in state.items():
        found = value.shape if isinstance(value, torch.Tensor) else torch.Size()
        if isinstance(value, torch.Tensor) and found != wanted_shape(optimizer, key, parameter, found):
            shapes = f"{list(found)} in the checkpoint, and the parameter {list(parameter.shape)}"
            raise misfit(f"`{key}` of {name} is {shapes}.")
        if key in LIKE_PARAMETER or key in NUMBERS:
            check_kind(key, value, parameter, name)


def check_kind(key: str, value: Any, parameter: torch.Tensor, name: str) -> None:
    """Raise ConfigError where state that torch's kernels take for real numbers is of another kind."""
    is_tensor_of_numbers = isinstance(value, torch.Tensor) and value.dtype != torch.bool
    if key in NUMBERS:
        is_number = type(value) in (int, float) or (
            is_tensor_of_numbers and value.numel() == 1 and not value.is_complex()
        )
        if not is_number or not math.isfinite(float(value)) or (key == "step" and float(value) < 0):
            raise misfit(f"`{key}` of {name} is {told_leaf(value)}, and counts steps.")
        return
    if value is None and key == "momentum_buffer":  # before its first step
        return
    same_kind = is_tensor_of_numbers and value.is_complex() <= parameter.is_complex() and value.layout is torch.strided
    if not same_kind or not (value.is_floating_point() or value.is_complex()):
        raise misfit(f"`{key}` of {name} is {told_leaf(value)}, and the parameter {told_leaf(parameter)}.")


def check_keys(states: Iterable[tuple[str, Any]]) -> None:
    """Raise ConfigError where the state of a parameter lacks what a step takes, and others of its group have."""
    known = [(name, state.keys() & {*LIKE_PARAMETER, *NUMBERS}) for name, state in states if isinstance(state, dict)]
    wanted = {key for _, keys in known for key in keys}
    for name, keys in known:
        if keys and (missing := sorted(wanted - keys)):
            raise misfit(f"The state of {name} has no `{missing[0]}`.")


def wanted_shape(optimizer: Any, key: str, parameter: torch.Tensor, found: torch.Size) -> Any:
    """Return the shape that state of torch's has by its key; `found` where a class of somebody else has added it."""
    *rows, last = parameter.shape or (1,)
    if isinstance(optimizer, torch.optim.Adafactor) and key in ("row_var", "col_var"):
        return (*rows, 1) if key == "row_var" else (*rows[:-1], 1, last)
    if key in NUMBERS:
        return ()
    return parameter.shape if key in LIKE_PARAMETER else found


def check_whole(optimizer: Any, state: Mapping[Any, Any], groups: Sequence[Sequence[torch.Tensor]]) -> None:
    """Raise ConfigError where LBFGS remembers steps and gradients of another length than all parameters have."""
    if not isinstance(optimizer, torch.optim.LBFGS):
        return
    length = sum(2 * p.numel() if p.is_complex() else p.numel() for group in groups for p in group)
    for path, leaf in leaves_with_paths(state, is_tensor):
        if is_tensor(leaf) and leaf.dim() > 0 and leaf.shape != (length,):
            there = f"`{path[-1]}` is {list(leaf.shape)} in the checkpoint"
            raise misfit(f"{there}, and the parameters have {length} numbers.")
