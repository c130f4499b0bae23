"""evaluation.json: entries side by side, its files the run's own, and whatever else has its name left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otrainer.errors import ConfigError
from otrainer.storage.runs.evaluations import (
    EVALUATIONS,
    files_of_evaluations,
    keep_evaluation,
    read_evaluations,
    remove_predictions,
)


def entry(split: str = "val", checkpoint: str = "best", **more: Any) -> dict[str, Any]:
    facts = {"file": "runs/a/best.pt", "step": 3, "batches": 1, "values": {"loss": 0.5}, "made_of": {}}
    return {"split": split, "checkpoint": checkpoint, **facts, **more}


def test_entries_lie_side_by_side_and_the_same_bytes_come_of_any_order(tmp_path: Path) -> None:
    several = [entry(), entry("test"), entry(checkpoint="last"), entry(values={"loss": 0.25})]
    for each in several:
        keep_evaluation(tmp_path, each)
    first = (tmp_path / EVALUATIONS).read_bytes()
    (tmp_path / EVALUATIONS).unlink()
    for each in reversed(several[1:]):
        keep_evaluation(tmp_path, each)

    assert (tmp_path / EVALUATIONS).read_bytes() == first
    assert [each["values"]["loss"] for each in read_evaluations(tmp_path)] == [0.5, 0.25, 0.5]


@pytest.mark.parametrize(
    "name", ["../../precious.npz", "/etc/passwd", "checkpoints/best.pt", "predictions/../x.npz", 3]
)
def test_an_entry_that_names_a_file_elsewhere_gives_nobody_leave_to_remove_it(tmp_path: Path, name: Any) -> None:
    run_dir = tmp_path / "runs/a"
    keep_evaluation(run_dir, entry(predictions=name))
    (tmp_path / "precious.npz").touch()
    remove_predictions(run_dir, "val", "best")

    assert files_of_evaluations(run_dir) == [EVALUATIONS]
    assert (tmp_path / "precious.npz").exists()


@pytest.mark.parametrize(
    "broken",
    [{"step": "3"}, {"step": True}, {"values": {"loss": "low"}}, {"values": []}, {"split": None}, {"made_of": 1}],
)
def test_an_entry_of_another_form_counts_as_none(tmp_path: Path, broken: dict[str, Any]) -> None:
    keep_evaluation(tmp_path, entry())
    data = json.loads((tmp_path / EVALUATIONS).read_text())
    data["evaluations"] += [{**entry("test"), **broken}, None]
    (tmp_path / EVALUATIONS).write_text(json.dumps(data))

    assert read_evaluations(tmp_path) == [entry()]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mine": 1}', '{"kind": "otrainer.evaluations"}'])
def test_a_file_that_is_none_of_ours_is_neither_read_nor_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / EVALUATIONS
    path.write_text(text)
    with pytest.raises(ConfigError, match="no file of evaluations"):
        keep_evaluation(tmp_path, entry())

    assert path.read_text() == text
    assert files_of_evaluations(tmp_path) == read_evaluations(tmp_path) == []


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").touch()
    (tmp_path / EVALUATIONS).symlink_to("elsewhere.json")
    with pytest.raises(ConfigError, match="is a link"):
        keep_evaluation(tmp_path, entry())

    assert (tmp_path / "elsewhere.json").read_text() == ""
