"""What anybody may have put in the place of a file neither keeps its reader waiting nor takes the memory."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otrainer.storage.canonical_json import MOST_LEVELS, read_json
from otrainer.storage.regular import MOST_BYTES, read_regular


def test_a_file_is_read_to_its_end_whatever_its_size_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert len(read_regular(tmp_path / "a")) == 3_000_000
    assert read_regular("/proc/self/status").startswith(b"Name:")
    assert read_regular(tmp_path / "a", most=3_000_000)
    with pytest.raises(OSError, match="too large"):
        read_regular(tmp_path / "a", most=2_999_999)


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as at:
        at.bind(str(path))


IRREGULAR: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe")),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/ptmx"),
    "a folder": Path.mkdir,
    "a socket": listening,
    "a terabyte": sparse,
    "a link to itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("make", IRREGULAR.values(), ids=IRREGULAR)
def test_what_is_no_file_of_ours_is_an_error_at_once(tmp_path: Path, monkeypatch, make) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    make(Path("x.json"))
    with pytest.raises(OSError, match=r"x\.json"):
        read_json("x.json")


def test_an_array_within_others_is_read_as_deep_as_any_file_of_ours(tmp_path: Path) -> None:
    for depth, text in ((200, "{}"), (MOST_LEVELS + 1, "nested"), (10**6, "nested")):
        (tmp_path / "x.json").write_text(f"{'[' * depth}{']' * depth}")
        if text == "{}":
            assert json.dumps(read_json(tmp_path / "x.json")).count("[") == depth
            continue
        with pytest.raises(ValueError, match=text):
            read_json(tmp_path / "x.json")


CODE = """
import resource, sys
from otrainer.storage.canonical_json import read_json
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
try:
    read_json(sys.argv[1])
except (OSError, ValueError) as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="the system has no such limit")
@pytest.mark.parametrize(("text", "told"), [("[],", "too many values"), ('"0123456789",', "more than fits")])
def test_a_file_whose_values_take_the_memory_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.json").write_text(f"[{text * (MOST_BYTES // 3 // len(text))}0]")
    done = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path / "x.json"], capture_output=True, text=True, timeout=60, check=True
    )
    assert told in done.stdout
