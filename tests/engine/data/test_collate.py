"""Samples that make no batch: the field, the sample and what to do are told, from workers too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import Batches
from torch.utils.data import DataLoader, IterableDataset

from otrainer.components.data import DatasetDataModule
from otrainer.diagnostics.drawing import draw_error
from otrainer.engine.data.loader import Loader
from otrainer.errors import ConfigError


class Odd:
    """Samples of which number 5 is another."""

    def __init__(self, usual: Any, odd: Any) -> None:
        self.usual, self.odd = usual, odd

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return self.odd if index == 5 else self.usual


X = torch.zeros(3)
CASES: dict[str, tuple[Any, Any, str]] = {
    "none": ({"x": X, "mask": X}, {"x": X, "mask": None}, "`mask` is None in {5}"),
    "the sample itself": (X, None, "`sample` is None in {5}"),
    "ragged": ({"x": X}, {"x": torch.zeros(4)}, "`x` is [3] in {4}, and [4] in {5}"),
    "ragged arrays": ({"x": np.zeros((2, 3))}, {"x": np.zeros((2, 4))}, "`x` is [2, 3] in {4}, and [2, 4] in {5}"),
    "nested": ({"a": {"b": [X, X]}}, {"a": {"b": [X, torch.zeros(2, 2)]}}, "`a.b[1]` is [3] in {4}, and [2, 2] in {5}"),
    "missing": ({"x": X, "y": X}, {"x": X}, "{5} has no `y`, which {4} has"),
    "mixed": ({"x": 1.0}, {"x": "one"}, "`x` is `float` in {4}, and `str` in {5}"),
    "lengths": ((X, [1, 2]), (X, [1]), "`[1]` has 2 items in {4}, and 1 in {5}"),
    "unknown type": ({"x": object()}, {"x": object()}, "`x` is of type `object` in {0}"),
    "texts": ({"x": np.array(["a"])}, {"x": np.array(["a"])}, "`x` is an array of `<U1` in {0}"),
}


def failing(data: Any) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        list(Loader(data.train_dataloader, seed=0, stage="train").epoch(0))
    return error.value


@pytest.mark.parametrize("kind", CASES)
def test_the_field_and_the_sample_are_named(kind: str) -> None:
    usual, odd, words = CASES[kind]
    ours = failing(DatasetDataModule(Odd(usual, odd), batch_size=4, shuffle=False))
    torchs = failing(Batches(DataLoader(Odd(usual, odd), batch_size=4)))  # type: ignore[arg-type]

    assert words.format(*[f"sample {number}" for number in range(8)]) in str(ours)
    counted = f"{words.format(*[f'sample {number % 4}' for number in range(8)])} (counted in the batch)"
    assert counted in str(torchs)
    assert ours.config_path == torchs.config_path == ("data",)
    assert "`collate` of `data.dataset`" in draw_error(ours)


class Stream(IterableDataset[Any]):
    splits_among_workers = True

    def __iter__(self) -> Any:
        return iter([{"x": X}, {"x": None}])


@pytest.mark.parametrize(
    "data",
    [
        DatasetDataModule(Odd({"x": X}, {"x": None}), batch_size=4, shuffle=False, num_workers=1),
        Batches(DataLoader(Odd({"x": X}, {"x": None}), batch_size=4, num_workers=1)),  # type: ignore[arg-type]
        DatasetDataModule(Stream(), batch_size=4, num_workers=1),
        DatasetDataModule(Stream(), batch_size=4),
    ],
)
def test_a_worker_says_the_same(data: Any) -> None:
    assert "`x` is None in sample" in str(failing(data))


def test_a_collate_of_ones_own_fails_in_its_own_words() -> None:
    def collate(samples: Any) -> Any:
        raise ValueError("not so")

    for data in (
        DatasetDataModule(Odd(X, None), batch_size=4, collate=collate),
        Batches(DataLoader(Odd(X, None), batch_size=4, collate_fn=collate)),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="not so"):
            list(Loader(data.train_dataloader, seed=0, stage="train").epoch(0))
