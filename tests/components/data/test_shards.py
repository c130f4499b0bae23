"""dataset.shards reads samples of many files, and sampler.shards draws them file by file, once an epoch each."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from support import StopAt, fit, parameters_of, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.data.shards import ShardSampler, ShardsDataset
from otrainer.engine.data.loader import Loader
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

SIZES = [5, 3, 0, 7, 4, 6]  # of shards; 25 samples


def rows_of(shard: int) -> list[dict[str, Any]]:
    first = sum(SIZES[:shard])
    numbers = range(first, first + SIZES[shard])
    return [{"i": n, "x": [n / 10, 1.0, 0.5, n / 25], "y": [n / 5]} for n in numbers]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        torch.save({name: torch.tensor([row[name] for row in rows]) for name in rows[0]}, path)
    return str(path)


@pytest.fixture(params=[".jsonl", ".parquet", ".pt"])
def paths(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return [write(tmp_path / f"{n}{request.param}", rows_of(n)) for n, size in enumerate(SIZES) if size]


def test_samples_of_all_files_have_numbers_in_a_row(paths: list[str]) -> None:
    data = ShardsDataset(paths, open_files=2)

    assert [data[index]["i"].item() for index in range(len(data))] == list(range(25))
    assert {name: (each.shape, each.dtype) for name, each in data[7].items()} == {
        "i": ((), torch.int64),
        "x": ((4,), torch.float32),
        "y": ((1,), torch.float32),
    }
    assert list(ShardsDataset(paths, fields=["y"])[0]) == ["y"]
    assert len(data._open) <= 2
    assert data.files() == paths
    assert len(pickle.dumps(data)) < 1500


def drawn(data: DatasetDataModule, *, epoch: int = 0, start: int = 0, seed: int = 0) -> list[list[int]]:
    loader = Loader(data.train_dataloader, seed=seed, stage="train")
    return [batch["i"].tolist() for batch in loader.epoch(epoch, start=start)]


@pytest.mark.parametrize("mix", [1, 2, 9])
def test_an_epoch_has_each_sample_once_and_a_few_files_at_a_time(paths: list[str], mix: int) -> None:
    data = ShardsDataset(paths)
    shards = data.column("shard")
    module = DatasetDataModule(data, batch_size=4, sampler=ShardSampler(mix))
    epochs = [[index for batch in drawn(module, epoch=epoch) for index in batch] for epoch in range(3)]

    for order in epochs:
        assert sorted(order) == list(range(25))
        last = {shard: place for place, shard in enumerate(shards[index] for index in order)}
        first = {shard: 24 - place for place, shard in enumerate(shards[index] for index in reversed(order))}
        assert all(sum(first[shard] <= place <= last[shard] for shard in last) <= mix for place in range(25))
    assert len({tuple(order) for order in epochs}) == 3


def test_workers_share_an_epoch_without_gaps_and_it_begins_anywhere(paths: list[str]) -> None:
    """Public reports: streams that give each sample once a worker, or go on elsewhere after a resume."""

    def batches(workers: int, start: int = 0) -> list[list[int]]:
        data = ShardsDataset(paths, open_files=2)
        module = DatasetDataModule(data, batch_size=4, sampler=ShardSampler(2), num_workers=workers)
        return drawn(module, epoch=2, start=start)

    whole = batches(0)
    assert batches(2) == whole
    assert batches(0, 3) == whole[3:]


def test_a_split_leaves_the_rest_to_be_drawn_file_by_file(paths: list[str]) -> None:
    data = DatasetDataModule(
        ShardsDataset(paths), batch_size=4, sampler=ShardSampler(1), split={"val": 5, "groups": "shard"}
    )
    order = [index for batch in drawn(data) for index in batch]

    held_out = set(range(25)) - set(order)
    assert len({data.train.column("shard")[index] for index in held_out}) == 1


@pytest.mark.parametrize("stops", [(1, 4), (6, 7), (7, 10)])
def test_a_run_that_is_stopped_twice_ends_as_if_it_had_not_been(tmp_path: Path, stops: tuple[int, int]) -> None:
    paths = [write(tmp_path / f"{n}.jsonl", rows_of(n)) for n, size in enumerate(SIZES) if size]

    def train(folder: str, *, stop_at: int | None = None, resume: bool = False) -> torch.Tensor:
        last = tmp_path / folder / "last.pt"
        with StopRequest():
            model = fit(
                small_model(),
                DatasetDataModule(ShardsDataset(paths, open_files=1), batch_size=4, sampler=ShardSampler(2)),
                trainer={"max_epochs": 2},
                callbacks=[ModelCheckpoint(str(last.parent)), StopAt(stop_at)],
                run={"resume_from": str(last)} if resume else {},
            )
        return parameters_of(model)

    with pytest.raises(TrainingInterrupted):
        train("broken", stop_at=stops[0])
    with pytest.raises(TrainingInterrupted):
        train("broken", stop_at=stops[1], resume=True)
    assert torch.equal(train("broken", resume=True), train("whole"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'\n{"x": 1\n', r"Line 2 of `.*a\.jsonl` is no JSON"),
        ("a.jsonl", b"[1, 2]\n", "A sample of `.*` is of type `list`"),
        ("a.jsonl", b'{"z": 1}\n', "has no field `x`; it has z"),
        ("a.parquet", b"PAR1", r"a\.parquet` cannot be read as a table"),
        ("a.pt", b"no zip", r"a\.pt` cannot be read as tensors"),
    ],
)
def test_a_file_that_is_damaged_is_told(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        ShardsDataset(str(tmp_path / name), fields=["x"]).check()


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.pt"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="There is no data file"):
        ShardsDataset(str(tmp_path / name)).check()


def test_arguments_that_fit_no_shards_are_refused() -> None:
    with pytest.raises(ValueError, match="files that end in"):
        ShardsDataset("a.tar")
    with pytest.raises(ValueError, match="path is a file or a list"):
        ShardsDataset([])
    with pytest.raises(ValueError, match="mix is a whole number"):
        ShardSampler(0)
