"""A column of a table as numbers: as they are, or the codes of its classes; gaps are told with their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from otrainer.errors import ConfigError, nearest

if TYPE_CHECKING:
    from otrainer.components.data.table_files import Table


def numbers_in(table: Table, name: str) -> torch.Tensor:
    """Return a column as `[rows]`, int64 of whole numbers and truth values, else float64.

    Raises ConfigError for a column of anything else, and for a value that is missing or not finite.
    """
    import pyarrow as pa

    column = table.column(name)
    refuse_gaps(table, name, column.is_null(), what="is missing")
    whole = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
    if not (whole or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        odd = first_odd(column)
        row, file = table.place(odd)
        found = f"row {row} of `{file}` has {column[odd].as_py()!r}"
        message = f"The column `{name}` is of type {column.type}, not of numbers: {found}."
        hint = f"Mend the file, or name `{name}` in `categories` if it has texts."
        raise ConfigError(message, title="unreadable data file", hint=hint)
    try:
        array = column.cast(pa.int64() if whole else pa.float64()).to_numpy()
    except pa.ArrowInvalid as cause:
        message, hint = f"The column `{name}` does not fit 64 bits: {cause}.", "Mend the file."
        raise ConfigError(message, title="unreadable data file", hint=hint) from cause
    numbers = torch.tensor(array)
    if not whole:
        refuse_gaps(table, name, ~numbers.isfinite(), what="is not finite")
    return numbers


def held_as(table: Table, name: str, values: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """Return numbers in a dtype; raise ConfigError where it cannot hold one but by another value."""
    made = values.to(kind)
    lost = ~made.isfinite() if kind.is_floating_point else made.to(values.dtype) != values
    if not bool(lost.any()):
        return made
    odd = lost.nonzero().flatten().tolist()
    row, file = table.place(odd[0])
    message = f"`{name}` is {values[odd[0]].item():g} in row {row} of `{file}`, which {kind} cannot hold."
    hint = "Choose a wider `dtype`, or `target_dtype` of a target, or mend the file."
    raise ConfigError(message, title="wrong value", config_path=("data",), hint=hint)


def first_odd(column: Any) -> int:
    """Return the row of the first text that is no number; of a column of another type the first row."""
    odd = (row for row, value in enumerate(column.to_pylist()) if not isinstance(value, str) or not is_number(value))
    return next(odd, 0)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def classes_in(table: Table, name: str) -> tuple[Any, ...]:
    """Return the different values of a column, sorted; their places are their codes."""
    column = table.column(name)
    refuse_gaps(table, name, column.is_null(), what="is missing")
    return tuple(sorted(column.unique().to_pylist()))


def codes_in(table: Table, name: str, classes: Sequence[Any]) -> torch.Tensor:
    """Return the place of each value among `classes`, `[rows]` int64; raise ConfigError for one that is not there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(name)
    refuse_gaps(table, name, column.is_null(), what="is missing")
    try:
        codes = pc.index_in(column, value_set=pa.array(classes, type=column.type))
    except (TypeError, ValueError) as cause:  # what pyarrow raises is one of these
        message = f"The column `{name}` of `{table.files[0]}` is of type {column.type}, unlike the training data's."
        raise ConfigError(
            message, title="unknown category", config_path=("data",), hint="Save both with the same types."
        ) from cause
    if codes.null_count:
        row = codes.is_null().to_pylist().index(True)
        value, (number, file) = column[row].as_py(), table.place(row)
        message = f"`{name}` is {value!r} in row {number} of `{file}`, which it nowhere is in the training data."
        near = nearest(str(value), [str(each) for each in classes])
        hint = "Mend the file, or leave such rows out."
        raise ConfigError(message, title="unknown category", config_path=("data",), suggestions=near, hint=hint)
    return torch.tensor(codes.cast(pa.int64()).to_numpy())


def is_coded(table: Table, name: str) -> bool:
    """Return whether a column has texts or truth values, which a target of classes is coded of."""
    import pyarrow as pa

    kind = table.column(name).type
    return any(judge(kind) for judge in (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean))


def refuse_gaps(table: Table, name: str, gaps: Any, *, what: str) -> None:
    """Raise ConfigError that tells the first gap, and how many there are."""
    import pyarrow.compute as pc

    if isinstance(gaps, torch.Tensor):
        found = gaps.nonzero().flatten().tolist()
    else:
        found = [row for row, gap in enumerate(gaps.to_pylist()) if gap] if pc.any(gaps).as_py() else []
    if found:
        more = f" ({len(found):,} in all)" if len(found) > 1 else ""
        row, file = table.place(found[0])
        message = f"`{name}` {what} in row {row} of `{file}`{more}."
        hint = f"Mend the file, give what stands for it by `fill: {{{name}: ...}}`, or leave the column out."
        raise ConfigError(message, title="missing value", hint=hint)
