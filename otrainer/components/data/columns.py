"""One field of all samples of a dataset, which sampling and splitting go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from otrainer.engine.data.generators import Generators
from otrainer.engine.seed import seeded
from otrainer.errors import ConfigError, nearest


def column_of(dataset: Any, field: str, among: Sequence[int] | None = None) -> list[Any]:
    """Return a field of every sample, or of those `among` them; an array or tensor of one number is that number.

    A dataset with `column(field)` is asked for it; of another one every sample is read, once, and no generator moves by
    that. Raises ConfigError where samples are no mappings, or lack the field.
    """
    if callable(column := getattr(dataset, "column", None)):
        values = [plain(value) for value in column(field)]
        return values if among is None else [values[index] for index in among]
    rows = range(len(dataset)) if among is None else among
    generators = Generators((dataset,))
    before = generators.state()
    with seeded(0):
        values = [plain(field_of(dataset[index], field, index)) for index in rows]
    generators.load(before)
    return values


def field_of(sample: Any, field: str, index: int) -> Any:
    if isinstance(sample, Mapping) and field in sample:
        return sample[field]
    has = ", ".join(f"`{name}`" for name in sample) if isinstance(sample, Mapping) else "no fields"
    message = f"Sample {index} has no field `{field}`; it has {has}."
    near = nearest(field, sample) if isinstance(sample, Mapping) else ()
    hint = "Name a field of the training data, or let its dataset have `column(field)`."
    raise ConfigError(message, title="unknown field", config_path=("data",), suggestions=near, hint=hint)


def plain(value: Any) -> Any:
    """Return the number of a tensor or array of one, and anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def classes_of(dataset: Any, field: str) -> torch.Tensor:
    """Return the number of each sample's class, `[len(dataset)]`; classes count in the order in which they come."""
    numbers: dict[Any, int] = {}
    values = names_in(dataset, field)
    try:
        return torch.tensor([numbers.setdefault(value, len(numbers)) for value in values], dtype=torch.int64)
    except TypeError as cause:
        raise no_classes(field) from cause


def names_in(dataset: Any, field: str, among: Sequence[int] | None = None) -> list[Any]:
    """Return a field whose values name classes or groups; raise ConfigError for arrays, each equal to itself alone."""
    values = column_of(dataset, field, among)
    if any(hasattr(value, "shape") for value in values):
        raise no_classes(field)
    return values


def no_classes(field: str) -> ConfigError:
    message, hint = f"The field `{field}` does not name classes.", "Name a field with one number or text a sample."
    return ConfigError(message, title="unknown field", config_path=("data",), hint=hint)
