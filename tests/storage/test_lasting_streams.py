"""Streams whose reader has gone, whose disk is full, or that were never there."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otrainer.diagnostics.say import say
from otrainer.storage import process_memory
from otrainer.storage.lasting_streams import Lasting


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    process_memory.forget("streams told of")
    yield
    process_memory.forget("streams told of")


def without_reader() -> io.TextIOWrapper:
    ours, theirs = os.pipe()
    os.close(ours)
    return os.fdopen(theirs, "w")


def full() -> io.TextIOWrapper:
    return Path("/dev/full").open("w")


@pytest.mark.parametrize("stops", [False, True])
def test_words_that_nobody_reads_go_nowhere(capsys: pytest.CaptureFixture[str], stops: bool) -> None:
    lasting = Lasting(without_reader(), stops=stops)
    lasting.writelines(["one", "two" * 10_000])
    lasting.flush()
    print("three", file=lasting, flush=True)
    assert capsys.readouterr() == ("", "")


def test_a_full_disk_is_told_once_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A training goes on."""
    lasting = Lasting(full())
    for word in ("one", "two"):
        print(word, file=lasting, flush=True)
    assert capsys.readouterr().err == "stdout cannot be written: No space left on device\n"

    ours, theirs = os.pipe()
    os.dup2(theirs, lasting.fileno())  # there is room now
    os.close(theirs)
    print("three", file=lasting, flush=True)
    os.close(lasting.fileno())
    assert os.read(ours, 100).endswith(b"three\n")
    os.close(ours)


def test_a_full_disk_ends_what_only_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """At the first word, buffered or not; what is said while it ends goes nowhere."""
    lasting = Lasting(full(), stops=True)
    with pytest.raises(SystemExit) as ended:
        lasting.write("one")
    lasting.write("two")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "stdout cannot be written: No space left on device\n"


def test_a_word_on_the_way_ends_no_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where training is called from Python, whose streams are its own."""
    for stream in (without_reader(), full()):
        monkeypatch.setattr(sys, "stdout", stream)
        say("one")
        say("two")
    monkeypatch.undo()
    assert capsys.readouterr().err == "stdout cannot be written: No space left on device\n"


CODE = """
import os, sys
from otrainer.storage.lasting_streams import make_lasting
make_lasting()
with open(sys.argv[1], "wb") as file:
    print("lost", flush=True)
    print("lost", file=sys.stderr, flush=True)
    os.dup2(file.fileno(), 1)
    print("found", flush=True)
"""


def test_a_process_without_streams_gets_some_of_its_own(tmp_path: Path) -> None:
    """No file that it opens then is printed into, and what takes the place of stdout gets what is printed."""
    closed = f'exec "{sys.executable}" -c "$0" "$1" <&- >&- 2>&-'
    done = subprocess.run(["/bin/sh", "-c", closed, CODE, str(tmp_path / "file")])

    assert done.returncode == 0
    assert (tmp_path / "file").read_text() == "found\n"
