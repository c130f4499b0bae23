"""A file is known again by its size, times and inode once these can be trusted: git's rule, and what it leaves open."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from otrainer.storage.stamps import COARSE_TICK_NS, NO_INODE, SECOND_NS, SMALL, TICK_NS, FileStamp, is_young

NOW = 1_800_000_000 * SECOND_NS + 123_456_789


def status(mtime_ns: int, ctime_ns: int | None = None, size: int = SMALL + 1, inode: int = 7) -> Any:
    """What a file system says of a file."""
    ctime_ns = mtime_ns if ctime_ns is None else ctime_ns
    fields = {"st_mtime_ns": mtime_ns, "st_ctime_ns": ctime_ns, "st_size": size, "st_ino": inode}
    return type("Status", (), fields)()


def seen(now_ns: int = NOW, **facts: Any) -> FileStamp:
    return FileStamp.seen("sha", status(**facts), now_ns)


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "young"),
    [
        (NOW - TICK_NS, None, True),
        (NOW - TICK_NS - 1, None, False),
        (0, NOW - TICK_NS, True),
        (0, NOW - SECOND_NS, False),
        (NOW // SECOND_NS * SECOND_NS, None, True),
        ((NOW - COARSE_TICK_NS) // SECOND_NS * SECOND_NS + SECOND_NS, None, True),
        ((NOW - COARSE_TICK_NS) // SECOND_NS * SECOND_NS, None, False),
        (NOW + 3600 * SECOND_NS, None, True),
        (NOW + 3600 * SECOND_NS, 0, True),
        (0, 0, False),
    ],
)
def test_a_file_is_young_until_the_next_write_must_show(mtime_ns: int, ctime_ns: int | None, young: bool) -> None:
    """That is a tick of the clock, or two seconds where there are only whole ones; any time ahead of ours is young."""
    assert is_young(status(mtime_ns, ctime_ns), NOW) is young
    assert seen(mtime_ns=mtime_ns, ctime_ns=ctime_ns).tells(status(mtime_ns, ctime_ns)) is not young


@pytest.mark.parametrize(
    "other", [{"mtime_ns": 2}, {"ctime_ns": 2}, {"inode": 8}, {"size": 1}], ids=lambda other: next(iter(other))
)
def test_each_fact_counts(other: dict[str, int]) -> None:
    facts = {"mtime_ns": 1, "ctime_ns": 1}

    assert seen(**facts).tells(status(**facts))
    assert not seen(**facts).tells(status(**{**facts, **other}))


@pytest.mark.parametrize("ahead_ns", [60 * SECOND_NS + 1, 10**18], ids=["a server ahead of us", "years ahead"])
def test_a_file_from_the_future_is_read_twice_and_then_trusted(ahead_ns: int) -> None:
    """It had these times already a while ago, so that whoever writes to it now must change them."""
    ahead = {"mtime_ns": NOW + ahead_ns}
    first = seen(**ahead)
    again = seen(NOW + TICK_NS, **ahead).after(first)
    assert first.young_ns
    assert again.young_ns
    later = seen(NOW + TICK_NS + 1, **ahead).after(first)
    assert later.tells(status(**ahead))


def test_a_clock_that_was_set_back_settles_as_well() -> None:
    ahead = {"mtime_ns": NOW + 1}
    first = seen(NOW, **ahead)
    second = seen(NOW - 10 * SECOND_NS, **ahead).after(first)
    third = seen(NOW - 9 * SECOND_NS, **ahead).after(second)

    assert second.young_ns
    assert third.tells(status(**ahead))


def test_a_file_edited_between_two_looks_is_as_young_as_it_is() -> None:
    first = seen(NOW, mtime_ns=NOW)
    second = seen(NOW + SECOND_NS, mtime_ns=NOW + SECOND_NS - 1).after(first)

    assert second.young_ns


def test_where_inodes_are_new_with_each_mount_they_do_not_count() -> None:
    """A file of the same times and content has another number: it is read for that once, and not again."""
    first = seen(mtime_ns=1, inode=7)
    second = seen(mtime_ns=1, inode=8).after(first)
    assert second.inode == NO_INODE
    assert second.tells(status(mtime_ns=1, inode=9))
    assert not second.tells(status(mtime_ns=2, inode=9))

    replaced = seen(mtime_ns=1, ctime_ns=2, inode=8).after(first)
    assert replaced.inode == 8


def test_a_link_that_leads_to_another_file_of_the_same_times_is_seen(tmp_path: Path) -> None:
    """Two versions of data, unpacked in one moment under the times of their archive."""
    for name, content in (("v1", b"1"), ("v2", b"2")):
        (tmp_path / name).write_bytes(content * (SMALL + 1))
        os.utime(tmp_path / name, ns=(0, 0))
    link = tmp_path / "data.bin"
    link.symlink_to("v1")
    stamp = FileStamp.seen(FileStamp.of(link).sha256, link.stat(), link.stat().st_ctime_ns + SECOND_NS)
    assert stamp.again(link) is stamp
    link.unlink()
    link.symlink_to("v2")

    assert stamp.again(link) is None


def test_a_pipe_in_the_place_of_an_empty_file_is_another_thing(tmp_path: Path) -> None:
    """Nobody waits for it."""
    path = tmp_path / "a.txt"
    path.touch()
    stamp = FileStamp.of(path)
    path.unlink()
    os.mkfifo(path)

    assert stamp.again(path) is None


def test_one_look_reads_a_small_file_once_unless_it_is_young_or_another_by_now(tmp_path: Path) -> None:
    """Of an old one, as many records as like to may be held against what was read first."""
    path = str(tmp_path / "a.yaml")
    Path(path).write_text("one")
    read: dict[str, FileStamp] = {}
    first = FileStamp.of(path)

    assert first.young_ns
    assert first.again(path, read=read)
    read[path] = read[path]._replace(sha256="what was read before")
    assert first.again(path, read=read), "a young one is read again"

    wait_until_old(path)
    old = FileStamp.of(path)
    read.clear()
    assert old.again(path, read=read) is old
    read[path] = read[path]._replace(sha256="what was read before")
    assert old.again(path, read=read) is None, "an old one is taken as it was read"

    Path(path).write_text("two")
    assert old.again(path, read=read) is None
    Path(path).write_text("one")
    assert old.again(path, read=read), "one with other facts is read again"


def wait_until_old(path: str) -> None:
    while FileStamp.of(path).young_ns:
        time.sleep(TICK_NS / SECOND_NS)
