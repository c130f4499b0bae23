"""Checkpoints are written whole and durably, one at a time, from a copy that no later step changes."""

from __future__ import annotations

import resource
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from otrainer.engine.checkpoint.file_format import read_container
from otrainer.engine.checkpoint.plain import NotPlainError, check_plain
from otrainer.engine.checkpoint.snapshot import Snapshots
from otrainer.engine.checkpoint.writer import Saved, Writer, replace_by_link, write_checkpoint
from otrainer.errors import ConfigError


def state(value: float = 1.0, step: int = 1) -> dict[str, Any]:
    return {"model": {"w": torch.full((3,), value)}, "train_state": {"global_step": step}}


def value_in(path: Path) -> float:
    return float(read_container(path)["model"]["w"][0])


def test_the_former_last_one_stays_as_the_previous_one(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 3.0):
        write_checkpoint(state(value), (tmp_path / "step_1.pt", tmp_path / "last.pt", tmp_path / "best.pt"))

    assert [value_in(tmp_path / f"{name}.pt") for name in ("last", "previous", "best")] == [3.0, 2.0, 3.0]
    assert (tmp_path / "last.pt").samefile(tmp_path / "step_1.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "last.pt", "previous.pt", "step_1.pt"]


def test_what_is_written_in_the_background_is_the_state_at_the_call(tmp_path: Path) -> None:
    writer, now = Writer(), state(1.0)
    for value in (1.0, 2.0):
        now["model"]["w"].fill_(value)
        now["train_state"]["global_step"] = int(value)
        writer.save(now, Saved((tmp_path / f"{value}.pt",), 1, 0))
        now["model"]["w"].fill_(-1.0)
        now["train_state"]["global_step"] = 99
        assert writer.wait() == Saved((tmp_path / f"{value}.pt",), 1, 0)
    writer.close()

    for value in (1.0, 2.0):
        assert value_in(tmp_path / f"{value}.pt") == value
        assert read_container(tmp_path / f"{value}.pt")["train_state"] == {"global_step": value}
    assert writer.wait() is None


def test_training_goes_on_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write = threading.Event()
    monkeypatch.setattr("otrainer.engine.checkpoint.writer.check_finite", lambda _state: may_write.wait(30))
    writer = Writer()
    writer.save(state(), Saved((tmp_path / "last.pt",), 1, 0))
    assert not writer.is_done
    assert not (tmp_path / "last.pt").exists()
    may_write.set()
    writer.wait()

    assert value_in(tmp_path / "last.pt") == 1.0


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_parameters_that_are_not_finite_replace_no_checkpoint(tmp_path: Path, wrong: float, background: bool) -> None:
    write_checkpoint(state(1.0), (tmp_path / "last.pt",))
    writer, worse = Writer(background=background), state(2.0, step=1200)
    worse["model"]["w"][1] = wrong

    def save() -> None:
        writer.save(worse, Saved((tmp_path / "last.pt",), 1200, 0))
        writer.wait()

    with pytest.raises(ConfigError, match="After step 1,200, `w` of the model is not finite"):
        save()

    assert value_in(tmp_path / "last.pt") == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_an_error_of_the_disk_names_the_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(ConfigError) as error:
        write_checkpoint(state(), (tmp_path / "folder/last.pt",))

    assert error.value.findings[0].title == "checkpoint not saved"
    assert str(tmp_path / "folder/last.pt") in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_save_that_was_cut_off_between_its_two_renames_leaves_nothing_for_the_next_one(tmp_path: Path) -> None:
    """`previous.pt` is the same file as `last.pt` then, and a rename between names of one file does nothing."""
    write_checkpoint(state(1.0), (tmp_path / "last.pt",))
    (tmp_path / "previous.pt").hardlink_to(tmp_path / "last.pt")
    write_checkpoint(state(2.0), (tmp_path / "last.pt",))

    assert [value_in(tmp_path / f"{name}.pt") for name in ("last", "previous")] == [2.0, 1.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_a_rename_that_fails_names_the_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "best.pt").mkdir()
    (tmp_path / "step_1.pt").write_bytes(b"whole")
    with pytest.raises(IsADirectoryError, match=r"best\.pt"):
        replace_by_link(tmp_path / "step_1.pt", tmp_path / "best.pt")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "step_1.pt"]


@pytest.mark.parametrize("name", ["last.pt", "previous.pt", "best.pt"])
@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling link", "torch file"])
def test_what_is_no_checkpoint_of_ours_is_never_replaced(tmp_path: Path, name: str, kind: str) -> None:
    foreign, far = tmp_path / name, tmp_path / "far.pt"
    write_checkpoint(state(), (far,))
    if kind == "file":
        foreign.write_text("mine")
    elif kind == "folder":
        foreign.mkdir()
    elif kind == "torch file":
        torch.save(state(), foreign)
    else:
        foreign.symlink_to("far.pt" if kind == "link" else "nowhere")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=f"`{foreign}` is no checkpoint of otrainer's"):
        write_checkpoint(state(2.0), (tmp_path / "best.pt", tmp_path / "last.pt"))

    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert foreign.is_symlink() == kind.endswith("link")


