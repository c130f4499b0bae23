"""sampler.*: an epoch's order is a function of the seed and the epoch, as torch draws it, and resumes read nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import WeightedRandomSampler

from otrainer.components.data import DatasetDataModule
from otrainer.components.data.arrays import ArraysDataset
from otrainer.components.data.samplers import BucketSampler, WeightedSampler, among_many
from otrainer.engine.data.loader import Loader
from otrainer.engine.seed import derive_seed
from otrainer.errors import ConfigError
from otrainer.registry import Registry


class Samples:
    """Samples that count how many of them were read."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self.rows, self.read = list(rows), 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.read += 1
        return self.rows[index]


def flat(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def labelled(*counts: int) -> Samples:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return Samples({"i": torch.tensor(index), "label": label} for index, label in enumerate(labels))


def texts(lengths: list[int]) -> Samples:
    return Samples({"i": torch.tensor(index), "length": length} for index, length in enumerate(lengths))


def drawn(data: DatasetDataModule, *, epoch: int = 0, start: int = 0, seed: int = 0) -> list[list[int]]:
    loader = Loader(data.train_dataloader, seed=seed, stage="train")
    return [batch["i"].tolist() for batch in loader.epoch(epoch, start)]


SAMPLERS = [
    lambda: WeightedSampler(by="label"),
    lambda: WeightedSampler(weights=[1.0] * 9 + [5.0] * 4),
    lambda: WeightedSampler(by="label", num_samples=7, replacement=False),
    lambda: BucketSampler("label", pool=2),
]


@pytest.mark.parametrize("make", SAMPLERS)
def test_an_epoch_is_the_same_from_any_batch_with_any_workers_and_differs_by_epoch_and_seed(make: Any) -> None:
    def module(**options: Any) -> DatasetDataModule:
        return DatasetDataModule(labelled(9, 4), batch_size=3, sampler=make(), **options)

    whole = [drawn(module(), epoch=epoch) for epoch in range(3)]

    assert [drawn(module(), epoch=epoch, start=2) for epoch in range(3)] == [each[2:] for each in whole]
    assert drawn(module(num_workers=2), epoch=1) == whole[1]
    assert whole[0] != whole[1]
    assert drawn(module(), seed=1) != whole[0]


def test_a_late_start_reads_none_of_the_samples_before_it() -> None:
    dataset = labelled(60, 40)
    loader = Loader(
        DatasetDataModule(dataset, batch_size=10, sampler=WeightedSampler(weights=[1.0] * 100)).train_dataloader,
        seed=0,
        stage="train",
    )
    next(loader.epoch(3, start=9))

    assert dataset.read == 10


@pytest.mark.parametrize("replacement", [True, False])
def test_weights_draw_what_torchs_sampler_draws_from_the_same_generator(replacement: bool) -> None:
    weights = [0.5, 2.0, 1.0, 3.0, 0.25, 1.0]
    sampler = WeightedSampler(weights=weights, num_samples=5, replacement=replacement)
    dataset = labelled(6)
    seed = derive_seed(derive_seed(4, "data", "train"), 2, "order")
    expected = WeightedRandomSampler(weights, 5, replacement, generator=torch.Generator().manual_seed(seed))

    module = DatasetDataModule(dataset, batch_size=2, sampler=sampler)
    assert flat(drawn(module, epoch=2, seed=4)) == list(expected)


def test_classes_come_equally_often_however_rare_they_are() -> None:
    data = DatasetDataModule(
        labelled(900, 90, 10), batch_size=50, sampler=WeightedSampler(by="label", num_samples=6000)
    )
    counts = Counter((index >= 900) + (index >= 990) for batch in drawn(data) for index in batch)

    assert all(abs(count - 2000) < 5 * (6000 * (1 / 3) * (2 / 3)) ** 0.5 for count in counts.values())


def test_weights_come_from_a_file_or_a_field_and_what_has_none_is_never_drawn(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([0.0, 1.0, 3.0]))
    np.savez(tmp_path / "data.npz", i=np.arange(3), w=np.array([0.0, 1.0, 3.0]))
    by_file = WeightedSampler(weights=str(tmp_path / "w.npy"), num_samples=50)
    by_field = WeightedSampler(field="w", num_samples=50)

    epochs = [
        drawn(DatasetDataModule(ArraysDataset(str(tmp_path / "data.npz")), sampler=sampler))
        for sampler in (by_file, by_field, WeightedSampler(weights=[0.0, 1.0, 3.0], num_samples=50))
    ]
    assert epochs[0] == epochs[1] == epochs[2]
    assert {index for batch in epochs[0] for index in batch} == {1, 2}
    assert by_file.files() == [str(tmp_path / "w.npy")]
    assert by_field.files() == []


@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=80),
    batch_size=st.integers(1, 9),
    pool=st.integers(1, 6),
    seed=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_buckets_have_every_sample_once_and_a_smaller_batch_last(
    lengths: list[int], batch_size: int, pool: int, seed: int
) -> None:
    data = DatasetDataModule(texts(lengths), batch_size=batch_size, sampler=BucketSampler("length", pool))
    batches = drawn(data, seed=seed)

    assert sorted(flat(batches)) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_buckets_pad_little_and_still_come_in_a_random_order() -> None:
    lengths = torch.randint(1, 1000, (960,), generator=torch.Generator().manual_seed(0)).tolist()

    def spread(sampler: Any) -> float:
        batches = drawn(DatasetDataModule(texts(lengths), batch_size=16, sampler=sampler))
        return sum(max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches) / len(batches)

    assert spread(BucketSampler("length", pool=60)) < 40
    assert spread(None) > 700
    longest = [max(batch) for batch in drawn(DatasetDataModule(texts(lengths), sampler=BucketSampler("length")))]
    assert longest != sorted(longest)


