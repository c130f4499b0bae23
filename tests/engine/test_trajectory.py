"""The default trainer takes the very steps that plain torch code takes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support import Batches, fit, parameters_of, random_batches, small_model

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "SGD": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "AdamW": (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.1}),
    "RMSprop": (torch.optim.RMSprop, {"lr": 1e-3}),
    "Adam": (torch.optim.Adam, {"lr": 1e-2}),
}
SCHEDULERS: dict[str, tuple[dict[str, Any], str]] = {
    "StepLR": ({"step_size": 3, "gamma": 0.7}, "step"),
    "ExponentialLR": ({"gamma": 0.8}, "epoch"),
    "ReduceLROnPlateau": ({"patience": 0, "factor": 0.3, "threshold": 0.5}, "metric"),
}


def by_hand(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    train: list[Any],
    val: list[Any],
    *,
    epochs: int,
    accumulate: int = 1,
    clip: float | None = None,
    scheduler: Any = None,
    interval: str = "",
) -> None:
    """The loop as one writes it without a framework."""
    criterion = torch.nn.MSELoss()
    for _ in range(epochs):
        model.train()
        for first in range(0, len(train), accumulate):
            group = train[first : first + accumulate]
            optimizer.zero_grad()
            for batch in group:
                loss = criterion(model(batch["x"]), batch["y"])
                (loss / len(group)).backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            if interval == "step":
                scheduler.step()
        model.eval()
        with torch.no_grad():
            losses = [float(criterion(model(batch["x"]), batch["y"])) * len(batch["x"]) for batch in val]
        if interval == "epoch":
            scheduler.step()
        if interval == "metric":
            scheduler.step(sum(losses) / sum(len(batch["x"]) for batch in val))


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("scheduled", [None, *SCHEDULERS])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_ends_bit_for_bit_where_plain_code_ends(
    name: str, scheduled: str | None, accumulate: int, clip: float | None
) -> None:
    """Ten batches an epoch make a last accumulation group of one; `fused` is the same on both sides."""
    train, val = random_batches(10), random_batches(3, size=5, seed=2)
    cls, kwargs = OPTIMIZERS[name]
    kwargs = {**kwargs, "foreach": False}
    mine, theirs = small_model(), small_model()

    optimizer = cls(theirs.parameters(), **kwargs)
    options: dict[str, Any] = {}
    config = None
    if scheduled:
        arguments, interval = SCHEDULERS[scheduled]
        options = {
            "scheduler": getattr(torch.optim.lr_scheduler, scheduled)(optimizer, **arguments),
            "interval": interval,
        }
        config = {"type": f"sched_cls.{scheduled}", "kwargs": arguments, "interval": interval, "monitor": "val_loss"}
    by_hand(theirs, optimizer, train, val, epochs=4, accumulate=accumulate, clip=clip, **options)
    fit(
        mine,
        Batches(train, val),
        trainer={"max_epochs": 4, "grad_accum_steps": accumulate, "grad_clip_norm": clip},
        optimizer={"type": f"optim_cls.{name}", "kwargs": kwargs},
        scheduler=config,
    )

    assert torch.equal(parameters_of(mine), parameters_of(theirs))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_chosen_implementation_stays_within_two_millionths_over_200_steps(name: str) -> None:
    """Where a fused implementation is chosen, it rounds in other places than torch's default.

    SGD takes smaller steps here than above: where they oscillate, any difference in rounding grows with every step.
    """
    train = random_batches(50)
    cls, kwargs = OPTIMIZERS[name]
    kwargs = {**kwargs, "lr": 0.02} if name == "SGD" else kwargs
    mine, theirs = small_model(), small_model()
    start = copy.deepcopy(mine)

    by_hand(theirs, cls(theirs.parameters(), **kwargs), train, [], epochs=4)
    fit(mine, Batches(train), trainer={"max_epochs": 4}, optimizer={"type": f"optim_cls.{name}", "kwargs": kwargs})

    assert (parameters_of(mine) - parameters_of(theirs)).abs().max() <= 2e-6
    assert (parameters_of(mine) - parameters_of(start)).abs().max() > 1e-2
