"""data.dataset: any registered dataset through torch's DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from otrainer.components.data.batches import SeededLoader
from otrainer.components.data.parts import Split, part_of, whole_of
from otrainer.components.data.transformed import Transforms, transformed, transforms_in
from otrainer.engine.data.validation_sets import is_name
from otrainer.errors import ConfigError, check_whole


class DatasetDataModule:
    """Any dataset, map- or iterable-style, in batches by torch's DataLoader.

    `train` is the dataset to train on, and `val` the one to validate on, if there is any.
    `shuffle` (default: map-style training data is) and `drop_last` are for training; validation sees every sample in
    order, in batches of `val_batch_size` (default: `batch_size`). `collate` makes a batch of a list of samples.
    `pin_memory` (default: where CUDA is there) lets batches be copied to the device without waiting, and `timeout` is
    how many seconds a worker may take for a batch. Of a map-style dataset, order and randomness are a function of the
    run's seed, the epoch and the batch, whatever `num_workers` is; an iterable-style one goes on where it was if it has
    `state_dict()` and `load_state_dict(state)`, and is read again up to there otherwise.

    A `sampler` orders map-style training data in place of `shuffle`; a `batch_sampler` makes its batches too, in place
    of `batch_size`, which is that of validation then. `split` and `fold` take `val` and `test` of the
    training data, as `Split` has it; where `val` or `test` is a dataset too, it has the same samples, which are read
    from it then (without augmentation, say). Training never touches `test`; `batches_of` gives it. `val` may also be
    several datasets by name, which are validated in their order, each by itself and all together.

    `transform` is called with each sample of all parts, and `train_transform` before it with those that are trained
    on: a spec, a list of specs, or such by the field that they are called with. What is random in them is drawn anew
    for each batch from the run's seed, the epoch and the batch's number. Raises ValueError for arguments that do not go
    together.
    """

    tried_with_empty_parts = True  # so its numbers are judged before a dataset is built

    def __init__(
        self,
        train: Any,
        val: Any = None,
        batch_size: int = 32,
        shuffle: bool | None = None,
        num_workers: int = 0,
        drop_last: bool = False,
        pin_memory: bool | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        val_batch_size: int | None = None,
        timeout: float = 300.0,
        sampler: Any = None,
        split: Mapping[str, Any] | None = None,
        fold: Mapping[str, Any] | None = None,
        test: Any = None,
        batch_sampler: Any = None,
        transform: Any = None,
        train_transform: Any = None,
    ) -> None:
        check_whole("batch_size", batch_size)
        check_whole("val_batch_size", batch_size if val_batch_size is None else val_batch_size)
        check_whole("num_workers", num_workers, 0)
        check_dataset("train", train, num_workers)
        self.split = Split(split, fold)
        others = [(name, each) for name, each in (*parts_of_val(val, self.split), ("test", test)) if each is not None]
        for name, dataset in others:
            check_dataset(name, dataset, num_workers)
        check_sampler("sampler", "order", sampler, train, shuffle)
        check_sampler("batch_sampler", "batches", batch_sampler, train, shuffle)
        if batch_sampler is not None and (drop_last or sampler is not None):
            raise ValueError("batch_sampler makes the batches: leave `sampler` and `drop_last` out")
        if self.split.names and is_iterable(train):
            raise ValueError("split and fold are for map-style datasets, whose samples have numbers")
        if shuffle and is_iterable(train):
            raise ValueError("shuffle is for map-style datasets; an iterable-style one gives its own order")
        self.transforms = transforms_in("transform", transform)
        self.train_transforms = [*transforms_in("train_transform", train_transform), *self.transforms]
        if self.train_transforms and any(map(is_iterable, (train, *(each for _, each in others)))):
            raise ValueError("transform is for map-style datasets; an iterable-style one makes its own samples")
        self.train, self.val, self.test, self.sampler, self.batch_sampler = train, val, test, sampler, batch_sampler
        self.batch_size, self.val_batch_size = batch_size, val_batch_size or batch_size
        self.shuffle, self.drop_last = shuffle if shuffle is not None else True, drop_last
        self.options: dict[str, Any] = {
            "num_workers": num_workers,
            "pin_memory": torch.cuda.is_available() and pin_memory is not False,
            "collate_fn": collate,
            "timeout": checked_timeout(timeout) if num_workers else 0.0,
        }

    def setup(self, stage: str | None = None) -> None:
        for dataset in (self.train, *(each for _, each in parts_of_val(self.val, self.split)), self.test):
            if callable(getattr(dataset, "setup", None)):
                dataset.setup(stage)

    def example_batch(self) -> Any:
        """Return a training batch as the dataset's own `example_batch` declares it; None where data must be read."""
        declare = getattr(self.train, "example_batch", None)
        is_made = self.options["collate_fn"] is not None or self.train_transforms
        return declare(self.batch_size) if callable(declare) and not is_made else None

    def train_dataloader(self) -> Iterable[Any]:
        drawn = {"drawn_by": self.sampler, "cut_by": self.batch_sampler}
        train = self._part("train")
        return self._loader(
            train, self.batch_size, self.train_transforms, shuffle=self.shuffle, drop_last=self.drop_last, **drawn
        )

    def val_dataloader(self) -> Iterable[Any] | dict[str, Iterable[Any]] | None:
        if type(self.val) is dict:
            return {name: self._judging(dataset) for name, dataset in self.val.items()}
        return self.batches_of("val")

    def batches_of(self, split: str) -> Iterable[Any] | None:
        """Return all samples of a split in order, in batches to judge by; None where there is none.

        It is "train", "val", "test", or the name of one of several validation sets.
        """
        if type(self.val) is dict and split not in ("train", "test"):
            return self._judging(self.val[split]) if split in self.val else None
        dataset = self._part(split) if split in ("train", "val", "test") else None
        return None if dataset is None else self._judging(dataset)

    def _judging(self, dataset: Any) -> Iterable[Any]:
        return self._loader(dataset, self.val_batch_size, self.transforms, shuffle=False, drop_last=False)

    def _part(self, name: str) -> Any:
        """Return the samples of a part, by the split where it says; raise ConfigError where they do not fit it."""
        own = getattr(self, name)
        if not self.split.names or name not in ("train", *self.split.names):
            return own
        if own is not None and len(own) != len(self.train):
            message = f"`{name}` has {len(own)} samples and `train` {len(self.train)}, of which `{name}` is split off."
            hint = f"Leave `{name}` out, or give the same samples, read otherwise; or drop it from `split`."
            raise ConfigError(message, title="wrong split", config_path=("data", name), hint=hint)
        return part_of(self.train if own is None else own, self.split.parts(self.train)[name])

    def _fit(self, dataset: Any) -> None:
        """Let a dataset that goes by the training data look at them, at their training part where they are split."""
        if callable(fit_to := getattr(dataset, "fit_to", None)):
            fit_to(self.train, self.split.parts(self.train)["train"] if self.split.names else None)

    def _loader(
        self, dataset: Any, batch_size: int, through: Transforms, *, shuffle: bool, drop_last: bool, **drawn: Any
    ) -> Iterable[Any]:
        self._fit(whole_of(dataset))
        if is_iterable(dataset):
            stream = dataset if isinstance(dataset, IterableDataset) else Stream(dataset)
            return DataLoader(stream, batch_size=batch_size, drop_last=drop_last, **self.options)
        samples = transformed(dataset, through)
        return SeededLoader(samples, batch_size, shuffle=shuffle, drop_last=drop_last, **drawn, **self.options)


