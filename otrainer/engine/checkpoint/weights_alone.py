"""Checkpoints of weights alone: for use, and for starting from, while no run can go on from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otrainer.errors import ConfigError
from otrainer.storage.runs.ownership import WEIGHTS_ALONE

# What only training goes on from. Names of parameters stay: by them it is known which have to be finite.
LEFT_OUT = (
    "optimizer", "scheduler", "scaler", "callbacks", "metrics", "loggers", "logs", "turns", "rng", "trained",
)  # fmt: skip


def weights_alone(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a model is used by of the state of a run; where weights are averaged, these are the averages."""
    if is_weights_alone(state):
        return state
    kept = {name: part for name, part in state.items() if name not in LEFT_OUT}
    meta = {**state["meta"], "kind": WEIGHTS_ALONE, "averaged": bool(state.get("trained"))}
    return {**kept, "data": {**state["data"], "train": None}, "meta": meta}


def is_weights_alone(parts: Any) -> bool:
    """Return whether the parts of a checkpoint are those of weights alone."""
    meta = parts.get("meta") if isinstance(parts, Mapping) else None
    return isinstance(meta, Mapping) and meta.get("kind") == WEIGHTS_ALONE


def no_run_in(path: str | Path) -> ConfigError:
    """Report a checkpoint of weights alone where a run is to go on."""
    message = f"`{path}` holds weights alone, by `weights_only` of cb.model_checkpoint: no run can go on from it."
    hint = "Name a whole checkpoint, such as `last.pt`, or start a new run from the weights: `weights: {from: PATH}`."
    return ConfigError(message, title="weights alone", hint=hint)


def averages_alone(path: str | Path) -> ConfigError:
    """Report a checkpoint of weights alone that are averages, where those that are trained are asked for."""
    message = f"`{path}` holds the averages of the weights alone, by `weights_only` of cb.model_checkpoint."
    hint = "Load them as they are, or name a whole checkpoint, such as `last`."
    return ConfigError(message, title="weights alone", hint=hint)
