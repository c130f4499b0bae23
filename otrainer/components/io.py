"""From a batch to the model's inputs and the loss's targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from otrainer.engine.tree import Path, get_path
from otrainer.errors import ConfigError, ConfigPath
from otrainer.protocols import ArgsKwargs as ArgsKwargs


class MappingIO:
    """Pick model inputs and targets out of each batch by path.

    `model_kwargs` and `targets` map a name to a path: a list of keys (or field names) and indices, so that
    `x: [obs, 0]` passes `batch["obs"][0]` as `x`. Raises ConfigError where a batch has nothing at a path.
    """

    def __init__(self, model_kwargs: Mapping[str, Path], targets: Mapping[str, Path] | None = None) -> None:
        self.model_kwargs = checked_paths(model_kwargs, "model_kwargs")
        self.targets = checked_paths(targets or {}, "targets")
        # Keys of a dict, as nearly all paths are, are looked up without a call for each.
        self._keys = [
            {name: path[0] for name, path in paths.items() if len(path) == 1}
            for paths in (self.model_kwargs, self.targets)
        ]
        self._is_flat = [*map(len, self._keys)] == [len(self.model_kwargs), len(self.targets)]

    def split(self, batch: Any, *, stage: str) -> tuple[ArgsKwargs, dict[str, Any], dict[str, Any]]:
        """`(model inputs, targets, meta)` of a batch; meta holds the stage."""
        if self._is_flat and type(batch) is dict:
            inputs, targets = self._keys
            try:
                kwargs = {name: batch[key] for name, key in inputs.items()}
                return ArgsKwargs(kwargs=kwargs), {name: batch[key] for name, key in targets.items()}, {"stage": stage}
            except KeyError:
                pass  # told below
        kwargs = {n: pick(batch, path, "batch", ("io", "model_kwargs", n)) for n, path in self.model_kwargs.items()}
        targets = {n: pick(batch, path, "batch", ("io", "targets", n)) for n, path in self.targets.items()}
        return ArgsKwargs(kwargs=kwargs), targets, {"stage": stage}


def checked_paths(paths: Mapping[str, Path], argument: str) -> dict[str, tuple[str | int, ...]]:
    """Return the paths as tuples; raises ValueError for what is no mapping of names to paths."""
    if not isinstance(paths, Mapping):
        raise ValueError(f"{argument} maps names to paths, as in `x: [x]`; it is {paths!r}")
    return {name: checked_path(path, f"{argument}.{name}") for name, path in paths.items()}


def checked_path(path: Path, argument: str) -> tuple[str | int, ...]:
    """Return a path as a tuple; raises ValueError for anything but a list of keys and indices."""
    whole = isinstance(path, Sequence) and not isinstance(path, str)
    if not whole or not all(isinstance(part, str | int) and not isinstance(part, bool) for part in path):
        raise ValueError(f"{argument} is a list of keys and indices, such as [x] or [obs, 0]; it is {path!r}")
    return tuple(path)


def pick(tree: Any, path: Path, what: str, config_path: ConfigPath) -> Any:
    """Return what stands at `path`; raises ConfigError for that place in the config where there is nothing."""
    try:
        return get_path(tree, path)
    except LookupError as cause:
        message = f"The path {list(path)} finds nothing in the {what}. {cause}"
        hint = f"Name a key, field or index that the {what} has."
        raise ConfigError(message, title="no such path", config_path=config_path, hint=hint) from cause


def pick_one(tree: Any, path: Path | None, what: str, config_path: ConfigPath) -> Any:
    """Return what stands at `path`, or without one the only value; raises ConfigError where there are several."""
    if path is not None:
        return pick(tree, path, what, config_path)
    # Asking an abstract class takes long.
    if type(tree) is torch.Tensor or (type(tree) is not dict and not isinstance(tree, Mapping)):
        return tree
    if len(tree) == 1:
        return next(iter(tree.values()))
    name = str(config_path[-1])
    raise ConfigError(
        f"The {what} hold {', '.join(f'`{key}`' for key in tree) or 'nothing'}, so `{name}` must say which one to use.",
        title="path is needed",
        config_path=config_path[:-1],
        hint=f"Add `{name}: [{next(iter(tree), 'y')}]`, for example.",
    )
