"""Data is what its content is: files are hashed once and remembered, folders count by all that they hold."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from otrainer.storage import stamps
from otrainer.storage.data_files import MEMORY, identify, stamp_of
from otrainer.storage.regular import open_regular
from otrainer.storage.stamps import FileStamp

LONG_AGO = 10**18


def write(path: Path, content: bytes, time_ns: int = LONG_AGO) -> Path:
    """A file that was written long enough ago for its time to tell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(time_ns, time_ns))
    return path


def sha(name: str, root: Path) -> str:
    return identify(name, root).sha256


def remembered(root: Path) -> Path:
    (found,) = (root / MEMORY).iterdir()
    return found


def misremember(root: Path, **contents: str) -> None:
    """Remember files as if they had not been young; with another content what is not read again shows."""
    rows = json.loads(remembered(root).read_bytes())
    for inside, row in rows.items():
        rows[inside] = [contents.get(Path(inside).stem, row[0]), *row[1:5], 0]
    remembered(root).write_text(json.dumps(rows))


def test_a_file_is_its_content(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", b"123")
    stamp = identify("a.bin", tmp_path)

    assert (stamp.sha256, stamp.size, stamp.mtime_ns) == (hashlib.sha256(b"123").hexdigest(), 3, LONG_AGO)
    write(tmp_path / "b.bin", b"123", LONG_AGO + 1)
    assert sha("b.bin", tmp_path) == sha(str(tmp_path / "a.bin"), tmp_path) == stamp.sha256


def test_what_was_hashed_is_remembered_by_size_times_and_inode(tmp_path: Path) -> None:
    """A file that looks as it did is not read again."""
    path = write(tmp_path / "a.bin", b"123")
    sha("a.bin", tmp_path)
    remembered(tmp_path).write_text(remembered(tmp_path).read_text().replace(hashlib.sha256(b"123").hexdigest(), "it"))
    misremember(tmp_path)
    assert sha("a.bin", tmp_path) == "it"

    write(path, b"456")
    assert sha("a.bin", tmp_path) == hashlib.sha256(b"456").hexdigest()
    write(tmp_path / "b.bin", b"789").replace(path)
    assert sha("a.bin", tmp_path) == hashlib.sha256(b"789").hexdigest()


def test_one_memory_serves_every_way_to_write_a_path(tmp_path: Path) -> None:
    write(tmp_path / "in/a.bin", b"123")
    for name in ("in/a.bin", "./in/a.bin", "in/../in/a.bin", str(tmp_path / "in/a.bin")):
        sha(name, tmp_path)

    assert len(list((tmp_path / MEMORY).iterdir())) == 1


def test_a_touched_file_is_read_once_and_is_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", b"123")
    first = sha("a.bin", tmp_path)
    os.utime(path, ns=(LONG_AGO + 7, LONG_AGO + 7))

    assert sha("a.bin", tmp_path) == first
    assert json.loads(remembered(tmp_path).read_bytes())[""][:3] == [first, 3, LONG_AGO + 7]


def test_a_file_written_just_now_is_not_trusted_by_its_time(tmp_path: Path) -> None:
    """Within a tick of the clock it may be written again under the same time."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"123")
    first, times = sha("a.bin", tmp_path), path.stat().st_mtime_ns
    assert json.loads(remembered(tmp_path).read_bytes())[""][5] > 0
    path.write_bytes(b"456")
    os.utime(path, ns=(times, times))

    assert sha("a.bin", tmp_path) != first


def test_a_folder_is_its_listing_and_the_content_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder / "a.bin", b"1")
    write(folder / "in/b.bin", b"2")
    seen = [sha("data", tmp_path)]
    write(folder / "in/b.bin", b"3", LONG_AGO + 1)
    seen.append(sha("data", tmp_path))
    write(folder / "c.bin", b"")
    seen.append(sha("data", tmp_path))
    (folder / "c.bin").rename(folder / "d.bin")
    seen.append(sha("data", tmp_path))
    (folder / "d.bin").rename(folder / "in/d.bin")
    seen.append(sha("data", tmp_path))

    assert len(set(seen)) == 5
    (folder / "in/d.bin").unlink()
    write(folder / "in/b.bin", b"2", LONG_AGO + 2)
    assert sha("data", tmp_path) == seen[0]


def test_of_a_folder_times_empty_folders_and_the_place_do_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(folder / "a.bin", b"1")
    first = sha("data", tmp_path)
    os.utime(folder / "a.bin", ns=(5, 5))
    (folder / "empty").mkdir()
    again = sha("data", tmp_path)
    folder.rename(tmp_path / "moved")

    assert sha("moved", tmp_path) == again == first


DROPPINGS = (
    *(".DS_Store", "._a.bin", "Thumbs.db", "desktop.ini", ".directory", ".Trash-1000/files/a.bin"),
    *(".a.bin.swp", ".a.bin.swo", "a.bin~", "#a.bin#", ".#a.bin", ".~lock.a.csv#", "~$a.xlsx", ".goutputstream-X1"),
    *(".ipynb_checkpoints/a-checkpoint.bin", "__pycache__/a.cpython-311.pyc", ".nfs0001", ".fuse_hidden0001"),
    *(".git/HEAD", ".gitignore", ".gitkeep", ".idea/workspace.xml"),
)


@pytest.mark.parametrize("name", DROPPINGS)
@pytest.mark.parametrize("inside", ["", "in/"])
def test_what_an_editor_or_the_system_leaves_in_a_folder_does_not_count(tmp_path: Path, inside: str, name: str) -> None:
    write(tmp_path / "data/in/a.bin", b"1")
    first = sha("data", tmp_path)
    misremember(tmp_path)
    stamp = identify("data", tmp_path)
    write(tmp_path / "data" / inside / name, b"22")

    assert sha("data", tmp_path) == first
    assert stamp.again(tmp_path / "data") is stamp  # nor is anything read again


@pytest.mark.parametrize(
    "name", [".zarray", ".hidden", "a~b", "#a", "a#", "swp", "a.swp", ".cache/a.bin", "thumbs", "1.git"]
)
def test_a_new_file_in_a_folder_counts_also_where_it_is_hidden(tmp_path: Path, name: str) -> None:
    """Data sets read such, as zarr reads `.zarray`."""
    write(tmp_path / "data/a.bin", b"1")
    first = sha("data", tmp_path)
    misremember(tmp_path)
    stamp = identify("data", tmp_path)
    write(tmp_path / "data" / name, b"22")

    assert sha("data", tmp_path) != first
    assert stamp.again(tmp_path / "data") is None


@pytest.mark.parametrize("name", ["a.bin~", ".git/data.bin"])
def test_what_is_named_itself_counts_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"1")
    named = name.partition("/")[0]
    first = sha(named, tmp_path)
    write(path, b"22")

    assert sha(named, tmp_path) != first


def test_only_the_changed_files_of_a_folder_are_read_again(tmp_path: Path) -> None:
    """The others are known by what they look like."""
    folder = tmp_path / "data"
    for name in ("a.bin", "b.bin"):
        write(folder / name, b"1")
    sha("data", tmp_path)
    misremember(tmp_path, a="it", b="it")
    write(folder / "b.bin", b"2")
    sha("data", tmp_path)
    known = json.loads(remembered(tmp_path).read_bytes())

    assert known["a.bin"][0] == "it"
    assert known["b.bin"][0] == hashlib.sha256(b"2").hexdigest()


def test_a_memory_of_an_earlier_form_is_made_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", b"123")
    first = sha("a.bin", tmp_path)
    remembered(tmp_path).write_text(json.dumps({"": ["it", 3, path.stat().st_mtime_ns]}))

    assert sha("a.bin", tmp_path) == first
    assert len(json.loads(remembered(tmp_path).read_bytes())[""]) == 6


def test_an_empty_folder_has_an_identity(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    empty = sha("data", tmp_path)
    write(tmp_path / "data/a.bin", b"")

    assert empty != sha("data", tmp_path)


def test_a_file_in_the_place_of_a_folder_is_another_thing(tmp_path: Path) -> None:
    write(tmp_path / "data/a.bin", b"1")
    folder = sha("data", tmp_path)
    (tmp_path / "data/a.bin").rename(tmp_path / "a.bin")
    (tmp_path / "data").rmdir()
    (tmp_path / "a.bin").rename(tmp_path / "data")

    assert sha("data", tmp_path) == hashlib.sha256(b"1").hexdigest() != folder


def test_links_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "store/a.bin", b"1")
    write(tmp_path / "store/b.bin", b"22")
    (tmp_path / "link").symlink_to("store/a.bin")
    (tmp_path / "data").symlink_to("store")
    file, folder = sha("link", tmp_path), sha("data", tmp_path)

    assert file == sha("store/a.bin", tmp_path)
    assert folder == sha("store", tmp_path)
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("store/b.bin")
    assert sha("link", tmp_path) == sha("store/b.bin", tmp_path) != file


def test_folders_that_lead_in_circles_end(tmp_path: Path) -> None:
    write(tmp_path / "data/in/a.bin", b"1")
    first = sha("data", tmp_path)
    (tmp_path / "data/in/up").symlink_to(tmp_path / "data")

    assert sha("data", tmp_path) == first


@pytest.mark.parametrize("name", ["none.bin", "none/a.bin", "dangling", "data"])
def test_what_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    """Also a link that leads nowhere, and a folder that holds one."""
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dangling").symlink_to("nowhere")

    with pytest.raises(FileNotFoundError):
        identify(name, tmp_path)


@pytest.mark.parametrize("name", ["data/pipe", "data"])
def test_a_pipe_is_no_data_and_nobody_waits_for_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data/pipe")

    with pytest.raises(OSError, match="neither a file nor a folder"):
        identify(name, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", b"1").chmod(0)

    with pytest.raises(PermissionError):
        identify("a.bin", tmp_path)


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A name that a file has in its way, and one that leads to itself."""
    write(tmp_path / "a.bin", b"1")
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(NotADirectoryError):
        identify("a.bin/b", tmp_path)
    with pytest.raises(OSError, match="loop"):
        identify("loop", tmp_path)


def test_a_file_replaced_while_it_is_read_is_noticed_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replaced between its opening and the first byte; what was read is not taken for the new one."""
    path = write(tmp_path / "a.bin", b"old")

    def replaced_behind(name: Path) -> Any:
        opened = open_regular(name)
        write(tmp_path / "new.bin", b"newer").replace(path)
        return opened

    with monkeypatch.context() as patch:
        patch.setattr(stamps, "open_regular", replaced_behind)
        found = FileStamp.of(path)

    assert found.sha256 == hashlib.sha256(b"old").hexdigest()
    assert stamp_of(path, found).sha256 == hashlib.sha256(b"newer").hexdigest()


DAMAGES = (
    b"[" * 100_000,
    b'{"": ["x", 1e400, 1]}',
    b"",
    b"{",
    b"[]",
    b"7",
    b"null",
    b"\xff",
    b'{"": 7}',
    b'{"": []}',
    b'{"": ["x", "y", "z"]}',
    b'{"": null}',
)


@pytest.mark.parametrize(
    "damage", [*DAMAGES, b"[" * 100_000, b'{"": ["x", 1e400, 1]}'], ids=lambda each: repr(each[:20])
)
def test_a_damaged_memory_is_ignored_and_made_anew(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path / "a.bin", b"123")
    first = sha("a.bin", tmp_path)
    kept = remembered(tmp_path)
    good = json.loads(kept.read_bytes())
    kept.write_bytes(damage)

    assert sha("a.bin", tmp_path) == first
    assert json.loads(kept.read_bytes())[""][:5] == good[""][:5]


def test_where_nothing_can_be_remembered_data_still_has_its_identity(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", b"123")
    (tmp_path / "build").write_text("")

    assert sha("a.bin", tmp_path) == hashlib.sha256(b"123").hexdigest()


def test_a_folder_in_the_place_of_the_memory_costs_only_another_look(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", b"123")
    first = sha("a.bin", tmp_path)
    kept = remembered(tmp_path)
    kept.unlink()
    kept.mkdir()

    assert sha("a.bin", tmp_path) == first


def test_odd_names_are_names_like_any_other(tmp_path: Path) -> None:
    for name in ("a b.bin", "ü.bin", "new\nline.bin", "-.bin"):
        write(tmp_path / "data" / name, name.encode())
        assert sha(f"data/{name}", tmp_path) == hashlib.sha256(name.encode()).hexdigest()
    with Path(os.fsdecode(os.fsencode(tmp_path) + b"/data/\xff.bin")).open("wb") as stream:
        stream.write(b"1")
    first = sha("data", tmp_path)

    assert first == sha("data", tmp_path)
