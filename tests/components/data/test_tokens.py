"""dataset.tokens cuts a mapped row of tokens into blocks, with each token's next one."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otrainer.components.data import DatasetDataModule
from otrainer.components.data.tokens import TokensDataset
from otrainer.engine.data.loader import Loader
from otrainer.errors import ConfigError


@given(length=st.integers(2, 60), block=st.integers(1, 12), stride=st.one_of(st.none(), st.integers(1, 14)))
@settings(deadline=None, max_examples=60)
def test_every_whole_block_is_there_with_the_tokens_one_further_on(
    tmp_path_factory: pytest.TempPathFactory, length: int, block: int, stride: int | None
) -> None:
    path = tmp_path_factory.mktemp("tokens") / "t.npy"
    row = np.arange(length, dtype="uint16")
    np.save(path, row)
    dataset = TokensDataset(str(path), block, stride)
    if length <= block:
        with pytest.raises(ConfigError, match="not a row of more than"):
            dataset.check()
        return

    starts = [first for first in range(0, length, stride or block) if first + block + 1 <= length]
    samples = [dataset[index] for index in range(len(dataset))]
    assert [each["tokens"].tolist() for each in samples] == [row[at : at + block].tolist() for at in starts]
    assert [each["targets"].tolist() for each in samples] == [row[at + 1 : at + block + 1].tolist() for at in starts]


def test_batches_are_the_same_with_workers_and_as_declared(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.arange(1000, dtype="int32"))

    def first(workers: int) -> dict[str, list[list[int]]]:
        data = DatasetDataModule(TokensDataset(str(tmp_path / "t.npy"), 16), batch_size=4, num_workers=workers)
        batch = next(Loader(data.train_dataloader, seed=0, stage="train").epoch(1, start=3))
        assert {name: (each.shape, each.dtype) for name, each in batch.items()} == {
            name: (each.shape, each.dtype) for name, each in data.example_batch().items()
        }
        return {name: each.tolist() for name, each in batch.items()}

    assert first(0) == first(1)


def test_it_names_its_file_and_goes_to_workers_without_its_data(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.arange(100_000))
    dataset = TokensDataset(str(tmp_path / "t.npy"), 8)

    assert dataset.files() == [str(tmp_path / "t.npy")]
    assert len(dataset) == 12_499
    assert len(pickle.dumps(dataset)) < 500


@pytest.mark.parametrize("array", [np.zeros(100), np.zeros((10, 10), dtype="int64"), np.zeros(8, dtype="int64")])
def test_what_is_no_row_of_tokens_is_told(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(ConfigError, match="not a row of more than 8 whole numbers"):
        TokensDataset(str(tmp_path / "t.npy"), 8).check()
