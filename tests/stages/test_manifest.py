"""What the stage `manifest` leaves is kept once for all experiments with the same plugins."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from trained import PARTS, inside

from otrainer.stages.built import record_path
from otrainer.stages.freshness.decide import Looks, decide
from otrainer.storage import process_memory
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.worker.table import run_stage

PLAIN = "defaults: [../base/runtime.yaml, ../models/sequential_mlp.yaml]\nrun: {name: plain}\n"


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A project with `a`, its twin `b`, and `plain` without plugins, none of which has gone through a stage."""
    folder = Path(shutil.copytree(original, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__")))
    experiments = folder / "configs/experiments"
    (experiments / "b.yaml").write_text("defaults: [a.yaml]\nrun: {name: b}\n")
    (experiments / "plain.yaml").write_text(PLAIN)
    process_memory.forget("manifests")
    with inside(folder):
        yield folder


def listed(root: Path, *names: str) -> list[Path]:
    """List the components of experiments; return the files in which these are kept."""
    for name in names:
        for stage in ("resolve", "manifest"):
            assert run_stage(stage, find_experiment(name, root), root=root).status == "ok"
    return [(root / "build" / name / "manifest.json").resolve() for name in names]


def stale(root: Path, name: str) -> list[str]:
    return list(decide("manifest", find_experiment(name, root), root).reasons)


def test_experiments_with_the_same_plugins_share_one_and_others_have_another(root: Path) -> None:
    a, b, plain = listed(root, "a", "b", "plain")
    assert a == b != plain
    assert set(json.loads(a.read_bytes())["plugins"]) - set(json.loads(plain.read_bytes())["plugins"])
    names = {"manifest.json", "keys.json", "manifest.record.json"}
    assert {path.name for path in (root / "build/b").iterdir() if path.is_symlink()} == names
    assert not any(stale(root, name) for name in ("a", "b", "plain"))


def test_an_edited_plugin_makes_all_that_share_it_stale_and_one_of_them_brings_it_up_to_date(root: Path) -> None:
    listed(root, "a", "b", "plain")
    (root / PARTS).write_text((root / PARTS).read_text() + "\nMORE = 1\n")
    assert stale(root, "a") == stale(root, "b") == [f"`{PARTS}` changed."]
    assert stale(root, "plain") == []
    process_memory.forget("manifests")
    listed(root, "b")
    assert not any(stale(root, name) for name in ("a", "b"))


@pytest.mark.parametrize("broken", ["altered", "deleted"])
def test_what_an_experiment_has_of_it_is_mended_where_it_was_touched(root: Path, broken: str) -> None:
    shared, _ = listed(root, "a", "b")
    mine = root / "build/a/manifest.json"
    mine.unlink()
    if broken == "altered":
        mine.write_text("{}")
    assert (stale(root, "a"), stale(root, "b")) == ([f"`build/a/manifest.json` was {broken}."], [])
    assert listed(root, "a") == [shared]
    assert stale(root, "a") == []


def test_each_experiment_has_a_copy_where_the_disk_knows_no_links(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "symlink", refused)
    a, b = listed(root, "a", "b")
    assert a != b
    assert a.read_bytes() == b.read_bytes()
    assert (stale(root, "a"), stale(root, "b")) == ([], [])
    b.write_text("{}")
    assert stale(root, "b") == ["`build/b/manifest.json` was altered."]
    listed(root, "b")
    assert stale(root, "b") == []


def test_a_look_at_a_shared_record_holds_until_the_record_is_another(root: Path) -> None:
    listed(root, "a", "b")
    experiment = find_experiment("b", root)
    looks = Looks.none()
    record, seen = record_path("manifest", experiment, root), None
    while seen != (seen := record.stat().st_ino):  # a look at files that were young writes the record once more
        assert decide("manifest", experiment, root, looks=looks).is_up_to_date
    (root / PARTS).write_text((root / PARTS).read_text() + "\nMORE = 1\n")
    assert decide("manifest", experiment, root, looks=looks).is_up_to_date
    assert not decide("manifest", experiment, root, looks=Looks.none()).is_up_to_date
    process_memory.forget("manifests")
    listed(root, "a")
    (root / PARTS).write_text((root / PARTS).read_text() + "\nMORE = 2\n")
    assert not decide("manifest", experiment, root, looks=looks).is_up_to_date
