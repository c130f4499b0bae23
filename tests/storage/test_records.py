"""Records: a stage is stale exactly when something that it read or left has other content than before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from otrainer.storage.data_files import identify
from otrainer.storage.records import Record, hash_env, reasons, stamp_files, why_stale
from otrainer.storage.stamps import SMALL, FileStamp, is_young


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


def test_a_large_file_that_looks_as_it_did_is_not_read_again(tmp_path):
    """Size, times and inode decide once it has settled: here that shows, since its record says something else of it."""
    path, record = tmp_path / "data.bin", tmp_path / "record.json"
    path.write_bytes(b"1" * (SMALL + 1))
    later = path.stat().st_ctime_ns + 10**9
    Record({"data.bin": FileStamp.seen("anything", path.stat(), later)}).write(record)
    assert why_stale(record, root=tmp_path) is None

    path.replace(tmp_path / "moved.bin")
    (tmp_path / "moved.bin").rename(path)
    assert why_stale(record, root=tmp_path) == "`data.bin` changed."


def test_a_small_file_is_read_whatever_it_looks_like(tmp_path):
    """Not every file system tells of each change."""
    path, record = tmp_path / "a.yaml", tmp_path / "record.json"
    path.write_text("lr: 1\n")
    later = path.stat().st_ctime_ns + 10**9
    Record({"a.yaml": FileStamp.seen("anything", path.stat(), later)}).write(record)

    assert why_stale(record, root=tmp_path) == "`a.yaml` changed."


@pytest.mark.parametrize("size", [1, SMALL + 1])
def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path, size):
    """As archives, images and copies with fixed times make them: the file in its place is another one."""
    path, record = tmp_path / "data.bin", tmp_path / "record.json"
    path.write_bytes(b"1" * size)
    os.utime(path, ns=(0, 0))
    later = path.stat().st_ctime_ns + 10**9
    Record({"data.bin": FileStamp.seen(FileStamp.of(path).sha256, path.stat(), later)}).write(record)
    assert why_stale(record, root=tmp_path) is None
    path.write_bytes(b"2" * size)
    os.utime(path, ns=(0, 0))

    assert why_stale(record, root=tmp_path) == "`data.bin` changed."


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.utime(path, ns=(10**18, 10**18)),
        lambda path: path.chmod(0o600),
        lambda path: path.with_name("b.bin").hardlink_to(path),
        lambda path: shutil.copy2(path, path.with_name("b.bin")) and path.with_name("b.bin").replace(path),
    ],
    ids=["touched", "another mode", "another name", "a copy in its place"],
)
def test_a_file_of_the_same_content_is_read_once_and_then_trusted_again(tmp_path, change):
    """After a look inside has shown that nothing changed, what the file looks like now is noted."""
    path, record = tmp_path / "data.bin", tmp_path / "record.json"
    path.write_bytes(b"1" * (SMALL + 1))
    later = path.stat().st_ctime_ns + 10**9
    Record({"data.bin": FileStamp.seen(FileStamp.of(path).sha256, path.stat(), later)}).write(record)
    change(path)
    wait_for_tick(path)
    assert why_stale(record, root=tmp_path) is None
    assert Record.read(record).files["data.bin"].tells(path.stat())
    before = record.stat()
    assert why_stale(record, root=tmp_path) is None
    assert record.stat().st_mtime_ns == before.st_mtime_ns


def wait_for_tick(path):
    """Until an edit would change the times of a file for certain."""
    while is_young(path.stat(), time.time_ns()):
        time.sleep(0.005)


@pytest.mark.parametrize("schema", [2, 3])
def test_a_record_of_an_earlier_form_makes_its_stage_run_once(project, schema):
    """It is no damage, and the stage says which version of otrainer wrote it."""
    record = project / "x.record.json"
    whole = json.loads(record.read_text())
    rows = {name: stamp and stamp[:3] for name, stamp in whole["files"].items()}
    earlier = {2: {"files": rows}, 3: {"search": {"path": [], "used": [], "folders": {}}}}
    record.write_text(json.dumps({**whole, "schema": schema, **earlier[schema]}))

    assert why(project) == "This version of otrainer does it in another way."


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
        "from otrainer.storage.stamps import *; "
        "Record({'b': None, 'a': FileStamp('x', 1, 2, 3, 4)}, hash_env({'Z': '1', 'A': None}), {}).write(sys.argv[1]); "
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


def same_times(path, content):
    """Another content of the same size, with the times of the old one."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(folder, other):
    shutil.rmtree(folder)
    other.rename(folder)


