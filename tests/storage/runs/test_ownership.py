"""What otrainer did not write is left alone, whatever it is called and whoever says that it is a run's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_folders import made, sealed

from otrainer.commands.prune import remove
from otrainer.errors import ConfigError
from otrainer.storage.processes import is_running
from otrainer.storage.runs import run_json as runs
from otrainer.storage.runs.archive import archived_runs, bring_back, fits, move_aside, settle
from otrainer.storage.runs.files import ELSEWHERE, foreign_files
from otrainer.storage.runs.lock import is_locked, lock_run
from otrainer.storage.runs.ownership import is_checkpoint, mark_of


def contents(folder: Path) -> dict[str, bytes | str]:
    """All below a folder: files by their content, links by where they lead."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path.relative_to(folder).as_posix()] = f"-> {path.readlink()}"
        elif path.is_file():
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def claim(run_dir: Path, **outputs: Any) -> None:
    """Let run.json say that these files are outputs of its run."""
    run = runs.read_run(run_dir)
    assert run is not None
    runs.write_run(run_dir, {**run, "outputs": {name: mark or [1, 1, "x"] for name, mark in outputs.items()}})


def test_a_checkpoint_is_known_by_its_end_and_a_link_to_one_is_none(tmp_path: Path) -> None:
    whole = sealed(tmp_path / "last.pt").read_bytes()
    (tmp_path / "link.pt").symlink_to("last.pt")
    (tmp_path / "hard.pt").hardlink_to(tmp_path / "last.pt")
    for name, content in {"short": whole[-85:], "cut": whole[:-1], "upper": whole[:-1] + b"Z", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
    own = [path.name for path in sorted(tmp_path.iterdir()) if is_checkpoint(path)]

    assert own == ["hard.pt", "last.pt"]
    assert not is_checkpoint(tmp_path)
    assert not is_checkpoint(tmp_path / "missing")


NEARLY = '{"schema": 1, "state": "complete", "outputs": {}}'
LOOK_ALIKES = ['{"distance": "5 km"}', "[]", "", "{", NEARLY, "\x00", "[" * 10**5]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_a_folder_with_a_look_alike_of_run_json_is_not_touched(tmp_path: Path, text: str) -> None:
    run_dir = tmp_path / "runs/x"
    run_dir.mkdir(parents=True)
    (run_dir / "run.json").write_text(text)
    (run_dir / "thesis.tex").write_text("mine")
    before = contents(tmp_path)
    for call in (
        lambda: move_aside(run_dir),
        lambda: settle(run_dir),
        lambda: bring_back(run_dir, "first", complete=True),
    ):
        try:
            call()
        except ConfigError as error:
            assert error.findings[0].title == "damaged run"

    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", ["folder", "file"])
def test_a_link_to_what_is_no_run_is_not_touched_nor_what_it_leads_to(tmp_path: Path, content: str) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("mine")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/x").symlink_to("../thesis" if content == "folder" else "../thesis/chapter.tex")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="not a run of ours"):
        move_aside(tmp_path / "runs/x")

    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["../../thesis.tex", "../../weights/last.pt", "../../weights/model.bin"])
def test_a_run_that_claims_what_it_did_not_write_does_not_get_it(tmp_path: Path, name: str) -> None:
    """As one does that somebody else made: what lies elsewhere is only taken along as it was left."""
    run_dir = made(tmp_path / "runs/x", "first", outputs=())
    foreign = tmp_path / name.removeprefix("../../")
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("mine")
    claim(run_dir, **{name: None})
    move_aside(run_dir)

    assert foreign.read_text() == "mine"


def test_even_a_true_mark_gets_only_data(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "runs/x", "first", outputs=())
    (tmp_path / "LICENSE").write_text("MIT")
    claim(run_dir, **{"../../LICENSE": mark_of(tmp_path / "LICENSE")})
    move_aside(run_dir)

    assert (tmp_path / "LICENSE").read_text() == "MIT"


