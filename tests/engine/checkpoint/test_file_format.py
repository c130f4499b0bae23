"""A checkpoint's file: torch reads it, and no changed byte goes unnoticed before that."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from otrainer.engine.checkpoint.file_format import DamagedError, check_container, read_container, write_container

CONTENT = {
    "model": {"w": torch.arange(160.0), "b": torch.zeros(3)},
    "train_state": {"global_step": 3},
    "x": [1, None, "a"],
}


def written(path: Path, content: Any = CONTENT) -> Path:
    with path.open("w+b") as stream:
        write_container(stream, content)
    return path


def test_it_comes_back_as_it_was_and_torch_alone_reads_it_too(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt")

    for found in (read_container(path), torch.load(path, weights_only=True)):
        assert torch.equal(found["model"]["w"], CONTENT["model"]["w"])
        assert (found["train_state"], found["x"]) == (CONTENT["train_state"], CONTENT["x"])


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "a.pt").read_bytes() == written(tmp_path / "b.pt").read_bytes()


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    path, chance = written(tmp_path / "a.pt"), random.Random(0)  # noqa: S311 - which bits is all that chance decides
    content = path.read_bytes()
    for place in chance.sample(range(len(content) * 8), 5000):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedError):
            check_container(path)


def test_no_truncation_goes_unnoticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt")
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedError):
            check_container(path)


@pytest.mark.parametrize("more", [b"\0", b"more", b"PK\x05\x06" + b"\0" * 18])
def test_bytes_before_or_behind_it_are_noticed(tmp_path: Path, more: bytes) -> None:
    path = written(tmp_path / "a.pt")
    content = path.read_bytes()
    for changed in (content + more, more + content):
        path.write_bytes(changed)
        with pytest.raises(DamagedError):
            check_container(path)


def test_members_that_are_swapped_or_compressed_are_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        members = {name: archive.read(name) for name in names}
        seal = archive.comment
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in zip(names, reversed(members.values()), strict=True):
                archive.writestr(name, data)
            archive.comment = seal
        with pytest.raises(DamagedError):
            check_container(path)


def test_a_file_of_torchs_own_is_not_sealed(tmp_path: Path) -> None:
    torch.save(CONTENT, tmp_path / "a.pt")

    with pytest.raises(DamagedError, match="no seal"):
        read_container(tmp_path / "a.pt")


def test_whatever_the_environment_and_torch_were_told_it_is_sealed_and_loaded_as_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.serialization.set_crc32_options(False)
    try:
        path = written(tmp_path / "a.pt")
        assert not torch.serialization.get_crc32_options()
    finally:
        torch.serialization.set_crc32_options(True)
    check_container(path)
    with pytest.raises(ValueError, match="Weights only load failed"):
        read_container(written(tmp_path / "evil.pt", {"model": Evil()}))

    assert not (tmp_path / "executed").exists()
