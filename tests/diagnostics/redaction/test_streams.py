"""What a process prints and logs once it has read a secret."""

from __future__ import annotations

import copy
import io
import logging
import sys
from collections.abc import Callable

import pytest

from otrainer.diagnostics.redaction.streams import Screen, conceal

PASSWORD = "hunter2-xyz"  # noqa: S105 - it is one


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], io.TextIOWrapper]:
    """Puts a stream behind this process's output, which then gets a secret; pytest's own come back by themselves."""

    def begin() -> io.TextIOWrapper:
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
            monkeypatch.setattr(sys, name, stream)
        conceal({"PW": PASSWORD})
        return stream

    return begin


def told(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]


def test_whatever_is_printed_is_masked(printing):
    stream = printing()
    print("one", PASSWORD, {"two": PASSWORD})
    sys.stderr.writelines([f"three {PASSWORD}\n"])
    print("and", PASSWORD, file=sys.__stdout__)
    sys.stdout.flush()
    sys.stdout.buffer.write(f"four {PASSWORD} ü\n".encode())
    sys.stdout.buffer.flush()
    assert (
        told(stream)
        == "one ${secret:PW} {'two': '${secret:PW}'}\nthree ${secret:PW}\nand ${secret:PW}\nfour ${secret:PW} ü\n"
    )


def test_an_error_that_ends_a_process_is_masked(printing):
    stream = printing()
    try:
        int(PASSWORD)
    except ValueError as error:
        sys.__excepthook__(type(error), error, error.__traceback__)
    assert PASSWORD not in told(stream)
    assert "invalid literal for int() with base 10: '${secret:PW}'" in told(stream)


def test_the_stream_is_the_same_in_all_else(printing):
    """Another secret puts no second one in front of it."""
    printing()
    screen = sys.stdout
    conceal({"OTHER": "another one"})
    assert sys.stdout is screen
    assert isinstance(screen, Screen)
    assert (screen.encoding, screen.isatty(), screen.closed, screen.write("text")) == ("utf-8", False, False, 4)
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.deepcopy(screen)


def test_a_process_without_a_terminal_takes_a_secret(monkeypatch):
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, None)
    conceal({"PW": PASSWORD})
    assert sys.stdout is None


def test_log_records_are_masked_for_every_handler(caplog):
    """What they hold besides stays as it is."""
    conceal({"PW": PASSWORD})
    log = logging.getLogger("some.plugin")
    log.warning("with %s and %d", PASSWORD, 3)
    log.warning("without %s", "any")
    try:
        int(PASSWORD)
    except ValueError:
        log.exception("failed")
    assert PASSWORD not in caplog.text
    assert caplog.records[0].getMessage() == "with ${secret:PW} and 3"
    assert caplog.records[1].args == ("any",)
    assert "literal for int() with base 10: '${secret:PW}'" in caplog.text


def test_nothing_is_in_the_way_without_a_secret():
    """The streams and the factory of log records stay what they are."""
    before = (sys.stdout, sys.stderr, logging.getLogRecordFactory())
    conceal({})
    assert (sys.stdout, sys.stderr, logging.getLogRecordFactory()) == before
