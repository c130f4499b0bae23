"""The end of a run: every part is closed, and the error that ended the run is the one that is raised."""

from __future__ import annotations

from typing import Any

import pytest
from support import Batches, fit, random_batches, small_model


class Closing:
    """A logger that fails at its end, as one on a full disk does."""

    def __init__(self, error: str | None = None) -> None:
        self.error, self.is_closed = error, False

    def close(self) -> None:
        self.is_closed = True
        if self.error is not None:
            raise OSError(28, self.error)


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