def test_a_link_among_the_outputs_elsewhere_stays(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "runs/x", "first", outputs=("../../far/last.pt",))
    (tmp_path / "far/last.pt").rename(tmp_path / "mine.pt")
    (tmp_path / "far/last.pt").symlink_to("../mine.pt")
    move_aside(run_dir)

    assert (tmp_path / "far/last.pt").readlink() == Path("../mine.pt")
    assert (tmp_path / "mine.pt").read_text() == "first"


def test_a_checkpoint_elsewhere_goes_only_with_the_run_that_wrote_it(tmp_path: Path) -> None:
    """By its mark, or by the definition that stands in it; so nobody else's is kept, and pruned, with a run."""
    run_dir = made(tmp_path / "runs/x", "first", outputs=())
    for name in ("last", "previous", "damaged", "step_2"):
        sealed(tmp_path / f"mine/{name}.pt", "of another run")
    sealed(tmp_path / "later/last.pt", "saved once more by the first")
    sealed(tmp_path / "marked/best.pt", "of its parent")
    claimed = ["../../mine/last.pt", "../../mine/step_2.pt", "../../later/last.pt", "../../marked/best.pt"]
    claim(run_dir, **{**dict.fromkeys(claimed), "../../marked/best.pt": mark_of(tmp_path / "marked/best.pt")})
    kept = move_aside(run_dir)
    assert kept is not None

    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "damaged.pt",
        "last.pt",
        "previous.pt",
        "step_2.pt",
    ]
    assert sorted(contents(kept / ELSEWHERE)) == ["__/__/later/last.pt", "__/__/marked/best.pt"]


def test_what_another_run_has_is_not_taken_along(tmp_path: Path) -> None:
    run_dir, other = made(tmp_path / "runs/x", "first", outputs=()), made(tmp_path / "runs/y", "second", outputs=())
    sealed(other / "checkpoints/last.pt")
    claim(run_dir, **{"../y/checkpoints/last.pt": None})
    move_aside(run_dir)

    assert is_checkpoint(other / "checkpoints/last.pt")


@pytest.mark.parametrize("name", ["extensions/evil.py", "dodo.py", ".bashrc", "weights/model.bin"])
def test_a_run_lays_out_nothing_but_what_it_left(tmp_path: Path, name: str) -> None:
    """A folder that somebody else made may hold anything to be laid out anywhere."""
    run_dir = made(tmp_path / "runs/x", "first", outputs=())
    waiting = run_dir / ELSEWHERE / "__/__" / name
    waiting.parent.mkdir(parents=True)
    waiting.write_text("evil")
    claim(run_dir, **{f"../../{name}": None})
    settle(run_dir)

    assert not (tmp_path / name).exists()


def test_laying_out_never_takes_the_place_of_something(tmp_path: Path) -> None:
    run_dir = made(tmp_path / "runs/x", "first", outputs=("../../far/last.pt", "../../far/best.pt"))
    kept = move_aside(run_dir)
    assert kept is not None
    (tmp_path / "far/last.pt").write_text("mine")
    (tmp_path / "far/best.pt").symlink_to("nowhere")
    kept.rename(run_dir)
    settle(run_dir)

    assert (tmp_path / "far/last.pt").read_text() == "mine"
    assert (tmp_path / "far/best.pt").readlink() == Path("nowhere")
    assert sorted(path.name for path in (run_dir / ELSEWHERE).rglob("*.pt")) == ["best.pt", "last.pt"]


@pytest.mark.parametrize("link", [".kept", ".kept/x"])
def test_nothing_is_kept_behind_a_link(tmp_path: Path, link: str) -> None:
    run_dir = made(tmp_path / "runs/x", "first")
    (tmp_path / "far").mkdir()
    (tmp_path / "runs" / link).parent.mkdir(exist_ok=True)
    (tmp_path / "runs" / link).symlink_to(tmp_path / "far")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="nothing is written through it"):
        move_aside(run_dir)

    assert contents(tmp_path) == before