@pytest.mark.parametrize("background", [True, False])
def test_a_disk_that_ends_at_any_byte_is_told_as_such(tmp_path: Path, background: bool) -> None:
    """torch makes RuntimeErrors of such a write; what people see is what the system said, and of which file."""
    paths = (tmp_path / "step_1.pt", tmp_path / "last.pt")
    large = {**state(2.0), "optimizer": {"m": torch.ones(30_000), "v": torch.ones(30_000)}}
    write_checkpoint({**large, **state(1.0)}, paths)
    size, (soft, hard) = paths[0].stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = Writer(background=background)
    for limit in range(0, size, 4999):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(ConfigError, match="cannot be written: File too large") as error:
                writer.save(large, Saved(paths, 2, 0))
                writer.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert error.value.findings[0].title == "checkpoint not saved"
        assert str(tmp_path / "step_1.pt") in str(error.value)
    writer.close()

    assert [value_in(path) for path in paths] == [1.0, 1.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "step_1.pt"]


def test_a_copy_keeps_its_buffers_and_what_is_one_tensor_stays_one() -> None:
    snapshots, weight = Snapshots(), torch.ones(2, 3)
    live = {"model": OrderedDict(a=weight, b=weight, t=torch.arange(6.0).reshape(2, 3).t()), "lr": (0.1, [None, "x"])}
    first, _ = snapshots.take(live)
    weight.fill_(5.0)

    assert torch.equal(first["model"]["a"], torch.ones(2, 3))
    assert first["model"]["a"] is first["model"]["b"]
    assert first["model"]["t"].stride() == (1, 3)
    assert type(first["model"]) is OrderedDict
    assert first["lr"] == (0.1, [None, "x"])
    second, _ = snapshots.take(live)
    assert second["model"]["a"].data_ptr() == first["model"]["a"].data_ptr()
    assert float(second["model"]["a"][0, 0]) == 5.0
    third, _ = Snapshots(keep=False).take(live)
    assert third["model"]["a"].data_ptr() != weight.data_ptr()


def test_weights_that_are_tied_take_their_room_once_and_are_tied_again(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(1000, 64), torch.nn.Linear(64, 1000, bias=False))
    model[1].weight = model[0].weight
    taken, _ = Snapshots().take({"model": model.state_dict(), "train_state": {"global_step": 1}})
    write_checkpoint(taken, (tmp_path / "last.pt",))
    alone = model[0].weight.numel() * 4
    kept = read_container(tmp_path / "last.pt")["model"]

    assert alone < (tmp_path / "last.pt").stat().st_size < 1.1 * alone
    assert kept["0.weight"].data_ptr() == kept["1.weight"].data_ptr()
    assert torch.equal(kept["1.weight"], model[0].weight)


def test_views_of_one_memory_that_show_other_numbers_are_copies_of_their_own() -> None:
    numbers = torch.arange(6.0)
    views = {"all": numbers, "rows": numbers.reshape(2, 3), "columns": numbers.reshape(3, 2).t(), "end": numbers[3:]}
    views |= {"bits": numbers.view(torch.int32), "none": numbers[:0], "plain": torch.ones(2, dtype=torch.complex64)}
    views["turned"] = views["plain"].conj()
    taken, _ = Snapshots().take(views)

    assert all(torch.equal(taken[name], view) for name, view in views.items())
    assert len({taken[name].data_ptr() for name in views}) == len(views)


def test_a_first_copy_lands_in_the_buffers_that_were_made_before_it() -> None:
    snapshots, weight = Snapshots(), torch.ones(2, 3)
    live = {"model": OrderedDict(a=weight, b=weight), "optimizer": {0: {"m": torch.ones(3), "none": torch.ones(0)}}}
    snapshots.reserve(live)()
    made = {path: buffer.data_ptr() for path, buffer in snapshots._buffers.items()}
    copied, _ = snapshots.take(live)

    assert made == {
        ("model", "a"): copied["model"]["a"].data_ptr(),
        ("optimizer", 0, "m"): copied["optimizer"][0]["m"].data_ptr(),
        ("optimizer", 0, "none"): 0,
    }
    assert torch.equal(copied["model"]["b"], torch.ones(2, 3))
    assert torch.equal(copied["optimizer"][0]["m"], torch.ones(3))


def test_a_save_waits_until_its_buffers_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        "otrainer.engine.checkpoint.snapshot.touch", lambda _buffer: (time.sleep(0.05), seen.append("made"))
    )
    monkeypatch.setattr("otrainer.engine.checkpoint.writer.check_finite", lambda _state: seen.append("written"))
    writer = Writer()
    writer.prepare(state())
    writer.save(state(2.0), Saved((tmp_path / "last.pt",), 1, 0))
    writer.wait()

    assert seen == ["made", "written"]
    assert value_in(tmp_path / "last.pt") == 2.0


@pytest.mark.parametrize("leaf", [object(), {1, 2}, Path("x"), torch.ones(2).to_sparse(), 1j])
def test_what_could_not_be_loaded_again_is_named_with_its_place(leaf: Any) -> None:
    with pytest.raises(NotPlainError, match=r"`callbacks\[0\].seen` is a") as error:
        check_plain({"callbacks": [{"seen": leaf}]})

    assert error.value.path == ("callbacks", 0, "seen")
