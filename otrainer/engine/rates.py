"""The learning rates of an optimizer's groups, by names that neither each other nor the loss's logs have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from otrainer.engine.logs import taken

if TYPE_CHECKING:
    import torch


def rate_names(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how the rate of each group is called in rows: `lr`, and `lr_<name>` or `lr_<number>` of the others.

    A group without a name goes by its number, as does one whose name is a number, or that of a group before it. Of
    several optimizers, each has the names of its own groups behind its own: `lr_<optimizer>`, `lr_<optimizer>_<name>`.
    """
    if any("optimizer" in group for group in groups):
        return names_of_several(groups)
    names = ["lr"]
    for number, group in enumerate(groups[1:], 1):
        own = str(number if group.get("name") is None else group["name"])
        is_free = f"lr_{own}" not in names and not own.isdecimal()
        names.append(f"lr_{own if is_free else number}")
    return names


def names_of_several(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how the rates of the groups of several optimizers are called."""
    names: list[str] = []
    for owner, own in groupby(groups, lambda group: str(group.get("optimizer"))):
        plain = [{"name": group.get("name")} for group in own]
        names += [f"lr_{owner}{name.removeprefix('lr')}" for name in rate_names(plain)]
    return names


def named_rates(optimizer: torch.optim.Optimizer, rates: Sequence[Any]) -> dict[str, float]:
    """Return the learning rates that a step was taken with, by the names of the groups that there were then."""
    names = rate_names(optimizer.param_groups[: len(rates)])
    return {name: float(rate) for name, rate in zip(names, rates, strict=False)}


def check_names(optimizer: torch.optim.Optimizer, logged: Iterable[Mapping[str, Any]]) -> None:
    """Raise ConfigError where a row of the loss's logs has the name of a rate: one of the two would be lost."""
    names = rate_names(optimizer.param_groups)
    for row in logged:
        for name in names:
            if name in row:
                raise taken(name, ("loss",), what="a learning rate")
