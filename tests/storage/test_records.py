"""Records: a stage is stale exactly when something that it read or left has other content than before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from otrainer.storage.records import (
    UNTRUSTED,
    FileStamp,
    Record,
    folder_stamp,
    hash_env,
    reasons,
    stamp_files,
    why_stale,
)


@pytest.fixture
def project(tmp_path):
    """A stage that read a.yaml and SEED, looked for b.yaml in vain, and left out.json."""
    (tmp_path / "a.yaml").write_text("lr: 1\n")
    (tmp_path / "out.json").write_text("{}\n")
    files = {**stamp_files(["a.yaml"], tmp_path), "b.yaml": None}
    env = hash_env({"SEED": "7", "DEVICE": None})
    Record(files, env, stamp_files([tmp_path / "out.json"], tmp_path)).write(tmp_path / "x.record.json")
    return tmp_path


def why(project, **env):
    return why_stale(project / "x.record.json", root=project, environ={"SEED": "7", **env})


def test_nothing_changed(project):
    """The same content, whatever the times say, is no reason to run again."""
    assert why(project) is None
    os.utime(project / "a.yaml", ns=(1, 1))
    os.utime(project / "out.json", ns=(1, 1))
    assert why(project) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root: (root / "a.yaml").write_text("lr: 2\n"), "`a.yaml` changed."),
        (lambda root: (root / "a.yaml").write_text("lr: 1\n# more\n"), "`a.yaml` changed."),
        (lambda root: (root / "a.yaml").unlink(), "`a.yaml` is gone."),
        (lambda root: (root / "b.yaml").write_text(""), "`b.yaml` is there now."),
        (lambda root: (root / "out.json").write_text("[]\n"), "`out.json` was altered."),
        (lambda root: (root / "out.json").unlink(), "`out.json` was deleted."),
        (lambda root: (root / "x.record.json").unlink(), "It has not run yet."),
        (lambda root: (root / "x.record.json").write_text("{"), "Its record `x.record.json` is damaged."),
        (lambda root: (root / "x.record.json").write_text("[]"), "Its record `x.record.json` is damaged."),
        (lambda root: (root / "x.record.json").write_bytes(b"\xff"), "Its record `x.record.json` is damaged."),
    ],
)
def test_what_changed_is_named(project, change, reason):
    """Each change of a file gives one plain sentence."""
    change(project)
    assert why(project) == reason


def test_environment_variables_count(project):
    """A variable that changed, appeared or went away is named; its value is not."""
    assert why(project, SEED="8") == "The environment variable `SEED` changed."
    assert why(project, DEVICE="cpu") == "The environment variable `DEVICE` is set now."
    record = project / "x.record.json"
    assert why_stale(record, root=project, environ={}) == "The environment variable `SEED` is not set any more."
    assert '"7"' not in record.read_text()


def test_another_version_of_the_stage_is_a_reason(project):
    """A stage whose code now works in another way runs again."""
    record = project / "x.record.json"
    assert (
        why_stale(record, root=project, environ={"SEED": "7"}, version=2)
        == "This version of otrainer does it in another way."
    )


def test_every_damage_to_a_record_is_told(project):
    """No part of a record can be missing or of another type without its being noticed, and none gives a traceback."""
    path = project / "x.record.json"
    whole = json.loads(path.read_text())
    for key in whole:
        for value in (None, 1, "x", [1], {"a": 1}, {"a": {"sha256": 1, "size": 1, "mtime_ns": 1}}):
            if value != whole[key]:
                path.write_text(json.dumps({**whole, key: value}))
                assert why(project), (key, value)
        path.write_text(json.dumps({name: part for name, part in whole.items() if name != key}))
        assert why(project) == "Its record `x.record.json` is damaged."


def test_all_reasons_can_be_told(project):
    """Not only the first reason is known."""
    (project / "a.yaml").unlink()
    (project / "out.json").unlink()
    record = Record.read(project / "x.record.json")
    assert list(reasons(record, {}, root=project, environ={})) == [
        "`a.yaml` is gone.",
        "The environment variable `SEED` is not set any more.",
        "`out.json` was deleted.",
    ]


def test_an_edit_right_after_the_stage_is_seen_whatever_the_clock_says(tmp_path):
    """A file rewritten within one tick of the file system's clock keeps size and mtime, and is still told apart."""
    path = tmp_path / "a.yaml"
    path.write_text("lr: 1\n")
    Record(stamp_files(["a.yaml"], tmp_path)).write(tmp_path / "record.json")
    times = path.stat().st_mtime_ns
    path.write_text("lr: 2\n")
    os.utime(path, ns=(times, times))
    assert why_stale(tmp_path / "record.json", root=tmp_path) == "`a.yaml` changed."


