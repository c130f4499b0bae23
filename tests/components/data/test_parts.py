"""Splits and folds: parts by a seed of their own that share no sample and leave none out."""

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

from otrainer.components.data import DatasetDataModule
from otrainer.components.data.arrays import ArraysDataset
from otrainer.components.data.parts import Split
from otrainer.engine.data.loader import Loader
from otrainer.errors import ConfigError


def numbers_of(batches: Any) -> list[int]:
    return [number for batch in batches for number in batch["i"].tolist()]


def flat(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def labelled(labels: list[int], plus: int = 0) -> list[dict[str, Any]]:
    return [{"i": torch.tensor(index + plus), "label": label} for index, label in enumerate(labels)]


LABELS = st.lists(st.integers(0, 3), min_size=12, max_size=90)


@given(LABELS, st.floats(0.1, 0.4), st.integers(1, 4), st.integers(0, 9), st.booleans())
@settings(deadline=None, max_examples=60)
def test_the_parts_share_no_sample_and_have_them_all(
    labels: list[int], val: float, test: int, seed: int, by: bool
) -> None:
    split = Split({"val": val, "test": test, "seed": seed, "by": "label" if by else None}, None)
    parts = split.parts(labelled(labels))

    assert sorted(flat(parts.values())) == list(range(len(labels)))
    assert len(parts["test"]) == test
    assert len(parts["val"]) == round(val * len(labels))


@given(LABELS, st.integers(2, 6), st.integers(0, 9), st.booleans(), st.sampled_from([None, 0.1]))
@settings(deadline=None, max_examples=40)
def test_each_sample_is_validated_on_in_one_fold_and_tested_on_in_none(
    labels: list[int], of: int, seed: int, by: bool, test: float | None
) -> None:
    fold = {"of": of, "seed": seed, "by": "label" if by else None}
    taken = {"test": test, "seed": 3} if test else None
    folds = [Split(taken, {**fold, "index": index}).parts(labelled(labels)) for index in range(of)]
    tests = {tuple(each.get("test", ())) for each in folds}
    held_out = [number for each in folds for number in each["val"]]

    assert len(tests) == 1
    assert sorted([*held_out, *tests.pop()]) == list(range(len(labels)))
    assert all(sorted(flat(each.values())) == list(range(len(labels))) for each in folds)
    sizes = [len(each["val"]) for each in folds]
    assert max(sizes) - min(sizes) <= 1


@given(LABELS, st.floats(0.15, 0.4), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_by_a_field_each_part_has_the_classes_in_their_shares(labels: list[int], share: float, seed: int) -> None:
    parts = Split({"val": share, "test": share, "seed": seed, "by": "label"}, None).parts(labelled(labels))
    whole = Counter(labels)

    for name in ("val", "test"):
        found = Counter(labels[number] for number in parts[name])
        exact = len(parts[name]) / len(labels)
        assert all(abs(found[label] - exact * count) <= 2 for label, count in whole.items())


def test_the_parts_follow_from_their_own_seed_alone() -> None:
    def parts(seed: int, run: int) -> tuple[list[int], list[int]]:
        data = DatasetDataModule(labelled([0] * 40), split={"val": 0.25, "seed": seed}, batch_size=7)
        train, val = (Loader(each, seed=run, stage="train") for each in (data.train_dataloader, data.val_dataloader))
        return sorted(numbers_of(train.epoch(run))), numbers_of(val.epoch(0))

    assert parts(0, run=0) == parts(0, run=5)
    assert parts(0, run=0) != parts(1, run=0)
    # The same on every machine, so that a run's validation data are never trained on by a later version.
    assert Split({"val": 3}, None).parts(labelled([0] * 12))["val"] == [1, 5, 10]


def test_the_test_part_is_given_in_order_and_never_trained_on() -> None:
    data = DatasetDataModule(labelled([0] * 20), split={"val": 0.2, "test": 0.2}, batch_size=3, val_batch_size=5)
    parts = {name: numbers_of(data.batches_of(name) or ()) for name in ("train", "val", "test")}

    assert {name: len(part) for name, part in parts.items()} == {"train": 12, "val": 4, "test": 4}
    assert all(part == sorted(part) for part in parts.values())
    assert sorted(flat(parts.values())) == list(range(20))
    assert sorted(numbers_of(Loader(data.train_dataloader, seed=0, stage="train").epoch(0))) == parts["train"]


def test_a_test_set_of_its_own_is_given_too_and_none_where_there_is_none() -> None:
    data = DatasetDataModule(labelled([0] * 4), test=labelled([0] * 3, plus=100))

    assert numbers_of(data.batches_of("test") or ()) == [100, 101, 102]
    assert data.batches_of("val") is None
    assert DatasetDataModule(labelled([0] * 4)).batches_of("test") is None


def test_validation_samples_may_be_read_from_a_dataset_without_augmentation() -> None:
    plain, augmented = labelled([0] * 10), labelled([0] * 10, plus=1000)
    data = DatasetDataModule(augmented, plain, split={"val": 3})
    val = numbers_of(data.val_dataloader() or ())
    train = numbers_of(data.batches_of("train") or ())

    assert max(val) < 10
    assert sorted([*val, *(number - 1000 for number in train)]) == list(range(10))


def test_a_part_of_arrays_is_read_by_whole_batches(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", i=np.arange(30), label=np.arange(30) % 3)
    arrays = ArraysDataset(str(tmp_path / "data.npz"))
    data = DatasetDataModule(arrays, split={"val": 6, "by": "label"}, batch_size=8)
    val = numbers_of(data.val_dataloader() or ())

    assert Counter(number % 3 for number in val) == {0: 2, 1: 2, 2: 2}
    assert sorted([*val, *numbers_of(data.batches_of("train") or ())]) == list(range(30))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": {}}, "split names what it takes"),
        ({"split": {"val": 1.5}}, "split.val is a share between 0 and 1"),
        ({"split": {"val": True}}, "split.val is a share"),
        ({"split": {"vla": 0.1}}, "no `vla`; it has val"),
        ({"split": {"val": 0.1, "seed": -1}}, "split.seed is a whole number"),
        ({"split": {"val": 0.1, "by": 3}}, "split.by names a field"),
        ({"split": 0.1}, "split is a mapping"),
        ({"fold": {"of": 1, "index": 0}}, "fold.of is a whole number from 2 on"),
        ({"fold": {"of": 5, "index": 5}}, "fold.index is a whole number from 0 to 4"),
        ({"fold": {"of": 5, "index": 0}, "split": {"val": 0.1}}, "split.val is for runs without one"),
        ({"split": {"val": 0.1}, "train": iter([1])}, "for map-style datasets"),
    ],
)
def test_what_splits_nothing_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatasetDataModule(**{"train": labelled([0] * 9), **options})


def test_an_empty_part_and_a_dataset_of_another_length_are_told() -> None:
    with pytest.raises(ConfigError, match="none is left for `train`"):
        DatasetDataModule(labelled([0] * 3), split={"val": 3}).train_dataloader()
    with pytest.raises(ConfigError, match="`val` has 4 samples and `train` 3"):
        DatasetDataModule(labelled([0] * 3), labelled([0] * 4), split={"val": 1}).val_dataloader()


GROUPS = st.lists(st.sampled_from("abcdefghij"), min_size=12, max_size=60)


@given(GROUPS, st.floats(0.1, 0.4), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_a_group_is_in_one_part_and_parts_are_as_near_to_their_sizes_as_groups_let_them(
    groups: list[str], share: float, seed: int
) -> None:
    samples = [{"i": torch.tensor(index), "patient": group} for index, group in enumerate(groups)]
    split = Split({"val": share, "test": 2, "seed": seed, "groups": "patient"}, None)
    try:
        parts = split.parts(samples)
    except ConfigError as error:
        assert "none is left" in str(error)
        return

    assert sorted(flat(parts.values())) == list(range(len(groups)))
    within = [{groups[index] for index in part} for part in parts.values()]
    assert sum(map(len, within)) == len(set(groups))
    assert abs(len(parts["test"]) - 2) <= max(map(groups.count, groups))


def test_folds_by_groups_take_turns_and_share_none() -> None:
    groups = [n % 7 for n in range(40)]
    samples = [{"patient": group} for group in groups]
    folds = [Split(None, {"of": 3, "index": index, "groups": "patient"}).parts(samples) for index in range(3)]

    assert sorted(flat(fold["val"] for fold in folds)) == list(range(40))
    for fold in folds:
        assert not {groups[index] for index in fold["val"]} & {groups[index] for index in fold["train"]}


def test_where_a_group_goes_follows_from_the_seed_and_its_value_not_from_the_order_of_samples() -> None:
    groups = [str(n // 4) for n in range(40)]

    def val(order: list[str]) -> set[str]:
        parts = Split({"val": 12, "groups": "g"}, None).parts([{"g": group} for group in order])
        return {order[index] for index in parts["val"]}

    assert val(groups) == val(groups[::-1])
    assert len(val(groups)) == 3


def test_classes_and_groups_together_are_refused() -> None:
    with pytest.raises(ValueError, match="by classes"):
        Split({"val": 0.5, "by": "a", "groups": "b"}, None)
    with pytest.raises(ValueError, match=r"split\.groups names a field"):
        Split({"val": 0.5, "groups": 3}, None)


@pytest.mark.parametrize("way", ["by", "groups"])
def test_a_field_of_several_numbers_names_no_classes(way: str) -> None:
    samples = [{"x": torch.zeros(2)} for _ in range(4)]

    with pytest.raises(ConfigError, match="The field `x` does not name classes"):
        Split({"val": 1, way: "x"}, None).parts(samples)
