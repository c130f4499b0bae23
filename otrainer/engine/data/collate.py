"""Batches by torch's own rule, and where that has none: which field of which sample does not go with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, default_collate, get_worker_info

from otrainer.errors import ConfigError, Finding


@dataclass(frozen=True)
class Failed:
    """What a worker gives in place of a batch that it could not make; an exception would lose what it says.

    `numbered` says that samples go by their numbers in the dataset, not in the batch.
    """

    found: Finding
    numbered: bool

    def error(self) -> ConfigError:
        counted = "" if self.numbered else " (counted in the batch)"
        return ConfigError(
            f"The samples of a batch do not go together: {self.found.message}{counted}.",
            title="samples do not make a batch",
            config_path=("data",),
            hint="Let all samples have the same fields, shapes and types, or make the batch yourself: by `collate` of "
            "`data.dataset`, or `collate_fn` of a DataLoader of your own.",
        )


@dataclass(frozen=True)
class Refused:
    """What a worker gives in place of a batch whose samples cannot be read: the mistakes that were found."""

    findings: tuple[Finding, ...]

    def error(self) -> ConfigError:
        return ConfigError.of(self.findings)


def delivered(batch: Any) -> Any:
    """Return a batch as it is; raise ConfigError for what stands for one that could not be made."""
    if type(batch) is Failed or type(batch) is Refused:
        raise batch.error()
    return batch


class Collate:
    """`default_collate`, which says what it could not make a batch of."""

    def __call__(self, samples: list[Any], indices: Sequence[int] | None = None) -> Any:
        """Return the batch; in a worker, `Failed` where there is none. `indices` are the samples' in the dataset."""
        try:
            return default_collate(samples)
        except Exception as cause:
            names = range(len(samples)) if indices is None else indices
            found = misfit(samples, "", names)
            if found is None:
                raise
            return reported(found, numbered=indices is not None, cause=cause)


def reported(found: Finding, *, numbered: bool, cause: Exception | None = None) -> Failed:
    """Raise ConfigError for why there is no batch; in a worker, return what stands for the batch."""
    failed = Failed(found, numbered)
    if get_worker_info() is None:
        raise failed.error() from cause
    return failed


def explain(loader: Any) -> Any:
    """Let a DataLoader that collates by torch's own rule say what does not go together; the loader."""
    if isinstance(loader, DataLoader) and loader.collate_fn is default_collate:
        loader.collate_fn = Collate()
    return loader


def misfit(values: Sequence[Any], path: str, names: Sequence[int]) -> Finding | None:
    """Return the first thing for which the values of a field, one a sample, make no batch; None where there is none."""
    field, first = path or "sample", values[0]
    for name, value in zip(names, values, strict=True):
        if value is None:
            return Finding(f"`{field}` is None in sample {name}")
        if kind_of(value) != kind_of(first):
            one, other = type(first).__name__, type(value).__name__
            return Finding(f"`{field}` is `{one}` in sample {names[0]}, and `{other}` in sample {name}")
        if kind_of(value) == "other":
            return Finding(f"`{field}` is of type `{type(value).__name__}` in sample {name}")
    if isinstance(first, Mapping):
        return of_mappings(values, path, names)
    if hasattr(first, "dtype"):
        return of_arrays(values, field, names)
    return of_sequences(values, path, names) if kind_of(first) == "sequence" else None


def of_mappings(values: Sequence[Any], path: str, names: Sequence[int]) -> Finding | None:
    for key in values[0]:
        inside = f"{path}.{key}" if path else str(key)
        for name, value in zip(names, values, strict=True):
            if key not in value:
                return Finding(f"sample {name} has no `{inside}`, which sample {names[0]} has")
        if found := misfit([value[key] for value in values], inside, names):
            return found
    return None


def of_sequences(values: Sequence[Any], path: str, names: Sequence[int]) -> Finding | None:
    lengths = [len(value) for value in values]
    for name, length in zip(names, lengths, strict=True):
        if length != lengths[0]:
            field, first = path or "sample", names[0]
            return Finding(f"`{field}` has {lengths[0]} items in sample {first}, and {length} in sample {name}")
    found = (misfit(each, f"{path}[{index}]", names) for index, each in enumerate(zip(*values, strict=True)))
    return next(filter(None, found), None)


def of_arrays(values: Sequence[Any], field: str, names: Sequence[int]) -> Finding | None:
    shapes = [list(value.shape) for value in values]
    for name, shape, value in zip(names, shapes, values, strict=True):
        if shape != shapes[0]:
            return Finding(f"`{field}` is {shapes[0]} in sample {names[0]}, and {shape} in sample {name}")
        if getattr(value.dtype, "kind", None) in ("O", "U", "S"):
            return Finding(f"`{field}` is an array of `{value.dtype}` in sample {name}")
    return None


def kind_of(value: Any) -> str:
    """Return what a value is to `default_collate`."""
    if isinstance(value, torch.Tensor):
        return "tensor"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return "array"
    if isinstance(value, bool | int | float):
        return "number"
    if isinstance(value, str | bytes):
        return "text"
    if isinstance(value, Mapping):
        return "mapping"
    return "sequence" if isinstance(value, Sequence) else "other"
