"""Optimizers and schedulers of torch with arguments that a small run bears, by the names of their classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers

from .own_optimizers import OWN_OPTIMIZERS

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.05},
    "SGD with momentum": {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "Adam": {"lr": 0.01},
    "Adam, amsgrad": {"lr": 0.01, "amsgrad": True, "betas": (0.8, 0.95)},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.02},
    "Adamax": {"lr": 0.01},
    "Adadelta": {"lr": 1.0},
    "Adagrad": {"lr": 0.05},
    "Adafactor": {"lr": 0.02},
    "ASGD": {"lr": 0.05},
    "RMSprop": {"lr": 0.003, "momentum": 0.5},
    "Rprop": {"lr": 0.005},
    "SparseAdam": {"lr": 0.02},
    "Muon": {"lr": 0.02},
    "LBFGS": {"lr": 0.3, "max_iter": 3},
    "LBFGS by line search": {"lr": 1.0, "max_iter": 3, "line_search_fn": "strong_wolfe"},
    **{name: {"lr": 0.04} for name in OWN_OPTIMIZERS},
}


def optimizer_class(kind: str) -> type[torch.optim.Optimizer]:
    if kind in OWN_OPTIMIZERS:
        return OWN_OPTIMIZERS[kind]
    cls: type[torch.optim.Optimizer] = getattr(torch.optim, kind.partition(",")[0].partition(" ")[0])
    return cls


def optimizer_arguments(kind: str, *, plain_loops: bool) -> dict[str, Any]:
    """Arguments by name; with `plain_loops` the implementation that goes from tensor to tensor."""
    has_choice = "foreach" in inspect.signature(optimizer_class(kind)).parameters
    return {**OPTIMIZERS[kind], **({"foreach": False} if plain_loops and has_choice else {})}


def parameter_groups(model: nn.Module, how: str) -> list[dict[str, Any]]:
    """Those of the model's parameters that train: all, in two groups of other rates, or the last layer's alone."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if how == "all":
        return [{"params": trained}]
    if how == "two rates":
        return [{"params": trained[:1], "weight_decay": 0.0}, {"params": trained[1:], "lr": 0.004}]
    return [{"params": trained[-2:]}]


def build_optimizer(
    groups: list[dict[str, Any]], kind: str, extra: list[nn.Parameter], *, plain_loops: bool
) -> torch.optim.Optimizer:
    """The optimizer over the groups, and over `extra` parameters with the optimizer's own defaults."""
    groups = [*groups, {"params": extra}] if extra else groups
    arguments = optimizer_arguments(kind, plain_loops=plain_loops)
    if kind.startswith("LBFGS"):  # knows one group only
        groups = [{"params": [parameter for group in groups for parameter in group["params"]]}]
    return optimizer_class(kind)(groups, **arguments)


@dataclass(frozen=True)
class Length:
    """How long a run is, counted in the scheduler's own turns."""

    turns: int


def numpy_warmup(turn: int) -> Any:
    return np.float64(min(1.0, (turn + 1) / 3))


def halving(turn: int) -> float:
    return 0.9 if turn % 2 else 0.95


def sequential(optimizer: Any, length: Length) -> Any:
    first = schedulers.LinearLR(optimizer, start_factor=0.3, total_iters=2)
    second = schedulers.CosineAnnealingLR(optimizer, T_max=max(1, length.turns - 2))
    return schedulers.SequentialLR(optimizer, [first, second], milestones=[2])


def chained(optimizer: Any, _: Length) -> Any:
    first = schedulers.ConstantLR(optimizer, factor=0.4, total_iters=2)
    return schedulers.ChainedScheduler([first, schedulers.ExponentialLR(optimizer, 0.9)], optimizer=optimizer)


def nested(optimizer: Any, _: Length) -> Any:
    stepped = schedulers.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    warm = schedulers.LambdaLR(optimizer, numpy_warmup)
    return schedulers.ChainedScheduler([warm, stepped], optimizer=optimizer)


# Those with a key, by their class's name and arguments.
KEYED: dict[str, Callable[[Length], dict[str, Any]]] = {
    "ConstantLR": lambda _: {"factor": 0.5, "total_iters": 3},
    "CosineAnnealingLR": lambda length: {"T_max": length.turns},
    "CosineAnnealingWarmRestarts": lambda _: {"T_0": 2, "T_mult": 2},
    "CyclicLR": lambda _: {"base_lr": 0.002, "max_lr": 0.02, "step_size_up": 2, "cycle_momentum": False},
    "ExponentialLR": lambda _: {"gamma": 0.8},
    "LinearLR": lambda _: {"start_factor": 0.2, "total_iters": 4},
    "MultiStepLR": lambda _: {"milestones": [2, 3, 7], "gamma": 0.4},
    "OneCycleLR": lambda length: {"max_lr": 0.03, "total_steps": length.turns, "cycle_momentum": False},
    "PolynomialLR": lambda length: {"total_iters": length.turns, "power": 2.0},
    "ReduceLROnPlateau": lambda _: {"patience": 0, "factor": 0.4, "threshold": 0.2},
    "SWALR": lambda _: {"swa_lr": 0.004, "anneal_epochs": 3},
    "StepLR": lambda _: {"step_size": 2, "gamma": 0.6},
}
# Those that only a factory of one's own can build.
OWN: dict[str, Callable[[Any, Length], Any]] = {
    "LambdaLR to numpy": lambda optimizer, _: schedulers.LambdaLR(optimizer, numpy_warmup),
    "MultiplicativeLR": lambda optimizer, _: schedulers.MultiplicativeLR(optimizer, halving),
    "SequentialLR": sequential,
    "ChainedScheduler": chained,
    "nested": nested,
}


def scheduler_class(kind: str) -> Any:
    return getattr(schedulers, kind, None) or getattr(torch.optim.swa_utils, kind)


def build_scheduler(kind: str, optimizer: torch.optim.Optimizer, length: Length) -> Any:
    if kind in OWN:
        return OWN[kind](optimizer, length)
    return scheduler_class(kind)(optimizer, **KEYED[kind](length))
