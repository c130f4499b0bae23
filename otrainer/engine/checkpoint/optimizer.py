"""Optimizers in checkpoints: tensors come from the checkpoint, hyperparameters from the config that resumes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError

if TYPE_CHECKING:
    import torch

# How a step is computed, not what it computes.
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")


def hyperparameters(optimizer: torch.optim.Optimizer, scheduler: Any) -> dict[str, Any]:
    """Return what a new optimizer and scheduler are made with; a resume takes it from the config, not from the file."""
    skipped = ("params", *IMPLEMENTATION)
    groups = [{key: value for key, value in group.items() if key not in skipped} for group in optimizer.param_groups]
    return copy.deepcopy(
        {
            "optimizer": {"class": type(optimizer).__qualname__, "groups": groups},
            "scheduler": scheduler and {"class": type(scheduler).__qualname__, "state": scheduler.state_dict()},
        }
    )


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], *, unchanged: bool) -> None:
    """Load the optimizer's tensors; hyperparameters are the checkpoint's only where the config is `unchanged`.

    How a step is computed (fused or not) is this run's choice in either case.
    """
    mine = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError) as cause:
        raise ConfigError(
            f"The checkpoint's optimizer state does not fit this optimizer: {cause}",
            title="optimizer does not match the checkpoint",
            config_path=("optimizer",),
            hint="Resume with the optimizer that wrote it, or train from the start.",
        ) from cause
    for group, own in zip(optimizer.param_groups, mine, strict=True):
        group.update({key: value for key, value in own.items() if not unchanged or key in IMPLEMENTATION})