def test_an_old_file_is_trusted_without_a_look_inside(tmp_path):
    """Size and mtime decide for a file that had settled: large ones are not read again."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"1")
    os.utime(path, ns=(10**18, 10**18))
    Record(stamp_files(["data.bin"], tmp_path)).write(tmp_path / "record.json")
    stamp = Record.read(tmp_path / "record.json").files["data.bin"]
    assert stamp is not None
    assert stamp.mtime_ns == 10**18 != UNTRUSTED
    path.write_bytes(b"2")
    os.utime(path, ns=(10**18, 10**18))
    assert why_stale(tmp_path / "record.json", root=tmp_path) is None


def test_a_touched_file_is_read_once_and_then_trusted_again(tmp_path):
    """After a look inside has shown that nothing changed, the new times are noted."""
    path, record = tmp_path / "data.bin", tmp_path / "record.json"
    path.write_bytes(b"1")
    Record(stamp_files(["data.bin"], tmp_path)).write(record)
    os.utime(path, ns=(10**18, 10**18))
    assert why_stale(record, root=tmp_path) is None
    stamp = Record.read(record).files["data.bin"]
    assert stamp is not None
    assert stamp.mtime_ns == 10**18
    before = record.stat()
    assert why_stale(record, root=tmp_path) is None
    assert record.stat().st_mtime_ns == before.st_mtime_ns


def test_paths_inside_the_root_are_relative_and_others_absolute(tmp_path):
    """A project can be moved: its record names its own files from its root."""
    inside, outside = tmp_path / "p" / "a", tmp_path / "b"
    inside.parent.mkdir()
    inside.write_text("")
    outside.write_text("")
    assert list(stamp_files([inside, outside, "a"], tmp_path / "p")) == ["a", outside.as_posix()]


def test_a_record_is_the_same_under_every_hash_seed(tmp_path):
    """Records are artifacts too: their bytes do not depend on the process."""
    code = (
        "import sys; from pathlib import Path; from otrainer.storage.records import *; "
        "Record({'b': None, 'a': FileStamp('x', 1, 2)}, hash_env({'Z': '1', 'A': None}), {}).write(sys.argv[1]); "
        "print(Path(sys.argv[1]).read_text())"
    )
    texts = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        texts.add(done.stdout)
    assert len(texts) == 1


@pytest.fixture
def folder(tmp_path):
    """A stage that read a folder, whose record is kept."""
    for name in ("a.bin", "in/b.bin"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
        os.utime(path, ns=(10**18, 10**18))
    stamp = FileStamp("any", *folder_stamp(tmp_path / "data")[1:])
    Record({"data": stamp}).write(tmp_path / "record.json")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: None, None),
        (lambda data: os.utime(data), None),
        (lambda data: (data / "empty").mkdir(), None),
        (lambda data: (data / "new.bin").write_bytes(b""), "`data` changed."),
        (lambda data: (data / "a.bin").unlink(), "`data` changed."),
        (lambda data: (data / "a.bin").rename(data / "c.bin"), "`data` changed."),
        (lambda data: (data / "in/b.bin").write_bytes(b"2"), "`data` changed."),
        (lambda data: os.utime(data / "in/b.bin", ns=(1, 1)), "`data` changed."),
        (lambda data: data.rename(data.with_name("other")), "`data` is gone."),
        (lambda data: (data / "lost").symlink_to("nowhere"), "`data` changed."),
    ],
)
def test_of_a_folder_names_sizes_and_times_of_its_files_are_compared(folder, change, reason):
    """Whoever remembers the files one by one finds out whether their content changed."""
    change(folder / "data")
    assert why_stale(folder / "record.json", root=folder) == reason


def test_code_that_lies_elsewhere_makes_a_record_stale(tmp_path):
    """Another installation of otrainer does not take the files of the one before for its own."""
    (tmp_path / "code.py").write_text("1")
    path = tmp_path / "a.record.json"
    Record(stamp_files(["code.py"], tmp_path)).write(path)

    assert why_stale(path, root=tmp_path, source="code.py") is None
    assert why_stale(path, root=tmp_path, source="/other/code.py") == "It was made by another installation of otrainer."
