"""Artifacts: the same content gives the same bytes, and a file is there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otrainer.storage.atomic import TEMP_PREFIX, atomic_file, link_atomic, sweep, write_atomic
from otrainer.storage.canonical_json import canonical_json, digest, from_json, read_json, write_json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(TREES)
def test_what_is_written_is_read_back(data):
    """Whatever plain data a config holds, it comes back as it was, keys in their order; and other readers read it."""
    text = canonical_json(data)
    assert text.endswith(b"\n")
    assert json.dumps(from_json(text)) == json.dumps(data)
    json.loads(text.decode("utf-8"), parse_constant=refuse)


def refuse(name):
    """Fail for the names of numbers that JSON does not have."""
    pytest.fail(f"{name} is no JSON")


def test_json_is_readable_and_keeps_the_order_of_keys():
    """One key a line, in the order given, letters as themselves; numbers that JSON lacks are read by all readers."""
    assert canonical_json({"b": [1], "a": {"ü": float("inf"), "c": {}, "d": float("nan")}}).decode() == (
        '{\n "b": [1],\n "a": {\n  "ü": 1e999,\n  "c": {},\n  "d": "\ue000.nan\ue000"\n }\n}\n'
    )


def test_a_lone_surrogate_survives():
    """A string that UTF-8 cannot hold is written as a JSON escape."""
    assert json.loads(canonical_json("\ud800x")) == "\ud800x"


def test_a_digest_depends_on_content_and_order_alone():
    """Equal data has an equal digest; another order of keys has another."""
    assert digest({"a": 1, "b": 2}) == digest(json.loads('{"a": 1, "b": 2}'))
    assert digest({"a": 1, "b": 2}) != digest({"b": 2, "a": 1})
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_unchanged_bytes_are_left_alone(tmp_path):
    """Writing the same data again touches nothing; other data replaces it."""
    path = tmp_path / "deep" / "a.json"
    assert write_json(path, {"a": 1})
    before = path.stat()
    assert not write_json(path, {"a": 1})
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    """A disk that fills up is an OSError naming the file; the old content stays and no temporary file does."""
    path = tmp_path / "a.json"
    write_atomic(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_atomic(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_a_file_in_the_way_is_named(tmp_path):
    """Where a folder cannot be made, the error names the artifact that was to be written."""
    (tmp_path / "build").write_text("a file")
    with pytest.raises(OSError, match=r"build/x/a\.json"):
        write_json(tmp_path / "build" / "x" / "a.json", {})


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    """SIGKILL between writing and renaming: the artifact is the old one, whole."""
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    code = (
        "import os, signal, sys; from otrainer.storage import atomic as artifacts; "
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); artifacts.write_atomic(sys.argv[1], b'new')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    assert [each for each in tmp_path.iterdir() if not each.name.startswith(".otrainer-tmp-")] == [path]


def test_what_dead_processes_left_goes_and_what_is_being_written_stays(tmp_path):
    """Also where this process or another has the pid of the dead one by now, and where nobody collected it yet."""
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    zombie.stdout.read()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    owners = (f"{os.getpid()}.1", f"{os.getppid()}.1", f"{zombie.pid}", f"{2**22 + 1}")
    for owner in owners:
        (tmp_path / f"{TEMP_PREFIX}{owner}-aa").write_bytes(b"half")
    with atomic_file(tmp_path / "a") as stream:
        stream.write(b"whole")
        sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
    zombie.wait()

    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_only_looks_like_a_temporary_file_stays(tmp_path):
    """Names are those that otrainer makes, to the letter; folders and links are somebody else's."""
    (tmp_path / "mine.txt").write_text("mine")
    for name in ("notes.txt", "odd-aa", "1-", "1.2.3-aa", "1-aa.txt", "1-AA"):
        (tmp_path / f"{TEMP_PREFIX}{name}").write_text("mine")
    (tmp_path / f"{TEMP_PREFIX}{2**22 + 1}.1-aaaaaaaa").symlink_to("mine.txt")
    (tmp_path / f"{TEMP_PREFIX}{2**22 + 1}.1-bbbbbbbb").mkdir()
    before = sorted(tmp_path.iterdir())
    sweep(tmp_path)

    assert sorted(tmp_path.iterdir()) == before


def test_no_torch_and_no_yaml_stand_behind_the_files():
    """Artifacts, records and runs are read before anything heavy is imported."""
    code = (
        "import sys, otrainer.storage.atomic, otrainer.storage.records, otrainer.storage.runs.run_json; "
        "print(sorted({'torch', 'yaml', 'filelock', 'rich', 'socket'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("odd", ["a pipe", "a device", "an enormous file"])
def test_whatever_is_in_the_place_of_a_file_is_replaced_without_reading_it(tmp_path, odd):
    path = tmp_path / "a.json"
    if odd == "a pipe":
        os.mkfifo(path)
    elif odd == "a device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as stream:
            stream.truncate(1 << 40)

    assert write_json(path, {})
    assert path.read_text() == "{}\n"


def test_a_link_that_finds_a_folder_in_its_place_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "link").mkdir()
    (tmp_path / "link/mine").touch()
    with pytest.raises(OSError, match=r"directory|not empty"):
        link_atomic(str(tmp_path / "link"), "elsewhere")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