def test_a_link_among_kept_runs_never_comes_back(tmp_path: Path) -> None:
    run_dir, far = tmp_path / "runs/x", made(tmp_path / "far/1", "first")
    (tmp_path / "runs/.kept").mkdir(parents=True)
    (tmp_path / "runs/.kept/x").symlink_to(tmp_path / "far")

    assert archived_runs(run_dir) == [tmp_path / "runs/.kept/x/1"]
    assert not fits(archived_runs(run_dir)[0], "first", complete=True)
    assert bring_back(run_dir, "first", complete=True) is None
    assert (far / "run.json").exists()


@pytest.mark.parametrize("place", [".locks", ".locks/x.lock"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_what_stands_in_the_place_of_a_lock_keeps_nobody_waiting(
    tmp_path: Path, place: str, make: Callable[[Path], None]
) -> None:
    (tmp_path / "runs" / place).parent.mkdir(parents=True)
    make(tmp_path / "runs" / place)
    try:
        with lock_run(tmp_path / "runs/x"):
            assert is_locked(tmp_path / "runs/x") or place == ".locks/x.lock"
    except ConfigError as error:
        assert error.findings[0].title == "cannot write"
    assert not is_locked(tmp_path / "runs/x")
    assert not is_running(10**30)


@pytest.mark.parametrize("link", [".locks", ".locks/x.lock"])
def test_no_lock_is_written_through_a_link(tmp_path: Path, link: str) -> None:
    foreign = tmp_path / "far"
    if link == ".locks":
        foreign.mkdir()
        (foreign / "x.lock").write_text("mine")
    else:
        foreign.write_text("mine")
    place = tmp_path / "runs" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(foreign)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="nothing is written through it"), lock_run(tmp_path / "runs/x"):
        pass
    assert not is_locked(tmp_path / "runs/x")

    assert contents(tmp_path) == before


def test_what_people_put_into_a_run_is_told_from_what_it_wrote(tmp_path: Path) -> None:
    """A checkpoint is known by its seal, whatever it is called."""
    run_dir = made(tmp_path / "x", "first", outputs=("checkpoints/last.pt",))
    for name in (
        "checkpoints/damaged.pt-2",
        "resolved.yaml",
        "notes.md",
        "checkpoints/mine.pt",
        "code/mine.py",
        "tb/1",
    ):
        (run_dir / name).parent.mkdir(exist_ok=True)
        (run_dir / name).write_text(name)
    for name in ("previous.pt", "damaged.pt"):
        (run_dir / "checkpoints" / name).write_bytes(b"PK\x05\x06" + bytes(16) + b"\x40\x00" + b"a" * 64)
    (run_dir / "data").symlink_to("/")
    run = runs.read_run(run_dir)
    assert run is not None
    foreign = ["checkpoints/damaged.pt-2", "checkpoints/mine.pt", "code/mine.py", "data", "notes.md", "tb/1"]

    assert foreign_files(run_dir, run) == foreign
    assert foreign_files(run_dir, {**run, "files": ["tb/1"]}) == foreign[:-1]


def test_removing_a_run_leaves_what_it_did_not_write_and_what_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/thesis.tex").write_text("mine")
    run_dir = made(tmp_path / ".kept/x/1", "first")
    (run_dir / "notes/deep").mkdir(parents=True)
    (run_dir / "notes/deep/a.md").write_text("mine")
    (run_dir / "link").symlink_to("../../../far")
    (tmp_path / "hard.pt").hardlink_to(run_dir / "last.pt")
    run = runs.read_run(run_dir)
    assert run is not None
    # A run that somebody else made may list anything.
    listed = {**run, "files": ["link/thesis.tex", "../../../far/thesis.tex", str(tmp_path / "far/thesis.tex")]}
    runs.write_run(run_dir, listed)
    remove(run_dir, foreign_files(run_dir, listed))

    assert contents(tmp_path) == {
        ".kept/x/1/link": "-> ../../../far",
        ".kept/x/1/notes/deep/a.md": b"mine",
        "far/thesis.tex": b"mine",
        "hard.pt": b"first",
    }
