"""A plan that trains somewhere else, so that nothing of the experiment's own run is written."""

from __future__ import annotations

from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.config.walk import walk
from otrainer.storage.inside_project import written

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath


def relocate(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a plan that writes below `folder` alone, what goes to other folders than the run's included."""
    whole, old = deepcopy(plan), plan["run_dir"]
    for path, value in list(walk(whole)):
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            put(whole, path, f"{folder / 'run'}{value[len(old) :]}")
    for number, (place, at) in enumerate(written(whole["config"])):
        if not Path(place).is_relative_to(folder):
            put(whole, ("config", *at), str(folder / f"elsewhere-{number}"))
    return whole


def put(tree: Any, path: ConfigPath, value: str) -> None:
    *above, last = path
    reduce(getitem, above, tree)[last] = value
