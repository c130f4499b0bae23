"""Transforms of samples, for any map-style dataset: of whole samples, or field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from otrainer.components.data.columns import column_of, field_of

Transforms = list[tuple[str | None, Callable[[Any], Any]]]  # of a field, or of samples


class Transformed:
    """A dataset whose samples go through transforms, one after the other, each time that they are read."""

    def __init__(self, dataset: Any, transforms: Transforms) -> None:
        self.dataset, self.transforms = dataset, transforms

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self._made(self.dataset[index], index)

    def __getitems__(self, indices: Iterable[int]) -> list[Any]:
        """Return several samples, read at once where the dataset can."""
        numbers = list(indices)
        many = getattr(self.dataset, "__getitems__", None)
        samples = many(numbers) if callable(many) else [self.dataset[index] for index in numbers]
        return [self._made(sample, index) for sample, index in zip(samples, numbers, strict=True)]

    def _made(self, sample: Any, index: int) -> Any:
        for field, transform in self.transforms:
            if field is None:
                sample = transform(sample)
            else:
                sample = {**sample, field: transform(field_of(sample, field, index))}
        return sample

    def column(self, field: str) -> list[Any]:
        """Return a field of all samples as it is before transforms."""
        return column_of(self.dataset, field)


def transforms_in(name: str, given: Any) -> Transforms:
    """Return the transforms of an argument, in their order; raise ValueError for what cannot be called."""
    if isinstance(given, Mapping):
        return [(str(field), each) for field, own in given.items() for each in callables(f"{name}.{field}", own)]
    return [(None, each) for each in callables(name, given)]


def callables(name: str, given: Any) -> Sequence[Callable[[Any], Any]]:
    found = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for each in found:
        if not callable(each):
            raise ValueError(f"{name} is a spec of what is called with a sample, or a list of such, not {each!r}")
    return found


def transformed(dataset: Any, transforms: Transforms) -> Any:
    """Return a dataset whose samples go through transforms, if there are any."""
    return Transformed(dataset, transforms) if transforms else dataset
