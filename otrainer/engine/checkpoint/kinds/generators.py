"""Random generators that a component keeps for itself: Python's, torch's and numpy's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch

from otrainer.engine.checkpoint.kinds.kind import Kind, LostError, is_exactly
from otrainer.engine.data.generators import get_state, set_state

try:
    import numpy as np
except ImportError:  # torch and otrainer work without it
    np = None  # type: ignore[assignment]


def made_python(parts: Mapping[str, Any]) -> random.Random:
    made = random.Random()  # noqa: S311 - it is to go on as it was
    made.setstate((parts["version"], tuple(parts["words"].tolist()), parts["gauss"]))
    return made


def python(value: random.Random) -> dict[str, Any]:
    version, words, gauss = value.getstate()
    return {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss}


def made_torch(parts: Mapping[str, Any]) -> torch.Generator:
    made = torch.Generator(parts["device"] if torch.cuda.is_available() else "cpu")
    if str(made.device) == parts["device"]:
        made.set_state(parts["state"].cpu())
    return made


def of_torch(value: torch.Generator) -> dict[str, Any]:
    return {"device": str(value.device), "state": value.get_state()}


def of_numpy(generator: Any) -> dict[str, Any]:
    value = generator.bit_generator
    kind = type(value).__name__
    if getattr(np.random, kind, None) is not type(value):
        raise LostError(f"draws from `{kind}`, which is not numpy's")
    return {"bits": kind, "state": value.state}


def new_bits(name: str) -> Any:
    kind = getattr(np.random, name, None)
    if isinstance(kind, type) and issubclass(kind, np.random.BitGenerator):
        return kind(0)
    raise LostError(f"drew from `{name}`, which numpy does not have")


def made_generator(parts: Mapping[str, Any]) -> Any:
    bits = new_bits(parts["bits"])
    bits.state = parts["state"]
    return np.random.Generator(bits)


def state(value: Any) -> dict[str, Any]:
    whole = value.get_state(legacy=False)
    return {"bits": whole["bit_generator"], "state": whole}


def made_state(parts: Mapping[str, Any]) -> Any:
    made = np.random.RandomState(new_bits(parts["bits"]))
    made.set_state(parts["state"])
    return made


def generator_kinds() -> tuple[Kind, ...]:
    """Return the kinds of random generators."""
    kinds = (
        Kind("random.Random", is_exactly(random.Random), python, made_python),
        Kind("torch.Generator", is_exactly(torch.Generator), of_torch, made_torch),
    )
    if np is None:
        return kinds
    return (
        *kinds,
        Kind("numpy.Generator", is_exactly(np.random.Generator), of_numpy, made_generator),
        Kind("numpy.RandomState", is_exactly(np.random.RandomState), state, made_state),
    )


def is_generator(value: Any) -> bool:
    return any(kind.fits(value) for kind in generator_kinds())


def continue_as(value: Any, made: Any) -> None:
    """Let a generator go on as another one of its kind does, since others may hold it too."""
    set_state(value, get_state(made))