def parts_of_val(val: Any, split: Split) -> list[tuple[str, Any]]:
    """Return validation sets by what they are called in the config; raise ValueError for names that none can have."""
    if type(val) is not dict:
        return [("val", val)]
    if not val or not all(map(is_name, val)):
        raise ValueError(
            "val is a dataset, or several by names of letters, digits, `_`, `.` and `-`, which are not train, val or "
            f"test; its names are {', '.join(map(repr, val)) or 'none'}"
        )
    if "val" in split.names:
        raise ValueError("split and fold take `val` of the training data: leave out either these or the named sets")
    return [(f"val.{name}", dataset) for name, dataset in val.items()]


class Stream(IterableDataset[Any]):
    """Anything that can be iterated over, as torch's DataLoader takes it."""

    def __init__(self, samples: Iterable[Any]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[Any]:
        return iter(self.samples)


def check_dataset(name: str, dataset: Any, num_workers: int) -> None:
    """Raise ValueError for what is no dataset, or would give each sample once a worker."""
    if not hasattr(dataset, "__iter__") and not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise ValueError(f"{name} is a dataset, with __getitem__ and __len__ or with __iter__, not {dataset!r}")
    if num_workers and is_iterable(dataset) and not getattr(dataset, "splits_among_workers", False):
        raise ValueError(
            f"{name} is an iterable-style dataset, of which every worker would give all samples: set `num_workers: 0`, "
            "or let it split itself by torch.utils.data.get_worker_info() and have `splits_among_workers = True`"
        )


def check_sampler(name: str, method: str, sampler: Any, train: Any, shuffle: bool | None) -> None:
    """Raise ValueError for a sampler that could not order the training data."""
    if sampler is None or sampler == []:
        return
    if not callable(getattr(sampler, method, None)):
        raise ValueError(f"{name} is a spec `{name}.*`, which has `{method}`, not {sampler!r}")
    if shuffle is not None:
        raise ValueError(f"{name} gives the order: leave `shuffle` out")
    if is_iterable(train):
        raise ValueError(f"{name} is for map-style datasets; an iterable-style one gives its own order")


def checked_timeout(seconds: float) -> float:
    """Return `seconds`; raise ValueError unless it is a number above 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(f"timeout is a number of seconds above 0, not {seconds!r}")
    return float(seconds)


def is_iterable(dataset: Any) -> bool:
    """Return whether a dataset is read through rather than indexed."""
    return isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")
