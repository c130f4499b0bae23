"""What fails in validation says that it was there, and at which batch."""

from __future__ import annotations

import signal

import pytest

from otrainer.engine.signals import TrainingInterrupted
from otrainer.engine.stage_notes import stage_of, told_stage
from otrainer.errors import ConfigError, Finding


def raised(error: BaseException, *stages: tuple[str, int | None]) -> BaseException:
    """What comes out of `stages`, the innermost first."""
    for stage, batch in stages:
        with pytest.raises(BaseException) as caught, told_stage(stage, batch):
            raise error
        error = caught.value
    return error


def test_an_exception_stays_itself_and_gets_a_note():
    error = ValueError("odd")
    assert raised(error, ("val", 3)) is error
    assert error.__notes__ == ["in validation, batch 3 (counted from 0)"]
    assert stage_of(error) == "val"


def test_a_config_error_says_so_in_the_message_of_each_finding():
    two = ConfigError.of([Finding("One.", config_path=("io",), hint="Do."), Finding("Two.")])
    told = raised(two, ("rehearsal", None))
    assert isinstance(told, ConfigError)
    assert [finding.message.splitlines()[1] for finding in told.findings] == [
        "It failed in validation, tried before the first step."
    ] * 2
    assert (told.config_path, told.findings[0].hint) == (("io",), "Do.")


@pytest.mark.parametrize("error", [KeyError("x"), ConfigError("Wrong.", config_path=("io",))])
def test_it_is_told_once_by_the_innermost(error):
    told = raised(error, ("val", 3), ("rehearsal", None))
    text = told.findings[0].message if isinstance(told, ConfigError) else "\n".join(told.__notes__)
    assert text.count("in validation") == 1
    assert "batch 3" in text


def test_the_line_that_raised_and_what_it_came_of_are_kept():
    def within() -> None:
        raise ConfigError("Wrong.") from KeyError("x")

    with pytest.raises(ConfigError) as caught, told_stage("val"):
        within()
    assert "within" in [entry.name for entry in caught.traceback]
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_batch_may_go_on_while_one_block_lasts():
    with pytest.raises(ZeroDivisionError) as caught, told_stage("val") as at:
        for at.batch, value in enumerate([2, 1, 0]):
            assert 1 / value
    assert caught.value.__notes__ == ["in validation, batch 2 (counted from 0)"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, lambda: TrainingInterrupted(signal.SIGINT)])
def test_an_interruption_is_no_failure(kind):
    assert not hasattr(raised(kind(), ("val", 1)), "__notes__")
