"""sampler.*: which training samples an epoch has and in which order, drawn whole for it from one generator."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from otrainer.components.data.array_files import open_arrays
from otrainer.components.data.columns import classes_of, column_of
from otrainer.errors import ConfigError, check_whole

MOST_CATEGORIES = 1 << 24  # of torch.multinomial
WEIGHTS = ("data", "sampler")


class WeightedSampler:
    """Draw each sample as often as its weight says, by torch.multinomial as torch's WeightedRandomSampler does.

    Exactly one of three gives the weights, which need not sum to 1: `by` names a field with a class a sample, of which
    each comes equally often then (a sample's weight is 1 by the size of its class); `weights` is a list with a number
    a sample or a .npy file with such; `field` names the field that has them. An epoch draws `num_samples` (default: as
    many as there are), with `replacement` or without. Raises ValueError for another choice of arguments.
    """

    def __init__(
        self,
        by: str | None = None,
        weights: Sequence[float] | str | None = None,
        field: str | None = None,
        num_samples: int | None = None,
        replacement: bool = True,
    ) -> None:
        if sum(each is not None for each in (by, weights, field)) != 1:
            raise ValueError("the weights come from one of `by`, `weights` and `field`")
        check_whole("num_samples", num_samples, optional=True)
        self.by, self.weights, self.field = by, weights, field
        self.num_samples, self.replacement = num_samples, replacement
        self.drawn_by = (
            torch.empty(0, dtype=torch.float64) if weights is None or isinstance(weights, str) else checked(weights)
        )

    def files(self) -> list[str]:
        """Return the file of the weights, if they come from one."""
        return [os.fspath(self.weights)] if isinstance(self.weights, str) else []

    def check(self) -> None:
        if isinstance(self.weights, str):
            checked(weights_in(self.weights))

    def prepare(self, dataset: Any) -> None:
        if self.by is not None:
            classes = classes_of(dataset, self.by)
            self.drawn_by = (1.0 / classes.bincount().double())[classes]
        elif self.field is not None:
            self.drawn_by = checked(column_of(dataset, self.field))
        elif isinstance(self.weights, str):
            self.drawn_by = checked(weights_in(self.weights))
        if len(self.drawn_by) != len(dataset):
            message = f"There are {len(self.drawn_by)} weights for {len(dataset)} training samples."
            hint = "Give each training sample a weight; of split data those of its part, by `by` or `field`."
            raise ConfigError(message, title="weights do not fit", config_path=WEIGHTS, hint=hint)
        if not self.replacement and self.samples_in_epoch(len(dataset)) > int((self.drawn_by > 0).sum()):
            message = "More samples are drawn without replacement than have a weight above 0."
            hint = "Draw with replacement, or fewer by `num_samples`."
            raise ConfigError(message, title="weights do not fit", config_path=WEIGHTS, hint=hint)

    def samples_in_epoch(self, samples: int) -> int:
        return self.num_samples or samples

    def order(self, samples: int, *, epoch: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
        count = self.samples_in_epoch(samples)
        if samples < MOST_CATEGORIES:
            return torch.multinomial(self.drawn_by, count, self.replacement, generator=generator)
        return among_many(self.drawn_by, count, replacement=self.replacement, generator=generator)


class BucketSampler:
    """Put samples of about one length into a batch, so that little is padded; every sample comes once an epoch.

    The samples are shuffled and cut into pools of `pool` batches; each is sorted by length and cut into batches, which
    are shuffled then. `by` names the field whose length counts (of its first dimension), or a number itself. A last,
    smaller batch stays the last.
    """

    def __init__(self, by: str, pool: int = 50) -> None:
        check_whole("pool", pool)
        self.by, self.pool = by, pool
        self.lengths = torch.empty(0, dtype=torch.float64)

    def prepare(self, dataset: Any) -> None:
        self.lengths = torch.tensor([length_of(value, self.by) for value in column_of(dataset, self.by)])

    def order(self, samples: int, *, epoch: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
        shuffled = torch.randperm(samples, generator=generator)
        pools = shuffled.split(batch_size * self.pool)
        rows = torch.cat([pool[self.lengths[pool].argsort(stable=True)] for pool in pools])
        whole = samples // batch_size
        batches = rows[: whole * batch_size].view(whole, batch_size)
        mixed = batches[torch.randperm(whole, generator=generator)]
        return torch.cat([mixed.flatten(), rows[whole * batch_size :]])


def length_of(value: Any, field: str) -> float:
    """Return a number as it is, and the length of anything else."""
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(len(value))
    except TypeError as cause:
        message = f"The field `{field}` has no length: it is of type `{type(value).__name__}`."
        hint = "Name a field of texts, lists or arrays, or one with the length as a number."
        raise ConfigError(message, title="unknown field", config_path=(*WEIGHTS, "by"), hint=hint) from cause


def among_many(weights: torch.Tensor, count: int, *, replacement: bool, generator: torch.Generator) -> torch.Tensor:
    """Draw where there are more samples than torch.multinomial takes: by the cumulated weights, or by the largest keys.

    Without replacement: log(u) / weight, of which the largest are taken (Efraimidis and Spirakis 2006).
    """
    if replacement:
        ends = weights.cumsum(0)
        drawn = torch.rand(count, generator=generator, dtype=torch.float64) * ends[-1]
        return torch.searchsorted(ends, drawn, right=True)
    keys = torch.rand(len(weights), generator=generator, dtype=torch.float64).log() / weights
    return keys.topk(count).indices


def weights_in(path: str) -> Any:
    arrays = open_arrays(Path(path))
    return next(iter(arrays.values())).rows(range(len(next(iter(arrays.values())))))


def checked(weights: Any) -> torch.Tensor:
    """Return weights as a tensor of float64; raise ConfigError unless they are numbers from 0 on, and some above."""
    try:
        values = torch.as_tensor(weights, dtype=torch.float64)
    except (TypeError, ValueError) as cause:
        raise wrong_weights() from cause
    if values.ndim != 1 or not values.isfinite().all() or (values < 0).any() or not (values > 0).any():
        raise wrong_weights()
    return values


def wrong_weights() -> ConfigError:
    message = "The weights are not one number from 0 on a sample, with some above 0."
    return ConfigError(message, title="weights do not fit", config_path=WEIGHTS, hint="Give each sample a number.")