@pytest.fixture
def folder(tmp_path):
    """A stage that read a folder, whose record is kept."""
    for name in ("a.bin", "in/b.bin"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
        os.utime(path, ns=(10**18, 10**18))
    Record({"data": identify("data", tmp_path)}).write(tmp_path / "record.json")
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
        (lambda data: os.utime(data / "in/b.bin", ns=(1, 1)), None),
        (lambda data: shutil.copytree(data, data.with_name("other")) and exchange(data, data.with_name("other")), None),
        (lambda data: same_times(data / "in/b.bin", b"2"), "`data` changed."),
        (lambda data: data.rename(data.with_name("other")), "`data` is gone."),
        (lambda data: (data / "lost").symlink_to("nowhere"), "`data` changed."),
    ],
)
def test_a_folder_is_the_names_and_contents_of_its_files(folder, change, reason):
    """What only looks different, as in a copy, is looked into."""
    change(folder / "data")
    assert why_stale(folder / "record.json", root=folder) == reason


def test_code_that_lies_elsewhere_makes_a_record_stale(tmp_path):
    """Another installation of otrainer does not take the files of the one before for its own."""
    (tmp_path / "code.py").write_text("1")
    path = tmp_path / "a.record.json"
    Record(stamp_files(["code.py"], tmp_path)).write(path)

    assert why_stale(path, root=tmp_path, source="code.py") is None
    assert why_stale(path, root=tmp_path, source="/other/code.py") == "It was made by another installation of otrainer."


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000, "pipe", "zero", "a.yaml/b", ""])
def test_a_record_that_names_what_is_no_file_says_so_at_once(project, name):
    """Somebody else may have written it: a pipe is not waited for, a device not read."""
    os.mkfifo(project / "pipe")
    (project / "zero").symlink_to("/dev/zero")
    record = json.loads((project / "x.record.json").read_text())
    for key in ("files", "outputs"):
        (project / "x.record.json").write_text(json.dumps({**record, key: {name: ["0" * 64, 0, 1]}}))
        assert why(project)
    (project / "x.record.json").write_text(json.dumps({**record, "listings": {name: "0"}}))
    assert why(project)


@pytest.mark.parametrize(
    "change",
    [{"env": {"A": 1}}, {"env": []}, {"listings": {"a": None, "b": []}}, {"files": {"a": [1, 2, 3]}}, {"files": 7}],
)
def test_a_record_of_other_kinds_is_damaged(project, change):
    record = json.loads((project / "x.record.json").read_text())
    (project / "x.record.json").write_text(json.dumps({**record, **change}))
    assert why(project) == "Its record `x.record.json` is damaged."


def test_a_record_is_written_through_a_link_to_a_shared_one_alone(project):
    """Another link may lead anywhere, as to somebody's file or a device."""
    shared, own = project / "build/.manifests/1/x.record.json", project / "own.txt"
    shared.parent.mkdir(parents=True)
    shared.touch()
    own.write_text("somebody's own")
    for end in (shared, own, project / "build/.manifests/1/own.txt"):
        link = project / "build/a/x.record.json"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(end)
        Record().write(link)
        assert link.is_symlink() == (end == shared)
        assert Record.read(link) == Record()
    assert own.read_text() == "somebody's own"
    assert Record.read(shared) == Record()
