"""The groups in which an optimizer trains parameters: how many each has, and what it trains them with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch.nn.parameter import is_lazy

from otrainer.commands.show_model.example import build_section
from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.group_clips import group_clips
from otrainer.engine.optimizer import members
from otrainer.engine.optimizers import optimizer_factory

if TYPE_CHECKING:
    import torch

    from otrainer.config import ResolvedConfig
    from otrainer.registry import Registry

ALWAYS = ("lr", "weight_decay")
UNTOLD = ("params", "name", "optimizer", "foreach", "fused", "capturable", "differentiable", "maximize")


class GroupRow(NamedTuple):
    """A group by its name, the parameters in it and their numbers, and its options in words."""

    name: str
    parameters: int
    numbers: int
    options: str


def group_rows(config: ResolvedConfig, registry: Registry, model: torch.nn.Module) -> list[GroupRow]:
    """Return a row for each group where there are several. Raises ConfigError where the optimizer cannot be built."""
    with off_the_compiler():
        optimizer = optimizer_factory(build_section("optimizer", config, registry)).build(model, registry=registry)
    if len(optimizer.param_groups) == 1:
        return []
    return [
        row_of(group, number, each, owner)
        for owner, each in members(optimizer).items()
        for number, group in enumerate(each.param_groups)
    ]


def row_of(group: dict[str, Any], number: int, optimizer: Any, owner: str) -> GroupRow:
    defaults = optimizer.defaults
    numbers = sum(each.numel() for each in group["params"] if not is_lazy(each))
    told = [key for key in group if key not in UNTOLD and (key in ALWAYS or group[key] != defaults.get(key))]
    mine = {id(each) for each in group["params"]}
    clips = [f"clip_norm {each.norm:g}" for each in group_clips(optimizer) if mine & {*map(id, each.parameters)}]
    options = ", ".join([*(f"{key} {worded(group[key])}" for key in told), *clips])
    first = "" if owner else "rest"
    own = str(group.get("name", number or first))
    return GroupRow(f"{owner} {own}".strip(), len(group["params"]), numbers, options)


def worded(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
