"""Tables in CSV and parquet files, by pyarrow: the columns of several files, one under the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Table:
    """Columns of one or several files; `sizes` are their numbers of rows, `fill` what stands for a missing value."""

    columns: Any  # a pyarrow.Table
    files: Sequence[str]
    sizes: Sequence[int]
    fill: Mapping[str, Any]

    def __len__(self) -> int:
        return sum(self.sizes)

    def names(self) -> list[str]:
        return list(self.columns.column_names)

    def column(self, name: str) -> Any:
        """Return a column as a pyarrow array with its gaps filled; raise ConfigError where it is not there."""
        import pyarrow.compute as pc

        if name not in self.names():
            raise no_column(name, self.files[0], self.names())
        column = self.columns[name]
        if str(column.type).startswith("dictionary"):
            column = column.cast(column.type.value_type)
        if name not in self.fill:
            return column
        try:
            value = scalar(self.fill[name], column.type)
            gaps = pc.is_null(column, nan_is_null=True)
            return pc.if_else(gaps, value, column)
        except (ValueError, TypeError) as cause:  # what pyarrow raises is one of these
            message = f"`{name}` is of type {column.type}, and is filled by {self.fill[name]!r}."
            hint = "Fill a column of numbers by a number, and one of texts by a text."
            raise ConfigError(message, title="wrong fill", config_path=("fill", name), hint=hint) from cause

    def place(self, row: int) -> tuple[int, str]:
        """Return a row's number in its file, counted from 1 without a header, and the file."""
        for file, size in zip(self.files, self.sizes, strict=True):
            if row < size:
                return row + 1, file
            row -= size
        raise IndexError(row)


def scalar(value: Any, kind: Any) -> Any:
    """Return a pyarrow scalar of that type; whole numbers fill a column of others, too."""
    import pyarrow as pa

    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return pa.scalar(float(value) if is_number and pa.types.is_floating(kind) else value, type=kind)


def read_tables(
    paths: Sequence[str], columns: Sequence[str] | None, fill: Mapping[str, Any], read: Callable[..., Any]
) -> Table:
    """Read `columns` (None: all) of files by `read(path, columns)`; raise ConfigError for what cannot be read.

    Also where files do not have the same columns, of types of which one holds the other's values.
    """
    with needs_pyarrow(paths[0]):
        import pyarrow as pa

    tables = [read_one(path, columns, read) for path in paths]
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as cause:
        message = f"The files {', '.join(f'`{path}`' for path in paths)} are not one table: {cause}."
        raise unreadable(message=message, hint="Give files whose columns have the same types.") from cause
    if not len(joined):
        raise unreadable(message=f"{', '.join(f'`{path}`' for path in paths)}: no rows.", hint="Give files with rows.")
    for name in joined.column_names:
        for path, table in zip(paths, tables, strict=True):
            if name not in table.column_names:
                raise no_column(name, path, table.column_names)
    table = Table(joined, paths, [len(each) for each in tables], fill)
    for name in fill:
        if name not in table.names():
            raise no_column(name, paths[0], table.names(), "fill")
    return table


def read_one(path: str, columns: Sequence[str] | None, read: Callable[..., Any]) -> Any:
    file = Path(path)
    if not file.is_file():
        there = [other.name for other in file.parent.glob("*")] if file.parent.is_dir() else []
        message, hint = f"There is no data file `{path}`.", "Relative paths start from the project's folder."
        raise ConfigError(message, title="data file not found", suggestions=nearest(file.name, there), hint=hint)
    try:
        return read(path, columns)
    except (OSError, ValueError, KeyError) as cause:  # what pyarrow raises is one of these
        message, hint = (
            f"`{path}` cannot be read as a table: {str(cause).rstrip('.')}.",
            "Save it anew, or name another.",
        )
        raise unreadable(message=message, hint=hint) from cause


def read_csv(path: str, columns: Sequence[str] | None, *, delimiter: str) -> Any:
    """Return a table of a CSV file, types found by all of its rows; an empty text is a gap, `NA` among texts is not."""
    with needs_pyarrow(path):
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv

    options = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with csv.open_csv(path, parse_options=options) as file:
        there = file.schema.names
    if len(set(there)) < len(there):
        raise ValueError("two columns have one name")
    convert = csv.ConvertOptions(include_columns=known(path, columns, there))
    table = csv.read_csv(path, parse_options=options, convert_options=convert)
    for index, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            gap = pa.scalar(None, column.type)
            table = table.set_column(index, name, pc.if_else(pc.equal(column, ""), gap, column))
    return table


def read_parquet(path: str, columns: Sequence[str] | None) -> Any:
    """Return a table of a parquet file, of which only the columns that are asked for are read."""
    with needs_pyarrow(path):
        from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return file.read(columns=known(path, columns, file.schema_arrow.names))


def known(path: str, columns: Sequence[str] | None, there: Sequence[str]) -> list[str]:
    for name in columns or ():
        if name not in there:
            raise no_column(name, path, there)
    return list(there if columns is None else columns)


def no_column(name: str, path: str, there: Sequence[str], *place: str) -> ConfigError:
    message = f"`{path}` has no column `{name}`; it has {', '.join(f'`{each}`' for each in there)}."
    near, hint = nearest(name, there), "Name columns as the file does."
    return ConfigError(message, title="unknown field", config_path=place, suggestions=near, hint=hint)


def unreadable(*, message: str, hint: str) -> ConfigError:
    return ConfigError(message, title="unreadable data file", hint=hint)


@contextmanager
def needs_pyarrow(path: str) -> Iterator[None]:
    """Say which package is missing where an import in the block fails."""
    try:
        yield
    except ImportError as cause:
        message = f"Reading `{path}` needs the package pyarrow, which is not installed."
        hint = "Run `pip install 'otrainer[tabular]'`."
        raise ConfigError(message, title="pyarrow is not installed", hint=hint) from cause
