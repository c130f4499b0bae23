"""collate.pad fills fields of different lengths up to one, in samples of any nesting, and says what it cannot fill."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from otrainer.components.data import DatasetDataModule
from otrainer.components.data.pad import PadCollate
from otrainer.components.data.samplers import BucketSampler
from otrainer.engine.data.loader import Loader
from otrainer.errors import ConfigError


@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    multiple=st.one_of(st.none(), st.integers(1, 4)),
    side=st.sampled_from(["right", "left"]),
)
@settings(deadline=None, max_examples=60)
def test_rows_are_filled_as_torch_does_and_lengths_and_mask_say_where(
    lengths: list[int], multiple: int | None, side: str
) -> None:
    rows = [torch.arange(1, length + 1) for length in lengths]
    pad = PadCollate(["t"], -1, multiple_of=multiple, lengths=True, mask=True, side=side)
    batch = pad([{"t": row} for row in rows])

    plain = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1, padding_side=side)
    width = -(-plain.shape[1] // (multiple or 1)) * (multiple or 1)
    fill = (0, width - plain.shape[1]) if side == "right" else (width - plain.shape[1], 0)
    assert torch.equal(batch["t"], torch.nn.functional.pad(plain, fill, value=-1))
    assert torch.equal(batch["t_mask"], batch["t"] != -1)
    assert batch["t_length"].tolist() == lengths


class Step(NamedTuple):
    obs: dict[str, Any]
    action: list[float]


def test_fields_may_lie_in_mappings_tuples_and_lists() -> None:
    samples = [
        Step({"image": torch.ones(n, 2), "id": n}, [0.5] * n) for n in (2, 3)
    ]  # of a policy: observations and actions of an episode
    batch = PadCollate(["0.image", "1"], {"0.image": 7})(samples)

    assert isinstance(batch, Step)
    assert batch.obs["image"].shape == (2, 3, 2)
    assert batch.obs["image"][0, 2].tolist() == [7.0, 7.0]
    assert batch.obs["id"].tolist() == [2, 3]
    assert batch.action.tolist() == [[0.5, 0.5, 0.0], [0.5, 0.5, 0.5]]
    assert samples[0].obs["image"].shape == (2, 2)


def test_several_fields_have_values_of_their_own_and_at_most_so_many_are_kept() -> None:
    pad = PadCollate(["x", "y"], {"y": -100}, max_length=4, multiple_of=2)
    batch = pad([{"x": [1, 2, 3], "y": [1]}, {"x": [1, 2, 3, 4, 5, 6], "y": []}])

    assert batch["x"].tolist() == [[1, 2, 3, 0], [1, 2, 3, 4]]
    assert batch["y"].tolist() == [[1, -100], [-100, -100]]
    assert batch["y"].dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_filled_is_told_with_the_sample(workers: int) -> None:
    data = [{"x": torch.zeros(2, dtype=torch.uint8)}, {"x": torch.zeros(3, dtype=torch.uint8)}]

    def first(**options: Any) -> None:
        module = DatasetDataModule(
            data, collate=PadCollate(**options), shuffle=False, batch_size=2, num_workers=workers
        )
        next(Loader(module.train_dataloader, seed=0, stage="train").epoch(0))

    with pytest.raises(ConfigError, match=r"`x` is of torch.uint8 in sample 0, which cannot hold the value -100"):
        first(fields=["x"], value=-100)
    with pytest.raises(ConfigError, match="sample 0 has no `z`"):
        first(fields=["z"])


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([{"x": 3}], "`x` has no length in sample 0"),
        ([{"x": "abc"}], "`x` is of type `str` in sample 0"),
        (
            [{"x": torch.zeros(1, 2)}, {"x": torch.zeros(2, 3)}],
            r"`x` is \[2, 2\] in sample 0, and \[2, 3\] in sample 1",
        ),
        ([{"x": [1]}, {}], "sample 1 has no `x`"),
    ],
)
def test_samples_without_such_a_field_are_told(samples: list[Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PadCollate(["x"])(samples)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fields": "x"}, "fields is a list of names"),
        ({"fields": ["x"], "multiple_of": 8, "max_length": 12}, "no multiple of multiple_of"),
        ({"fields": ["x"], "value": {"y": 1}}, "none of fields"),
        ({"fields": ["x"], "side": "top"}, "side is right or left"),
        ({"fields": ["x"], "value": "0"}, "value is a number"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PadCollate(**options)


def test_batches_by_length_are_filled_little() -> None:
    data = [{"t": torch.zeros(1 + n % 10)} for n in range(60)]
    module = DatasetDataModule(data, batch_size=6, sampler=BucketSampler("t"), collate=PadCollate(["t"], mask=True))
    batches = list(Loader(module.train_dataloader, seed=0, stage="train").epoch(0))

    assert all(batch["t_mask"].float().mean() == 1 for batch in batches)
