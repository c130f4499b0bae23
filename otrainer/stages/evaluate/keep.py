"""The outputs and targets of all samples as a file: numpy's arrays, or columns of a parquet file."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.engine.predictions import Predictions


def keep_predictions(run_dir: Path, kept: Predictions, name: str) -> str:
    """Write them under a name in the run's folder, which says by its end in what form, and return it.

    Raises ConfigError where the package that writes it is not installed.
    """
    try:
        arrays = kept.arrays()
    except ImportError as cause:
        hint = "Run `pip install numpy`, or leave `PREDICTIONS` out."
        raise ConfigError("Predictions are kept by numpy.", title="numpy is not installed", hint=hint) from cause
    with atomic_file(run_dir / name) as stream:
        write = to_parquet if name.endswith(".parquet") else to_npz
        write(stream, arrays)
    return name


def to_npz(stream: IO[bytes], arrays: Mapping[str, Any]) -> None:
    import numpy as np

    np.savez(stream, **arrays)


def to_parquet(stream: IO[bytes], arrays: Mapping[str, Any]) -> None:
    """Write a row for each sample; where an array has more dimensions, lists of one size within lists."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as cause:
        message, hint = "Parquet files are written by pyarrow.", "Run `pip install 'otrainer[tabular]'`."
        raise ConfigError(message, title="pyarrow is not installed", hint=hint) from cause
    columns = {}
    for name, array in arrays.items():
        column = pa.array(array.reshape(-1))
        for size in reversed(array.shape[1:]):
            column = pa.FixedSizeListArray.from_arrays(column, size)
        columns[name] = column
    pq.write_table(pa.table(columns), stream)
