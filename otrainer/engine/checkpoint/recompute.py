"""Put a new schedule to where the run stands: the learning rate is then what the new one gives at that point."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otrainer.engine.checkpoint.compatible import scheduler_misfit
from otrainer.engine.state import TrainState

if TYPE_CHECKING:
    from otrainer.engine.state import RunContext


def recompute(ctx: RunContext, parts: Mapping[str, Any]) -> None:
    """Step a new scheduler as often as it would have been by now, from the optimizer's settings of this config.

    Raises ConfigError where it does not go that far.
    """
    turns = turns_taken(ctx.built["rhythm"], parts)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no step of the optimizer comes between these
            for _ in range(turns):
                ctx.scheduler.step()  # type: ignore[union-attr]  # it is only asked for where there is one
    except Exception as cause:
        message = (
            f"The new schedule cannot be put to where the checkpoint stands, after {turns:,} of its steps: {cause}"
        )
        raise scheduler_misfit(message) from cause


def turns_taken(rhythm: Mapping[str, Any], parts: Mapping[str, Any]) -> int:
    """Return how often a scheduler of this rhythm has been stepped; the old one knows it if its rhythm was the same."""
    built, kept = parts["meta"]["built"], parts["scheduler"]
    made = (built["scheduler"] or {}).get("state")
    count, start = ((each or {}).get("last_epoch") for each in (kept, made))
    if built.get("rhythm") == rhythm and type(count) is int and type(start) is int:
        return count - start
    state = TrainState()
    state.load_state_dict(parts["train_state"])
    done = state.global_step if rhythm["interval"] == "step" else state.epochs_done
    return int(done // rhythm["frequency"])
