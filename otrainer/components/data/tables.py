"""dataset.csv and dataset.parquet: samples from the rows of tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from otrainer.components.data.columns import plain
from otrainer.components.data.table_columns import classes_in, codes_in, held_as, is_coded, numbers_in
from otrainer.components.data.table_files import Table, read_csv, read_parquet, read_tables
from otrainer.components.moments import without_rounding
from otrainer.errors import ConfigError, nearest

CODES = "codes"
DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@dataclass(eq=False)
class TableDataset:
    """Samples `{x, categories, y}` of a table's rows, in the order of the files, read whole into memory.

    `path` is a file or a list of files, one under the other. `features` are the columns of `x`, `[features]`, by
    default all that are named nowhere else. `categories` are columns of codes, `[categories]` int64, each a place among
    its column's sorted values. `target` is a column, `y` without a dimension then, or a list of columns, `[targets]`.
    `dtype` is that of features, and of targets that are no whole numbers. `target_dtype` is that of all targets, or
    `codes`, by default codes of texts and truth values, and int64 of whole numbers. `normalize` brings features to mean
    0 and standard deviation 1 (not Bessel's), all of them or a list of columns, among which may be targets. `fill` has
    by column what stands for a missing value.

    Codes and statistics are those of the training data, of its training part alone where `split` or `fold` takes parts
    of it. Raises ConfigError for what is missing, unknown, not a number, or a class that the training data lack, with
    file, row and column; ValueError for arguments that do not go together.
    """

    path: str | Sequence[str]
    features: Sequence[str] | None = None
    target: str | Sequence[str] | None = None
    categories: Sequence[str] = field(default_factory=list)
    dtype: str = "float32"
    target_dtype: str | None = None
    normalize: bool | Sequence[str] = False
    fill: Mapping[str, Any] | None = None
    classes: dict[str, tuple[Any, ...]] | None = field(default=None, init=False, repr=False)
    statistics: dict[str, tuple[float, float]] | None = field(default=None, init=False, repr=False)
    _found: tuple[Any, Any, Any] | None = field(default=None, init=False, repr=False)
    _table: Table | None = field(default=None, init=False, repr=False)
    _fields: dict[str, torch.Tensor] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.paths = [os.fspath(each) for each in listed("path", self.path)]
        self.targets, self.coded = listed("target", self.target, none=True), listed("categories", self.categories)
        self.scaled = [] if isinstance(self.normalize, bool) else listed("normalize", self.normalize)
        if self.features is not None:
            self.features = listed("features", self.features)
        if not self.paths or (self.features == [] and not self.coded):
            raise ValueError("path names a file at least, and features or categories a column")
        check_dtype("dtype", self.dtype, DTYPES)
        if self.target_dtype is not None:
            check_dtype("target_dtype", self.target_dtype, (CODES, *DTYPES))
        if not isinstance(self.fill, Mapping | None):
            raise ValueError(f"fill is a mapping of column to value, not {self.fill!r}")
        named = [*(self.features or ()), *self.coded, *self.targets]
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"the column {twice[0]!r} is named twice among features, categories and target")

    def files(self) -> list[str]:
        """Return the files whose content is the data."""
        return self.paths

    def check(self) -> None:
        self.batch([])

    def fit_to(self, train: Any, indices: Sequence[int] | None) -> None:
        """Take codes and statistics of the training data: of its samples at `indices`, or of all."""
        source = train if isinstance(train, TableDataset) else self
        classes, statistics = source.found_in(indices)
        if any(name not in classes for name in self.coded):  # which the training data leave out
            classes = {**self.found_in(None)[0], **classes}
        if (classes, statistics) != (self.classes, self.statistics):
            self.classes, self.statistics, self._fields = classes, statistics, None

    def found_in(
        self, indices: Sequence[int] | None
    ) -> tuple[dict[str, tuple[Any, ...]], dict[str, tuple[float, float]]]:
        """Return the classes of all samples, and the statistics of those at `indices`."""
        if self._found is None or self._found[0] != indices:
            self._found = (indices, self.classes_found(), self.statistics_of(indices))
        return self._found[1], self._found[2]

    @property
    def table(self) -> Table:
        if self._table is None:
            self._table = self._read(None if self.features is None else [*self.features, *self.coded, *self.targets])
        return self._table

    def _read(self, columns: Sequence[str] | None) -> Table:
        fill = {name: value for name, value in (self.fill or {}).items() if columns is None or name in columns}
        if columns is not None and len(fill) < len(self.fill or {}):
            odd = next(name for name in self.fill or {} if name not in columns)
            message, hint = f"`{odd}` is filled, and no column of a sample.", "Fill columns that are named elsewhere."
            raise ConfigError(
                message, title="wrong fill", config_path=("fill", odd), suggestions=nearest(odd, columns), hint=hint
            )
        return read_tables(self.paths, columns, fill, self.read)

    def read(self, path: str, columns: Sequence[str] | None) -> Any:
        """Return a pyarrow table of one file."""
        raise NotImplementedError

    def feature_names(self) -> list[str]:
        if self.features is not None:
            return list(self.features)
        return [name for name in self.table.names() if name not in (*self.coded, *self.targets)]

    def classes_found(self) -> dict[str, tuple[Any, ...]]:
        """Return the sorted values of each column that is coded."""
        return {name: classes_in(self.table, name) for name in (*self.coded, *self._coded_targets())}

    def _coded_targets(self) -> list[str]:
        asked = self.target_dtype
        return [name for name in self.targets if asked == CODES or (asked is None and is_coded(self.table, name))]

    def statistics_of(self, indices: Sequence[int] | None) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation of each column that is normalised, in float64; 1 for a constant one."""
        names, found = self.feature_names() if self.normalize is True else self.scaled, {}
        for name in names:
            if name not in (choices := [*self.feature_names(), *self.targets]):
                message, hint = f"`{name}` is normalised, and no feature or target.", "Name one of those."
                near, place = nearest(name, choices), ("normalize",)
                raise ConfigError(message, title="unknown field", config_path=place, suggestions=near, hint=hint)
            values = numbers_in(self.table, name).double()
            part = values if indices is None else values[torch.tensor(list(indices), dtype=torch.int64)]
            mean, deviation = part.mean(), part.std(correction=0)
            found[name] = (float(mean), float(without_rounding(mean, deviation, len(part))) or 1.0)
        return found

    @property
    def fields(self) -> dict[str, torch.Tensor]:
        """All samples by field; each field `[len(self), ...]`."""
        if self._fields is None:
            is_fitted = self.classes is not None
            if not is_fitted:
                self.fit_to(self, None)
            self._fields = self._made(self.classes or {}, self.statistics or {})
            self._table = None if is_fitted else self._table  # it may be fitted yet
        return self._fields

    def _made(
        self, classes: Mapping[str, tuple[Any, ...]], statistics: Mapping[str, tuple[float, float]]
    ) -> dict[str, torch.Tensor]:
        found, features = {}, self.feature_names()
        if features:
            found["x"] = torch.stack(
                [self._held(name, self._scaled(name, statistics), self.dtype) for name in features], 1
            )
        if self.coded:
            found["categories"] = torch.stack([codes_in(self.table, name, classes[name]) for name in self.coded], 1)
        if self.targets:
            columns = [self._target(name, classes, statistics) for name in self.targets]
            found["y"] = columns[0] if isinstance(self.target, str) else torch.stack(same_type(columns), 1)
        return found

    def _scaled(self, name: str, statistics: Mapping[str, tuple[float, float]]) -> torch.Tensor:
        values = numbers_in(self.table, name)
        if name not in statistics:
            return values
        mean, deviation = statistics[name]
        return (values.double() - mean) / deviation

    def _target(
        self, name: str, classes: Mapping[str, tuple[Any, ...]], statistics: Mapping[str, tuple[float, float]]
    ) -> torch.Tensor:
        if name in classes:
            return codes_in(self.table, name, classes[name])
        values = self._scaled(name, statistics)
        if self.target_dtype is None:
            return self._held(name, values, self.dtype) if values.is_floating_point() else values
        return self._held(name, values, self.target_dtype)

    def _held(self, name: str, values: torch.Tensor, dtype: str) -> torch.Tensor:
        return held_as(self.table, name, values, getattr(torch, dtype))

    def __len__(self) -> int:
        return len(self.table) if self._fields is None else len(next(iter(self._fields.values())))

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[index].clone() for name, values in self.fields.items()}

    def batch(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return the samples at `indices`, already stacked: `{field: [len(indices), ...]}`."""
        rows = torch.tensor(list(indices), dtype=torch.int64)
        return {name: values[rows] for name, values in self.fields.items()}

    def column(self, name: str) -> list[Any]:
        """Return a field of all samples, or a column of the files as it is there, whether samples have it or not."""
        if name in self.fields:
            return [plain(value) for value in self.fields[name]]
        return list(self._read_only(name).to_pylist())

    def _read_only(self, name: str) -> Any:
        fill = {column: value for column, value in (self.fill or {}).items() if column == name}
        return read_tables(self.paths, [name], fill, self.read).column(name)

    def example_batch(self, size: int) -> dict[str, torch.Tensor]:
        """Return a batch of at most `size` samples without numbers: `{field: [size, ...]}`."""
        return {name: values[:size].to("meta") for name, values in self.fields.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_table": None}


@dataclass(eq=False)
class CsvDataset(TableDataset):
    """Samples of the rows of CSV files in UTF-8, each with a line of column names.

    `delimiter` is the character between the values of a row.
    A column of which every value is a number has numbers; `NA` and the like are gaps there, and texts among texts.
    """

    delimiter: str = ","

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.delimiter, str) or len(self.delimiter) != 1:
            raise ValueError(f"delimiter is one character, not {self.delimiter!r}")

    def read(self, path: str, columns: Sequence[str] | None) -> Any:
        return read_csv(path, columns, delimiter=self.delimiter)


@dataclass(eq=False)
class ParquetDataset(TableDataset):
    """Samples of the rows of parquet files, of which only the columns that are named are read."""

    def read(self, path: str, columns: Sequence[str] | None) -> Any:
        return read_parquet(path, columns)


def listed(name: str, value: Any, *, none: bool = False) -> list[str]:
    """Return a text or a list of texts as a list; raise ValueError for anything else."""
    if none and value is None:
        return []
    items = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(items, Sequence) or not all(isinstance(item, str | os.PathLike) for item in items):
        raise ValueError(f"{name} is a text or a list of texts, not {value!r}")
    return list(items)


def check_dtype(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        near = nearest(str(value), known) or known
        raise ValueError(f"{name} is one of torch's names such as {', '.join(near)}, not {value!r}")


def same_type(columns: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return columns of the type that holds the values of each, by torch's rules."""
    kind = columns[0].dtype
    for column in columns:
        kind = torch.promote_types(kind, column.dtype)
    return [column.to(kind) for column in columns]
