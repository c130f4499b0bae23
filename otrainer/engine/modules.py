"""The modules that a part of a run is or holds: those of a loss train, move and have modes as the model's do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

REGISTERED = ("_modules", "_parameters", "_buffers")


def modules_of(part: Any) -> dict[str, torch.nn.Module]:
    """Return the modules that `part` is (by the name ""), or holds: in attributes, and in lists and dicts there.

    Each is there once, by the way that leads to it, as `fn` or `terms.0`; those inside another one are not named.
    """
    found: dict[str, torch.nn.Module] = {}
    known: set[int] = set()
    for name, module in candidates(part):
        if id(module) not in known:
            known.update(map(id, module.modules()))
            found[name] = module
    return found


def candidates(part: Any) -> Iterator[tuple[str, torch.nn.Module]]:
    if isinstance(part, torch.nn.Module):
        yield "", part
    for name, value in getattr(part, "__dict__", {}).items():
        if name not in REGISTERED:
            yield from held(name, value, ())


def held(name: str, value: Any, above: tuple[int, ...]) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield the modules of a value; `above` are the containers that it is in, lest one that holds itself never ends."""
    if isinstance(value, torch.nn.Module):
        yield name, value
    elif isinstance(value, list | tuple | dict) and id(value) not in above:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from held(f"{name}.{key}", item, (*above, id(value)))
