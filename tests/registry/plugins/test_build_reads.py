"""Of what parts read and ask while they are built, what lies in the project counts, unless it counts anyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from otrainer.registry.plugins.build_reads import BuildTracker
from otrainer.storage.watch_reads import tracking, writes_noted


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildTracker:
    """One that looks on in a project with some texts, whose `data` is declared, and whose run lies in `out/a`."""
    for name in ("words.txt", "data/rows.txt", "out/a/row.txt", "runs/b/row.txt", "build/b.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link.txt").symlink_to(tmp_path.parent / "elsewhere.txt")
    (tmp_path.parent / "elsewhere.txt").write_text("elsewhere")
    monkeypatch.chdir(tmp_path)
    return BuildTracker(tmp_path, known={"data", "out/a"})


def test_files_of_the_project_count_by_the_way_that_led_to_them(tracker: BuildTracker, tmp_path: Path) -> None:
    with tracking(tracker):
        for name in ("words.txt", "link.txt", "../elsewhere.txt", tmp_path / "words.txt"):
            Path(name).read_text()

    assert sorted(tracker.answers().files) == ["link.txt", "words.txt"]


def test_declared_data_and_what_runs_and_stages_write_do_not_count_again(tracker: BuildTracker) -> None:
    with tracking(tracker):
        for name in ("data/rows.txt", "out/a/row.txt", "runs/b/row.txt", "build/b.json"):
            Path(name).read_text()
        for name in ("data", "out/a", "runs"):
            list(Path(name).iterdir())

    assert tracker.answers() == BuildTracker(tracker.root).answers()


def test_what_the_run_writes_is_as_it_left_it(tracker: BuildTracker) -> None:
    with tracking(tracker):
        for name in ("cache.bin", "spoiled.bin"):
            Path(name).exists()
        list(Path().iterdir())
        Path("words.txt").read_text()
    asked = tracker.answers()
    assert (asked.kinds, list(asked.files)) == ({"cache.bin": "", "spoiled.bin": ""}, ["words.txt"])
    with writes_noted(tracker):
        Path("cache.bin").write_text("1")
        Path("words.txt").write_text("others")
        Path("link.txt").read_text()

    settled = tracker.answers()
    assert (settled.kinds, settled.files) == ({"cache.bin": "file", "spoiled.bin": ""}, {})
    assert settled.listings != asked.listings
