"""What code asks without opening anything is seen: whether a path is there, which variable says what."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable
from os.path import expandvars
from pathlib import Path

import pytest

from otrainer.storage.records import Record, hash_text, reasons
from otrainer.storage.watch_reads import ReadTracker, tracking


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadTracker:
    """One that watches a folder with a file, and two variables."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("1")
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALE", "2")
    monkeypatch.delenv("SHIFT", raising=False)
    return ReadTracker(tmp_path)


@pytest.mark.parametrize(
    ("look", "kinds"),
    [
        (lambda: Path("switch").exists(), {"switch": ""}),
        (lambda: os.path.exists(b"data/a.txt"), {"data/a.txt": "file"}),  # noqa: PTH110 - one of the ways
        (lambda: Path("data").is_dir(), {"data": "folder"}),
        (lambda: Path("data").is_file(), {"data": "folder"}),
        (lambda: os.access("data/none", os.R_OK), {"data/none": ""}),
        (lambda: os.path.lexists("link/a.txt"), {"link/a.txt": "file"}),
        (lambda: glob.glob("data/a.txt"), {"data/a.txt": "file"}),  # noqa: PTH207 - so is this
        (lambda: shutil.which("./tool"), {"tool": ""}),
        (lambda: Path("data").resolve(), {}),
        (lambda: Path("data").mkdir(exist_ok=True), {"data": "folder"}),
        (lambda: tempfile.gettempdir(), {}),
    ],
)
def test_a_path_that_is_looked_at_is_seen_there_or_not(
    tracker: ReadTracker, look: Callable[[], object], kinds: dict[str, str]
) -> None:
    with tracking(tracker):
        look()

    assert (tracker.kinds, tracker.files) == (kinds, {})


def test_what_asks_for_the_size_of_a_file_depends_on_its_content(tracker: ReadTracker) -> None:
    with tracking(tracker):
        assert os.path.getsize("data/a.txt") == Path("data/a.txt").stat().st_size == 1  # noqa: PTH202 - both ways

    assert list(tracker.files) == ["data/a.txt"]


@pytest.mark.parametrize(
    "read",
    [
        lambda: os.environ["SCALE"],
        lambda: os.environ.get("SCALE"),
        lambda: os.environb[b"SCALE"],
        lambda: os.getenvb(b"SCALE"),
        lambda: b"SCALE" in os.environb,
        lambda: os.getenv("SCALE"),
        lambda: "SCALE" in os.environ,
        lambda: os.environ.setdefault("SCALE", "3"),
        lambda: expandvars("$SCALE/x"),
        lambda: [value for name in os.environ if name.startswith("SCAL") and (value := os.environ[name])],
    ],
)
def test_a_variable_that_is_read_is_seen_and_only_its_hash_is_kept(
    tracker: ReadTracker, read: Callable[[], object]
) -> None:
    with tracking(tracker):
        read()

    assert tracker.env == {"SCALE": hash_text("2")}


@pytest.mark.parametrize(
    "take",
    [
        lambda: dict(os.environ),
        lambda: {**os.environ},
        lambda: os.environ.copy(),
        lambda: os.environ | {"SCALE": "3"},
        lambda: list(os.environ.items()),
        lambda: list(os.environ.values()),
        lambda: dict(os.environb),
        lambda: Path.home(),
    ],
)
def test_who_takes_the_whole_environment_means_no_variable(tracker: ReadTracker, take: Callable[[], object]) -> None:
    with tracking(tracker):
        take()

    assert tracker.env == {}


def test_a_variable_counts_as_it_was_before_the_code_set_it(
    tracker: ReadTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIFT", "")
    monkeypatch.delenv("SHIFT")
    with tracking(tracker):
        os.environ["SHIFT"] = "1"
        os.environ["SCALE"] = "5"
        assert (os.environ["SHIFT"], os.environ["SCALE"]) == ("1", "5")
    assert tracker.env == {"SHIFT": None, "SCALE": hash_text("2")}

    os.environ["SCALE"] = "7"  # by somebody else, before the next look
    with tracking(later := ReadTracker(tracker.root)):
        os.environ.get("SCALE")
    assert later.env == {"SCALE": hash_text("7")}


def test_what_the_code_made_itself_is_as_it_left_it(tracker: ReadTracker) -> None:
    """It finds that the next time, which is no change."""
    with tracking(tracker):
        for name in ("cache", "data/b.txt"):
            assert not Path(name).exists()
        Path("cache").mkdir()
        list(Path("data").iterdir())
        Path("data/b.txt").write_text("2")
    told = list(reasons(Record(kinds=tracker.kinds, listings=tracker.listings), {}, root=tracker.root))

    assert (tracker.kinds, told) == ({"cache": "folder", "data/b.txt": "file"}, [])


def test_each_other_answer_is_a_reason(tracker: ReadTracker) -> None:
    with tracking(tracker):
        for name in ("switch", "data/a.txt", "data"):
            Path(name).exists()
        list(Path("data").iterdir())
    record = Record(kinds=tracker.kinds, listings=tracker.listings, env={"SHIFT": None})
    Path("data/.a.txt.swp").touch()
    assert list(reasons(record, {}, root=tracker.root, environ={})) == []
    Path("switch").mkdir()
    Path("data").rename("elsewhere")

    assert list(reasons(record, {}, root=tracker.root, environ={"SHIFT": "1"})) == [
        "`data` holds files of other names.",
        "`switch` is there now.",
        "`data/a.txt` is gone.",
        "`data` is gone.",
        "The environment variable `SHIFT` is set now.",
    ]


def test_all_is_as_before_when_nobody_watches_any_more(tracker: ReadTracker) -> None:
    before = os.stat, os.lstat, os.access, type(os.environ), type(os.environb)
    with pytest.raises(LookupError), tracking(tracker), tracking(ReadTracker(tracker.root)):
        assert os.stat in os.supports_dir_fd  # which decides how the standard library removes trees
        raise LookupError

    assert before == (os.stat, os.lstat, os.access, type(os.environ), type(os.environb))
