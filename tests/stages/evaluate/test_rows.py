"""Predictions as rows of a parquet file: values of any length as they are, and no more than a batch in memory."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from otrainer.stages.evaluate.keep import keep_predictions, predictions_as
from otrainer.stages.evaluate.rows import Rows


def rows_of(folder: Path, *batches: dict[str, Any]) -> list[dict[str, Any]]:
    kept = Rows(str(folder))
    for outputs in batches:
        kept.update(outputs=outputs, targets=None, batch=None, stage="val")
        kept.end_batch(2)
    stream = io.BytesIO()
    kept.write(stream)
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(stream.getvalue())).to_pylist()
    return found


def test_rows_hold_what_batches_had_whatever_their_lengths(tmp_path: Path) -> None:
    """Public reports: writers of predictions that fail, or pad, where texts or masks differ in size."""
    one = {"tokens": torch.tensor([[1, 2, 3], [4, 5, 6]]), "mask": torch.ones(2, 2, 1, dtype=torch.bool)}
    two = {"tokens": torch.tensor([[7], [8]]), "mask": torch.zeros(2, 1, 3, dtype=torch.bool)}
    empty = {"tokens": torch.zeros(2, 0, dtype=torch.int64), "mask": torch.zeros(2, 3, 0, dtype=torch.bool)}

    assert rows_of(tmp_path, one, two, empty) == [
        {"outputs.tokens": [1, 2, 3], "outputs.mask": [[True], [True]]},
        {"outputs.tokens": [4, 5, 6], "outputs.mask": [[True], [True]]},
        {"outputs.tokens": [7], "outputs.mask": [[False] * 3]},
        {"outputs.tokens": [8], "outputs.mask": [[False] * 3]},
        {"outputs.tokens": [], "outputs.mask": [[], [], []]},
        {"outputs.tokens": [], "outputs.mask": [[], [], []]},
    ]
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_kept_to_the_bit_and_those_of_half_precision_as_float32(tmp_path: Path) -> None:
    values = torch.randn(2, generator=torch.Generator().manual_seed(0))
    [first, second] = rows_of(tmp_path, {"x": values, "half": values.bfloat16()})

    assert [first["outputs.x"], second["outputs.x"]] == values.tolist()
    assert [first["outputs.half"], second["outputs.half"]] == values.bfloat16().tolist()


def test_what_some_batches_lack_has_no_values_there_and_what_is_no_row_is_left_out(tmp_path: Path, caplog: Any) -> None:
    x = torch.ones(2)
    found = rows_of(tmp_path, {"x": x, "y": x, "mean": x.mean()}, {"x": x, "late": x}, {"x": x, "y": x.long()})

    assert [row["outputs.y"] for row in found] == [1.0, 1.0, None, None, None, None]
    assert all(row.keys() == {"outputs.x", "outputs.y"} for row in found)
    assert all(f"`outputs.{name}` is not among the predictions" in caplog.text for name in ("mean", "late"))
    assert "`outputs.y` has no values for some batches" in caplog.text


def test_a_full_disk_is_told_once_all_is_evaluated(tmp_path: Path) -> None:
    kept = Rows(str(tmp_path))
    with Path("/dev/full").open("wb", buffering=0) as full:
        kept._file = full
        for _ in range(3):
            kept.update(outputs=torch.randn(2, 100_000), targets=None, batch=None, stage="val")
            kept.end_batch(2)
        with pytest.raises(OSError, match="No space left"):
            keep_predictions(tmp_path, kept, "predictions/val-best.parquet")
    assert not (tmp_path / "predictions/val-best.parquet").exists()


def test_no_form_keeps_nothing(tmp_path: Path) -> None:
    assert predictions_as("", tmp_path) is None
