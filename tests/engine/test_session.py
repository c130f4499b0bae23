"""The end of a run: every part is closed, and the error that ended the run is the one that is raised."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support import Batches, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint


class Closing:
    """A logger that fails at its end, as one on a full disk does."""

    def __init__(self, error: str | None = None) -> None:
        self.error, self.is_closed = error, False

    def close(self) -> None:
        self.is_closed = True
        if self.error is not None:
            raise OSError(28, self.error)


class Wanders:
    """A part that goes elsewhere where runs begin."""

    def __init__(self) -> None:
        self.batches = Batches(random_batches(2))

    def setup(self, _stage: str) -> None:
        os.chdir("/")

    def train_dataloader(self) -> Any:
        os.chdir("/")
        return self.batches.train

    def on_fit_start(self, _ctx: Any) -> None:
        os.chdir("/")


class Fails:
    def on_train_step_end(self, ctx: Any) -> None:
        raise ValueError("the run's own error")


def test_a_logger_that_cannot_close_hides_neither_the_error_nor_the_other_loggers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loggers = [Closing("No space left"), Closing()]
    with pytest.raises(ValueError, match="the run's own error"):
        fit(small_model(), Batches(random_batches(2)), callbacks=[Fails()], loggers=loggers)

    assert all(each.is_closed for each in loggers)
    assert any("close of Closing failed as well" in text and "No space left" in text for text in caplog.messages)


def test_a_logger_that_alone_cannot_close_fails_the_run(caplog: pytest.LogCaptureFixture) -> None:
    loggers = [Closing(), Closing("No space left"), Closing("No quota left")]
    with pytest.raises(OSError, match="No space left"):
        fit(small_model(), Batches(random_batches(2)), loggers=loggers)

    assert all(each.is_closed for each in loggers)
    assert any("No quota left" in text for text in caplog.messages)


def test_paths_start_from_one_folder_wherever_a_part_goes_as_a_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    part = Wanders()
    fit(small_model(), part, callbacks=[part, ModelCheckpoint("saved")], run={"out_dir": "."})

    assert (tmp_path / "saved" / "last.pt").exists()
    assert Path.cwd() == tmp_path
