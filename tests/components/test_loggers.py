"""Loggers print lines for people and write rows for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otrainer.components.loggers import JsonLinesLogger, StdoutLogger
from otrainer.errors import ConfigError


def test_stdout_prints_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    logger = StdoutLogger(every_n_steps=10)
    logger.log_metrics({"loss": 0.123456, "lr": 0.001}, step=5, stage="train")
    logger.log_metrics({"loss": 0.123456, "lr": 0.001}, step=10, stage="train")
    logger.log_metrics({"val_loss": 2.0}, step=15, stage="val")

    assert capsys.readouterr().out == (
        "step     10  train    loss 0.1235  lr 0.001\nstep     15  val      val_loss 2\n"
    )


def test_json_lines_appends_rows_and_goes_on_after_a_resume_where_the_checkpoint_was(tmp_path: Path) -> None:
    path = tmp_path / "deep/rows.jsonl"
    first = JsonLinesLogger(str(path))
    first.log_metrics({"loss": 1.0}, step=1, stage="train")
    state = first.state_dict()
    first.log_metrics({"loss": 0.5}, step=2, stage="train")
    first.close()
    second = JsonLinesLogger(str(path))
    second.load_state_dict(state)
    second.log_metrics({"loss": 0.25}, step=2, stage="train")
    second.close()

    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "stage": "train", "loss": 1.0},
        {"step": 2, "stage": "train", "loss": 0.25},
    ]


@pytest.mark.parametrize("more", ["mine\n", '{"a": 1}\n', "[]\n", '{"step": 2, "stage": "train"}\nmine\n'])
def test_json_lines_drops_only_rows(tmp_path: Path, more: str) -> None:
    """The file may be another one by now, or have been written to by somebody else."""
    path = tmp_path / "rows.jsonl"
    first = JsonLinesLogger(str(path))
    first.log_metrics({"loss": 1.0}, step=1, stage="train")
    state = first.state_dict()
    first.close()
    before = path.read_text() + more
    path.write_text(before)
    second = JsonLinesLogger(str(path))
    second.load_state_dict(state)
    with pytest.raises(ConfigError, match="holds something else than rows"):
        second.log_metrics({"loss": 0.25}, step=2, stage="train")

    assert path.read_text() == before


def test_json_lines_drops_a_row_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 2, "stage": "train", "lo')
    logger = JsonLinesLogger(str(path))
    logger.load_state_dict({"bytes": 0})
    logger.log_metrics({}, step=1, stage="train")
    logger.close()

    assert path.read_text() == '{"step": 1, "stage": "train"}\n'
