"""Parts of one dataset, chosen by a seed of their own: to train, validate and test on, or one of k folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import torch

from otrainer.components.data.columns import classes_of, column_of, names_in, no_classes
from otrainer.engine.seed import derive_seed
from otrainer.errors import ConfigError, is_whole, nearest

SPLIT = ("data", "split")
FOLD = ("data", "fold")


class Part:
    """Some samples of a dataset, by their numbers in it, as a dataset of its own that reads as the whole one does."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Iterable[int]) -> list[Any]:
        """Return several samples, at once where the dataset can."""
        own = [self.indices[index] for index in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return list(many(own)) if callable(many) else [self.dataset[index] for index in own]

    def column(self, field: str) -> list[Any]:
        """Return a field of the part's samples."""
        return column_of(self.dataset, field, self.indices)


class BatchPart(Part):
    """The same of a dataset that hands out whole batches."""

    def batch(self, indices: Iterable[int]) -> Any:
        return self.dataset.batch([self.indices[index] for index in indices])


def part_of(dataset: Any, indices: Sequence[int]) -> Part:
    return (BatchPart if callable(getattr(dataset, "batch", None)) else Part)(dataset, indices)


def whole_of(dataset: Any) -> Any:
    """Return what a part is of; anything else is whole."""
    return whole_of(dataset.dataset) if isinstance(dataset, Part) else dataset


class Split:
    """`split` and `fold` of data.dataset, judged as they are written.

    `split` has shares below 1 or counts of samples under `val` and `test`; `fold` has `of` and `index`, and takes one
    of so many parts to validate on. Each may have a `seed` (0) of its own, which the run's does not touch, and `by`: a
    field whose classes come in each part as often as in the whole, or `groups`: a field whose equal values come in one
    part, whose size is then as near as groups let it be. Raises ValueError for anything else.
    """

    def __init__(self, split: Mapping[str, Any] | None, fold: Mapping[str, Any] | None) -> None:
        self.split = known("split", split or {}, ("val", "test", "seed", "by", "groups"))
        self.fold = known("fold", fold or {}, ("of", "index", "seed", "by", "groups"))
        for name in ("val", "test"):
            if name in self.split and not is_share(self.split[name]):
                raise ValueError(
                    f"split.{name} is a share between 0 and 1 or a number of samples, not {self.split[name]!r}"
                )
        if split is not None and not {"val", "test"} & self.split.keys():
            raise ValueError("split names what it takes of the training data: `val`, `test` or both")
        if fold is not None:
            self._check_fold()

    def _check_fold(self) -> None:
        of, index = self.fold.get("of"), self.fold.get("index")
        if not is_whole(of, 2):
            raise ValueError(f"fold.of is a whole number from 2 on, not {of!r}")
        if not is_whole(index, 0) or index >= of:
            raise ValueError(f"fold.index is a whole number from 0 to {of - 1}, not {index!r}")
        if "val" in self.split:
            raise ValueError("a fold is validated on: split.val is for runs without one")

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that are taken of the training data."""
        return tuple(name for name in ("val", "test") if name in self.split or (name == "val" and self.fold))

    def parts(self, dataset: Any) -> dict[str, list[int]]:
        """Return the numbers of the samples of each part: `train`, and those that are asked for; each sample is in one.

        Raises ConfigError where one would be empty.
        """
        samples = len(dataset)
        order, ends = drawn(dataset, range(samples), self.split)
        sizes = {name: size_of(self.split[name], samples) for name in ("test", "val") if name in self.split}
        found: dict[str, list[int]] = {}
        done = 0
        for name, size in sizes.items():
            end = nearest_end(done + size, ends)
            found[name], done = order[done:end], end
        order = order[done:]
        if self.fold:
            order, ends = drawn(dataset, sorted(order), self.fold)
            of, index = self.fold["of"], self.fold["index"]
            first, end = (nearest_end(len(order) * each // of, ends) for each in (index, index + 1))
            found["val"], order = order[first:end], order[:first] + order[end:]
        found["train"] = order
        for part_name, part in found.items():
            if not part:
                message = f"Of {samples} samples none is left for `{part_name}`."
                place = FOLD if self.fold and part_name != "test" else SPLIT
                raise ConfigError(message, title="wrong split", config_path=place, hint="Take less, or more data.")
        return {name: sorted(part) for name, part in found.items()}


def drawn(dataset: Any, among: Sequence[int], options: Mapping[str, Any]) -> tuple[list[int], list[int] | None]:
    """Return samples in an order by the options' seed, and where it may be cut; None: anywhere.

    Each stretch has the classes of `by` in their shares: a sample's place follows from how many of its class are before
    it, by their share in the class. A group's place follows from the seed and its value alone.
    """
    if options.get("groups") is not None:
        return by_group(dataset, among, options["groups"], options.get("seed", 0))
    generator = torch.Generator().manual_seed(derive_seed(options.get("seed", 0), "split"))
    numbers = torch.tensor(list(among), dtype=torch.int64)
    order = numbers[torch.randperm(len(numbers), generator=generator)]
    if options.get("by") is None:
        return [int(number) for number in order], None
    classes = classes_of(dataset, options["by"])[order]
    places = torch.empty(len(order), dtype=torch.float64)
    for each in classes.unique():
        members = (classes == each).nonzero().flatten()
        places[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return [int(number) for number in order[places.argsort(stable=True)]], None


def by_group(dataset: Any, among: Sequence[int], field: str, seed: int) -> tuple[list[int], list[int]]:
    """Return samples with those of a group together, and where groups end."""
    groups: dict[Any, list[int]] = {}
    try:
        for number, value in zip(among, names_in(dataset, field, among), strict=True):
            groups.setdefault(value, []).append(number)
    except TypeError as cause:
        raise no_classes(field) from cause
    members = [groups[value] for value in sorted(groups, key=lambda value: derive_seed(seed, "group", repr(value)))]
    return list(chain.from_iterable(members)), list(accumulate(map(len, members), initial=0))


def nearest_end(place: int, ends: Sequence[int] | None) -> int:
    """Return where an order may be cut that is nearest to a place; the earlier one of two."""
    return place if ends is None else min(ends, key=lambda end: abs(end - place))


def size_of(share: float, samples: int) -> int:
    """Return how many samples a share or count is; a share is rounded, half to even."""
    return min(share if isinstance(share, int) else round(share * samples), samples)


def is_share(value: Any) -> bool:
    return is_whole(value, 1) or (isinstance(value, float) and 0 < value < 1)


def known(name: str, options: Any, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(options, Mapping):
        raise ValueError(f"{name} is a mapping with {', '.join(keys)}, not {options!r}")
    for key in options:
        if key not in keys:
            near = ", ".join(nearest(key, keys)) or ", ".join(keys)
            raise ValueError(f"{name} has no `{key}`; it has {near}")
    if not is_whole(options.get("seed", 0), 0):
        raise ValueError(f"{name}.seed is a whole number from 0 on, not {options['seed']!r}")
    for key in ("by", "groups"):
        if not isinstance(options.get(key), str | None):
            raise ValueError(f"{name}.{key} names a field, not {options[key]!r}")
    if None not in (options.get("by"), options.get("groups")):
        raise ValueError(f"{name} goes by classes (`by`) or by `groups`, not by both")
    return dict(options)
