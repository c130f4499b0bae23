"""dataset.csv and dataset.parquet make samples of rows, and say where a value is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from support import StopAt, fit, parameters_of, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.data.tables import CsvDataset, ParquetDataset
from otrainer.engine.data.loader import Loader
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

ROWS = {
    "rooms": [3, 5, 1, 4],
    "area": [70.5, 120.0, 30.0, 90.25],
    "town": ["Ulm", "Bonn", "NA", "Bonn"],
    "price": [1.5, 3.0, 0.5, 2.0],
    "kind": ["flat", "house", "flat", "house"],
    "patient": [7, 7, 8, 9],
}


def write(path: Path, rows: dict[str, list[Any]] = ROWS) -> str:
    """Write a table in the format of the path's suffix."""
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(rows), path)
    else:
        lines = zip(*rows.values(), strict=True)
        path.write_text("\n".join([",".join(rows), *(",".join(map(str, line)) for line in lines)]) + "\n")
    return str(path)


def with_row(**values: Any) -> dict[str, list[Any]]:
    """The rows, and one more that differs from the first one by some values."""
    return {name: [*column, values.get(name, column[0])] for name, column in ROWS.items()}


@pytest.fixture(params=[(".csv", CsvDataset), (".parquet", ParquetDataset)], ids=["csv", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Make a dataset of rows in either format."""
    suffix, kind = request.param

    def make(rows: dict[str, list[Any]] = ROWS, *, name: str = "t", **options: Any) -> Any:
        return kind(write(tmp_path / f"{name}{suffix}", rows), **options)

    return make


def test_rows_are_samples_of_features_categories_and_a_target(table: Any) -> None:
    data = table(features=["rooms", "area"], categories=["town", "kind"], target="price")

    assert len(data) == 4
    sample = data[1]
    assert {name: (each.tolist(), each.dtype) for name, each in sample.items()} == {
        "x": ([5.0, 120.0], torch.float32),
        "categories": ([0, 1], torch.int64),  # of Bonn, NA, Ulm and of flat, house
        "y": (3.0, torch.float32),
    }
    batch = data.batch([2, 0])
    assert batch["categories"].tolist() == [[1, 0], [2, 0]]
    assert batch["x"].tolist() == [[1.0, 30.0], [3.0, 70.5]]


def test_targets_are_codes_where_they_are_texts_and_of_the_type_that_is_asked_for(table: Any) -> None:
    def y(**options: Any) -> torch.Tensor:
        return table(features=["area"], **options)[3]["y"]

    assert (y(target="kind").item(), y(target="kind").dtype) == (1, torch.int64)
    assert (y(target="patient").item(), y(target="patient").dtype) == (9, torch.int64)
    assert y(target="patient", target_dtype="codes").item() == 2
    assert y(target="patient", target_dtype="float64").dtype == torch.float64
    assert y(target=["price", "rooms"]).tolist() == [2.0, 4.0]
    assert y(target=["price"]).shape == (1,)


def test_features_are_all_columns_that_are_named_nowhere_else(table: Any) -> None:
    data = table(target="price", categories=["town", "kind"])

    assert data.feature_names() == ["rooms", "area", "patient"]
    assert data[0]["x"].tolist() == [3.0, 70.5, 7.0]


def test_files_come_one_under_the_other_and_count_by_their_content(table: Any) -> None:
    one, two = table(name="a", features=["rooms"]), table(with_row(rooms=9), name="b", features=["rooms"])
    both = type(one)([*one.files(), *two.files()], features=["rooms"])

    assert both.column("rooms") == [3, 5, 1, 4, 3, 5, 1, 4, 9]
    assert len(both) == 9
    assert both.files() == [one.path, two.path]


def test_batches_are_as_declared_and_the_same_with_workers(table: Any) -> None:
    def batches(workers: int) -> list[list[float]]:
        data = DatasetDataModule(table(features=["area"], target="kind"), batch_size=3, num_workers=workers)
        found = list(Loader(data.train_dataloader, seed=0, stage="train").epoch(1))
        assert {name: (each.shape, each.dtype) for name, each in found[0].items()} == {
            name: (each.shape, each.dtype) for name, each in data.example_batch().items()
        }
        return [batch["x"].flatten().tolist() for batch in found]

    assert batches(0) == batches(1)


def first_epoch(batches: Any) -> list[Any]:
    return list(Loader(lambda: batches, seed=0, stage="val").epoch(0))


def test_statistics_are_those_of_the_training_part_alone(table: Any) -> None:
    """Public reports: scalers that are fitted before data are split, and leak what validation has into training."""
    rows = {"a": [float(n * n) for n in range(40)], "y": [float(n) for n in range(40)]}
    data = DatasetDataModule(table(rows, target="y", normalize=True), batch_size=40, split={"val": 0.3, "test": 0.2})
    parts = data.split.parts(data.train)
    trained = torch.tensor([rows["a"][index] for index in parts["train"]], dtype=torch.float64)
    given = torch.tensor([rows["a"][index] for index in parts["val"]], dtype=torch.float64)
    expected = ((given - trained.mean()) / trained.std(correction=0)).float()

    [val] = first_epoch(data.val_dataloader())
    assert val["x"].flatten().tolist() == expected.tolist()
    [train] = first_epoch(data.train_dataloader())
    assert train["x"].mean().abs() < 1e-6
    assert (train["x"].std(correction=0) - 1).abs() < 1e-6
    assert sorted(train["y"].tolist()) == [float(index) for index in parts["train"]]


def test_each_fold_has_statistics_of_its_own(table: Any) -> None:
    rows = {"a": [float(n * n) for n in range(40)], "y": [0] * 40}

    def mean(index: int) -> float:
        data = DatasetDataModule(
            table(rows, target="y", normalize=["a"]), batch_size=40, fold={"of": 4, "index": index}
        )
        return float(first_epoch(data.train_dataloader())[0]["x"].mean())

    assert all(abs(mean(index)) < 1e-6 for index in range(4))


def test_data_of_another_file_take_codes_and_statistics_of_the_training_data(table: Any) -> None:
    options: dict[str, Any] = {"features": ["area"], "categories": ["town"], "target": "price", "normalize": True}
    few = {name: column[1:2] for name, column in ROWS.items()}
    data = DatasetDataModule(table(**options), table(few, name="val", **options), batch_size=4)
    [train], [val] = first_epoch(data.train_dataloader()), first_epoch(data.val_dataloader())

    area = torch.tensor(ROWS["area"], dtype=torch.float64)
    assert val["x"].item() == ((area - area.mean()) / area.std(correction=0)).float()[1]
    assert train["x"].max() == val["x"].item()
    assert val["categories"].tolist() == [[0]]
    named = DatasetDataModule(table(**options), {"few": table(few, name="val", **options)}, batch_size=4)
    assert first_epoch(named.batches_of("few"))[0]["x"].item() == val["x"].item()


def test_a_class_that_the_training_data_lack_is_told_with_its_row(table: Any) -> None:
    options: dict[str, Any] = {"features": ["area"], "categories": ["town"]}
    data = DatasetDataModule(table(**options), table(with_row(town="Bon"), name="val", **options))

    with pytest.raises(ConfigError, match=r"`town` is 'Bon' in row 5 of `.*val\..*`, which it nowhere is") as caught:
        first_epoch(data.val_dataloader())
    assert caught.value.suggestions == ["Bonn"]


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_a_missing_value_is_told_with_row_and_column_or_filled(table: Any, gap: float | None) -> None:
    rows = with_row(area="" if table(ROWS).path.endswith(".csv") and gap is None else gap)
    data = table(rows, features=["rooms", "area"])

    with pytest.raises(ConfigError, match=r"`area` is (missing|not finite) in row 5 of "):
        data.check()
    assert table(rows, features=["area"], fill={"area": 40})[4]["x"].item() == 40.0


def test_a_missing_text_is_told_and_na_among_texts_is_a_text(table: Any) -> None:
    rows = with_row(town="" if table(ROWS).path.endswith(".csv") else None)

    with pytest.raises(ConfigError, match="`town` is missing in row 5"):
        table(rows, features=["area"], categories=["town"]).check()
    assert table(rows, features=["area"], categories=["town"], fill={"town": "?"}).fields["categories"].tolist() == [
        [3],
        [1],
        [2],
        [1],
        [0],
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": ["aera"]}, r"no column `aera`; it has `rooms`, `area`"),
        ({"features": ["area", "town"]}, r"`town` is of type string, not of numbers: row 1 of `.*` has 'Ulm'"),
        ({"features": ["area"], "fill": {"area": "none"}}, "`area` is of type double, and is filled by 'none'"),
        ({"features": ["area"], "fill": {"rooms": 1}}, "`rooms` is filled, and no column of a sample"),
        ({"features": ["area"], "normalize": ["rooms"]}, "`rooms` is normalised, and no feature or target"),
    ],
)
def test_what_does_not_fit_the_columns_is_told(table: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        table(**options).check()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": ["a"], "target": "a"}, "named twice"),
        ({"features": "a", "dtype": "float23"}, "dtype is one of torch's names such as float"),
        ({"features": [1]}, "features is a text or a list of texts"),
        ({"features": []}, "features or categories a column"),
        ({"features": ["a"], "fill": 0}, "fill is a mapping"),
        ({"features": ["a"], "delimiter": ";;"}, "delimiter is one character"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CsvDataset("a.csv", **options)


def test_a_file_that_is_no_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n3\n")
    (tmp_path / "odd.parquet").write_bytes(b"PAR1 and no more")
    for kind, name in ((CsvDataset, "odd.csv"), (ParquetDataset, "odd.parquet")):
        with pytest.raises(ConfigError, match=f"{name}` cannot be read as a table"):
            kind(str(tmp_path / name)).check()
    with pytest.raises(ConfigError, match="no data file") as caught:
        CsvDataset(str(tmp_path / "od.csv")).check()
    assert caught.value.suggestions == ["odd.csv"]


def test_a_number_far_below_the_first_rows_counts_and_so_does_a_text(tmp_path: Path) -> None:
    """Public reports: readers that take a column's type from its first block fail, or change it, further below."""
    path = tmp_path / "long.csv"
    path.write_text("n\n" + "1\n" * 600_000 + "2.5\n")
    assert CsvDataset(str(path), features=["n"])[600_000]["x"].item() == 2.5
    path.write_text("n\n" + "1\n" * 600_000 + "x\n")
    with pytest.raises(ConfigError, match=r"row 600001 of `.*` has 'x'"):
        CsvDataset(str(path), features=["n"]).check()


def test_quoted_lines_and_other_delimiters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('t;n\n"two\nlines; one value";1\nb;2\n')

    assert CsvDataset(str(path), features=["n"], delimiter=";").column("t") == ["two\nlines; one value", "b"]


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ("1e39,1", {}, "`a` is 1e\\+39 in row 1 of .*, which torch.float32 cannot hold"),
        ("1,300", {"target_dtype": "uint8"}, "`y` is 300 in row 1 of .*, which torch.uint8 cannot hold"),
        ("1,1.5", {"target_dtype": "int64"}, "`y` is 1.5 in row 1 of .*, which torch.int64 cannot hold"),
        ("", {}, "no rows"),
    ],
)
def test_a_number_is_never_another_one_to_fit_a_type(
    tmp_path: Path, rows: str, options: dict[str, Any], words: str
) -> None:
    (tmp_path / "a.csv").write_text(f"a,y\n{rows}\n")

    with pytest.raises(ConfigError, match=words):
        CsvDataset(str(tmp_path / "a.csv"), target="y", **options).check()


