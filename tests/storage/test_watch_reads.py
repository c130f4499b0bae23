"""What a component reads to name its data is recorded, so that it is asked again when that changes."""

from __future__ import annotations

import glob
import os
import sys
import threading
from pathlib import Path

import pytest
from projects import write
from warm import doit

from otrainer.storage.records import hash_listing
from otrainer.storage.watch_reads import ReadTracker, tracking

GLOBBING = """
from pathlib import Path

import torch

class Globbing:
    def __init__(self):
        self.found = sorted(Path(".").glob("data/*.txt"))

    def files(self):
        return self.found

    def setup(self, stage=None): ...

    def train_dataloader(self):
        yield {"x": torch.zeros(2, 32), "y": torch.full((2, 16), float(len(self.found)))}

def register(registry):
    registry.register_module("data.globbing", Globbing)
"""


def test_a_file_that_a_component_would_find_now_is_trained_on(project: Path) -> None:
    (project / "extensions/globbing.py").write_text(GLOBBING)
    text = "defaults: [baseline.yaml]\nimports: [extensions.globbing]\nrun: {name: globbing}\n"
    write(project, "globbing", text + "data: {_merge_: replace, _value_: {_type_: data.globbing}}\n")
    (project / "data").mkdir()
    (project / "data/1.txt").touch()
    doit(project, "train", "EXP=globbing")
    assert ".  " not in doit(project, "train", "EXP=globbing").stdout
    (project / "data/2.txt").touch()
    why = doit(project, "why", "EXP=globbing").stdout
    train = doit(project, "train", "EXP=globbing").stdout

    found = "              `data` holds files of other names.\n"
    assert f"  validate  would run\n{found}  fit       would run\n{found}" in why
    assert ".  fit:globbing\n   `data` holds files of other names.\n" in train


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadTracker:
    """One that watches a folder with a file."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("1")
    monkeypatch.chdir(tmp_path)
    return ReadTracker(tmp_path)


@pytest.mark.parametrize(
    "look",
    [
        lambda folder: os.listdir(folder),  # noqa: PTH208 - it is one of the ways
        lambda folder: list(os.scandir(folder)),
        lambda folder: glob.glob(f"{folder}/*.txt"),  # noqa: PTH207 - so is this
        lambda folder: list(Path(folder).glob("*.txt")),
        lambda folder: list(Path(folder).rglob("*")),
        lambda folder: list(Path(folder).resolve().iterdir()),
        lambda folder: list(os.walk(folder)),
    ],
)
def test_every_way_to_list_a_folder_is_seen(tracker: ReadTracker, look) -> None:
    with tracking(tracker):
        look("data")

    assert tracker.listings == {"data": hash_listing("data")}


def test_a_file_is_seen_where_it_is_opened_to_be_read_there_or_not(tracker: ReadTracker, tmp_path: Path) -> None:
    with tracking(tracker):
        Path("data/a.txt").read_text()
        (tmp_path / "data/b.txt").write_text("2")
        for name in ("none.txt", "none.txt"):
            with pytest.raises(FileNotFoundError):
                Path(name).read_text()

    assert list(tracker.files) == ["data/a.txt", "none.txt"]
    assert tracker.files["none.txt"] is None
    assert tracker.listings == {}


def test_a_listing_is_remembered_as_it_was_before_it_was_read(tracker: ReadTracker) -> None:
    """A file that comes while a component looks is noticed afterwards."""
    before = hash_listing("data")
    with tracking(tracker):
        names(Path("data"))
        somebody = threading.Thread(target=Path("data/late.txt").touch)
        somebody.start()
        somebody.join()
        names(Path("data"))

    assert tracker.listings == {"data": before} != {"data": hash_listing("data")}


def test_neither_packages_nor_imports_nor_other_threads_are_seen(tracker: ReadTracker, tmp_path: Path) -> None:
    (tmp_path / "data/found_there.py").write_text("x = 1\n")
    sys.path.insert(0, str(tmp_path / "data"))
    try:
        with tracking(tracker):
            import found_there  # noqa: F401 - its search is what counts

            Path(os.__file__).read_bytes()
            thread = threading.Thread(target=names, args=[tmp_path])
            thread.start()
            thread.join()
    finally:
        sys.path.remove(str(tmp_path / "data"))
        del sys.modules["found_there"]
    names(Path("data"))

    assert (tracker.files, tracker.listings) == ({}, {})
