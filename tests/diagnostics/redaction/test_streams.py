"""What a process prints and logs once it has read a secret."""

from __future__ import annotations

import copy
import io
import logging
import os
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


def test_a_secret_in_pieces_is_masked(printing):
    """However it is cut, flushed in between or not; of one that comes to nothing, all is shown."""
    stream = printing()
    for cut in range(1, len(PASSWORD)):
        for flush in (False, True):
            for write in (sys.stdout.write, lambda text: sys.stdout.buffer.write(text.encode())):
                write(PASSWORD[:cut])
                if flush:
                    sys.stdout.flush()
                    sys.stdout.buffer.flush()
                write(PASSWORD[cut:] + "\n")
                sys.stdout.buffer.flush()
    for letter in PASSWORD + " hunter":
        print(letter, end="", flush=True)
    sys.stdout.finish()
    said = told(stream)
    assert "hunt" not in said.removesuffix(" hunter")
    assert said.count("${secret:PW}") == 4 * (len(PASSWORD) - 1) + 1
    assert said.endswith("${secret:PW} hunter")


def test_a_line_that_only_begins_like_a_secret_is_shown(printing):
    """At a flush its short beginnings, at the next word the others, at the end all."""
    stream = printing()
    print("path", end="", flush=True)
    assert told(stream) == "path"
    sys.stdout.write(" of hun")
    sys.stdout.flush()
    assert told(stream) == "path of hun"
    sys.stdout.write("ter2")
    assert told(stream) == "path of hun"
    print("s")
    assert told(stream) == "path of hunter2s\n"


def test_lines_of_bytes_are_masked_whatever_reaches_below(printing):
    """Also where a sign is cut in two, and where another stream is put on what is below."""
    stream = printing()
    sys.stdout.buffer.writelines([b"one hunter", b"2-xyz\n", memoryview(b"two \xc3"), b"\xbc\n"])
    over = io.TextIOWrapper(sys.stdout.buffer, "utf-8", line_buffering=True)
    over.write(f"three {PASSWORD}\n")
    over.detach()
    assert told(stream) == "one ${secret:PW}\ntwo ü\nthree ${secret:PW}\n"


def test_what_is_written_to_the_descriptor_is_masked(printing, capfd):
    """In one call; to other descriptors all is written as it is."""
    printing()
    assert os.write(1, f"one {PASSWORD}\n".encode()) == 16
    ours, theirs = os.pipe()
    os.write(theirs, PASSWORD.encode())
    assert os.read(ours, 100) == PASSWORD.encode()
    os.close(ours)
    os.close(theirs)
    assert capfd.readouterr().out == "one ${secret:PW}\n"


def test_nothing_is_in_the_way_without_a_secret():
    """The streams, `os.write` and the filters of log records stay what they are."""
    before = (sys.stdout, sys.stderr, os.write, logging.Filterer.filter)
    conceal({})
    assert (sys.stdout, sys.stderr, os.write, logging.Filterer.filter) == before