def test_the_rounding_of_a_constant_is_not_blown_up(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y\n0.1,1\n0.1,2\n0.1,3\n")
    data = CsvDataset(str(tmp_path / "a.csv"), target="y", normalize=True)

    assert data.batch([0, 1, 2])["x"].abs().max() < 1e-6


@pytest.mark.parametrize("stops", [(1, 2), (3, 5), (4, 6)])
def test_a_run_that_is_stopped_twice_ends_as_one_on_plain_tensors(tmp_path: Path, stops: tuple[int, int]) -> None:
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows: dict[str, list[Any]] = {f"f{n}": x[:, n].tolist() for n in range(4)}
    path = write(tmp_path / "t.parquet", {**rows, "y": x.sum(1).tolist()})
    mean, deviation = x.mean(0), x.std(0, correction=0)
    plain = [
        {"x": row, "y": y}
        for row, y in zip(((x - mean) / deviation).float(), x.sum(1, keepdim=True).float(), strict=True)
    ]

    def train(data: Any, folder: str, *, stop_at: int | None = None, resume: bool = False) -> torch.Tensor:
        last = tmp_path / folder / "last.pt"
        with StopRequest():
            model = fit(
                small_model(),
                DatasetDataModule(data, batch_size=4),
                trainer={"max_epochs": 3},
                callbacks=[ModelCheckpoint(str(last.parent)), StopAt(stop_at)],
                run={"resume_from": str(last)} if resume else {},
            )
        return parameters_of(model)

    def table() -> ParquetDataset:
        return ParquetDataset(path, target=["y"], normalize=True)

    with pytest.raises(TrainingInterrupted):
        train(table(), "broken", stop_at=stops[0])
    with pytest.raises(TrainingInterrupted):
        train(table(), "broken", stop_at=stops[1], resume=True)
    assert torch.equal(train(table(), "broken", resume=True), train(plain, "whole"))
