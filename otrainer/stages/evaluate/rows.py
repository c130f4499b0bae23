"""Predictions as rows of a parquet file, written batch by batch: in the memory of one, and of any lengths."""

from __future__ import annotations

import shutil
import tempfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from otrainer.engine.predictions import Predictions, log

if TYPE_CHECKING:
    import torch


class Rows(Predictions):
    """A row for each sample; what has more dimensions is lists within lists, as long as each batch has them.

    Columns are those of the first batch. Rows wait in a file that has no name, in `folder`, until all are there.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `write`, or with the process
        self._writer: Any = None
        self._failed: OSError | None = None
        self._gaps: set[str] = set()

    def keep(self, batch: dict[str, torch.Tensor], samples: int) -> None:
        """Write the rows of a batch; a disk that is full is told once all is evaluated, so that no value is lost."""
        if self._failed is None:
            try:
                self._write({name: nested(rows.numpy()) for name, rows in batch.items()}, samples)
            except OSError as error:
                self._failed = error

    def _write(self, columns: dict[str, Any], samples: int) -> None:
        if self._writer is None:
            schema = pa.schema([(name, column.type) for name, column in columns.items()])
            self._writer = pq.ParquetWriter(self._file, schema)
        for name in columns.keys() - set(self._writer.schema.names):
            self._left_out[name] = "not there in the first batch"
        fitting = [self._column(field, columns.get(field.name), samples) for field in self._writer.schema]
        self._writer.write_batch(pa.record_batch(fitting, schema=self._writer.schema))

    def _column(self, field: Any, column: Any, samples: int) -> Any:
        """Return a column of a batch, without values where it is not there, or of another type than in the first."""
        if column is not None and column.type == field.type:
            return column
        self._gaps.add(field.name)
        return pa.nulls(samples, field.type)

    def write(self, stream: IO[bytes]) -> None:
        """Write all rows. Raises OSError where a disk was full."""
        if self._failed is not None:
            raise self._failed
        if self._writer is not None:
            self._writer.close()
        self._file.seek(0)
        with self._file:
            shutil.copyfileobj(self._file, stream)
        self.tell_left_out()
        for name in sorted(self._gaps):
            log.warning("`%s` has no values for some batches: there it is not, or of another type than before", name)


def nested(array: np.ndarray[Any, Any]) -> Any:
    """Return an array as a column: lists within lists for all dimensions but the first."""
    column = pa.array(array.reshape(-1))
    for at in range(array.ndim - 1, 0, -1):
        count = int(np.prod(array.shape[:at]))
        offsets = pa.array(np.arange(count + 1, dtype=np.int64) * array.shape[at])
        column = pa.LargeListArray.from_arrays(offsets, column)
    return column