def test_the_length_of_a_text_or_an_array_counts() -> None:
    samples = Samples(
        {"i": torch.tensor(i), "text": "a" * n, "x": torch.zeros(n, 2)} for i, n in enumerate([5, 1, 5, 1])
    )

    for field in ("text", "x"):
        data = DatasetDataModule(
            samples,
            batch_size=2,
            sampler=BucketSampler(field),
            collate=lambda rows: {"i": torch.stack([r["i"] for r in rows])},
        )
        assert sorted(map(sorted, drawn(data))) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("replacement", [True, False])
def test_more_samples_than_torch_draws_among_are_drawn_by_the_same_chances(replacement: bool) -> None:
    weights = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64).repeat(2000)
    generator = torch.Generator().manual_seed(0)
    order = among_many(weights, 900, replacement=replacement, generator=generator)
    kinds = (order % 3).bincount(minlength=3).tolist()

    assert kinds[0] == 0
    assert abs(kinds[2] / kinds[1] - 3) < 0.6
    assert replacement or len(order.unique()) == 900


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "from one of `by`, `weights` and `field`"),
        ({"by": "label", "field": "w"}, "from one of"),
        ({"by": "label", "num_samples": 0}, "num_samples is a whole number"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WeightedSampler(**arguments)


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (lambda: WeightedSampler(weights=[1.0, 2.0]), "2 weights for 13 training samples"),
        (lambda: WeightedSampler(weights=[-1.0] * 13), "one number from 0 on a sample"),
        (lambda: WeightedSampler(weights=[0.0] * 13), "some above 0"),
        (lambda: WeightedSampler(weights=[1.0] + [0.0] * 12, replacement=False), "without replacement"),
        (lambda: WeightedSampler(by="lable"), "no field `lable`"),
        (lambda: BucketSampler("none"), "no field `none`"),
    ],
)
def test_what_does_not_fit_the_data_is_told(sampler: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        drawn(DatasetDataModule(labelled(9, 4), sampler=sampler()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": 3}, "sampler is a spec"),
        ({"sampler": BucketSampler("i"), "shuffle": True}, "leave `shuffle` out"),
        ({"sampler": BucketSampler("i"), "train": iter([1])}, "for map-style datasets"),
    ],
)
def test_a_sampler_goes_with_map_style_data_and_without_shuffle(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatasetDataModule(**{"train": labelled(3), **options})


class Given:
    def __init__(self, order: Any) -> None:
        self.given = order

    def order(self, samples: int, *, epoch: int, batch_size: int, generator: torch.Generator) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 1], "2 samples, where an epoch has 3"),
        ([0, 1, 3], "beyond the 3"),
        ([0.5, 1.0, 2.0], "whole numbers"),
        ("abc", "str"),
    ],
)
def test_an_order_that_is_none_is_told_with_the_samplers_name(order: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        drawn(DatasetDataModule(labelled(3), sampler=Given(order)))

    assert drawn(DatasetDataModule(labelled(3), sampler=Given([2, 0, 1]))) == [[2, 0, 1]]


def test_a_plugin_registers_a_sampler_that_has_an_order() -> None:
    Registry().register_module("sampler.given", Given)
    with pytest.raises(ConfigError, match="has no `order`, which a sampler needs"):
        Registry().register_module("sampler.none", Samples)


def test_other_weights_in_the_middle_of_an_epoch_are_refused() -> None:
    def loader(weights: list[float], batch_size: int = 2) -> Loader:
        data = DatasetDataModule(labelled(6), batch_size=batch_size, sampler=WeightedSampler(weights=weights))
        return Loader(data.train_dataloader, seed=0, stage="train")

    first = loader([1.0] * 6)
    next(first.epoch(0))
    state = first.state_dict()
    same = loader([1.0] * 6)
    same.load_state_dict(state)
    assert same.position(1) == 1
    for other in (loader([1.0] * 5 + [2.0]), loader([1.0] * 6, batch_size=3)):
        other.load_state_dict(state)
        with pytest.raises(ConfigError, match="what the sampler draws by is another"):
            other.position(1)
