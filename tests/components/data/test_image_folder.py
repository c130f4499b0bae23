"""dataset.image_folder reads classes of images, and augments them alike whatever interrupts or loads them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from otrainer.components.data import DatasetDataModule
from otrainer.components.data.image_folder import ImageFolderDataset
from otrainer.components.transforms import torchvision_transform
from otrainer.engine.data.loader import Loader
from otrainer.errors import ConfigError


def save(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (4, 3), **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for n in range(5):
        save(root / "dog" / f"{n}.png", (n, 0, 255))
    save(root / "cat" / "b.JPG", (9, 9, 9))
    save(root / "cat" / "deep" / "a.png", (0, 51, 0))
    (root / "cat" / "notes.txt").write_text("no image")
    (root / "cat" / "._b.png").write_bytes(b"of a Mac")
    (root / ".cache").mkdir()
    return root


def test_classes_are_sorted_folders_and_images_come_sorted_by_path(folder: Path) -> None:
    data = ImageFolderDataset(str(folder))

    assert data.column("label") == [0, 0, 1, 1, 1, 1, 1]
    assert data.column("path") == ["cat/b.JPG", "cat/deep/a.png", *(f"dog/{n}.png" for n in range(5))]
    sample = data[1]
    assert sample["image"].shape == (3, 3, 4)
    assert sample["image"][:, 0, 0].tolist() == torch.tensor([0.0, 0.2, 0.0]).tolist()
    assert (sample["label"].item(), sample["label"].dtype) == (0, torch.int64)
    assert data.files() == [str(folder)]
    assert ImageFolderDataset(str(folder), classes=["dog", "cat"]).column("label") == [0, 0, 0, 0, 0, 1, 1]


def test_images_have_the_size_channels_and_type_that_are_asked_for(folder: Path) -> None:
    data = ImageFolderDataset(str(folder), mode="L", size=[8, 6], dtype="uint8")
    batch = next(Loader(DatasetDataModule(data, batch_size=7).train_dataloader, seed=0, stage="train").epoch(0))

    assert {name: (each.shape, each.dtype) for name, each in batch.items()} == {
        name: (each.shape, each.dtype) for name, each in (data.example_batch(32) or {}).items()
    }
    assert batch["image"].shape == (7, 1, 8, 6)


def test_an_image_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    """Public reports: loaders that ignore EXIF see portraits lying on their side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a" / "x.jpg", (1, 2, 3), exif=exif)

    assert ImageFolderDataset(str(tmp_path))[0]["image"].shape == (3, 4, 3)


class Noise(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + torch.rand(())


def test_augmented_images_are_the_same_from_the_middle_of_an_epoch_and_with_workers(folder: Path) -> None:
    def batches(start: int, workers: int, epoch: int = 3, seed: int = 5) -> list[list[float]]:
        data = ImageFolderDataset(str(folder), transform=[torch.nn.Flatten(), Noise()])
        module = DatasetDataModule(data, batch_size=2, num_workers=workers)
        loader = Loader(module.train_dataloader, seed=seed, stage="train")
        return [batch["image"].flatten().tolist() for batch in loader.epoch(epoch, start=start)]

    whole = batches(0, 0)
    assert batches(2, 0) == whole[2:]
    assert batches(0, 2) == whole
    assert batches(0, 0, epoch=4) != whole
    assert batches(0, 0, seed=6) != whole
    assert len({value for batch in whole for value in batch}) > 7


def test_validation_reads_the_same_images_without_augmentation(folder: Path) -> None:
    data = DatasetDataModule(
        ImageFolderDataset(str(folder), transform=Noise()), ImageFolderDataset(str(folder)), split={"val": 2}
    )
    [batch] = Loader(data.val_dataloader, seed=0, stage="val").epoch(0)

    assert batch["image"].max() <= 1


def damage(folder: Path) -> None:
    path = folder / "dog" / "3.png"
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage, r"`.*dog/3\.png` cannot be read as an image"),
        (lambda folder: (folder / "ape").mkdir(), "class `ape` has no image in"),
        (
            lambda folder: Image.new("I;16", (2, 2)).save(folder / "cat" / "wide.png"),
            r"wide\.png` has more than 8 bits",
        ),
        (lambda folder: folder.rename(folder.with_name("imagse")), "There is no folder"),
    ],
)
def test_what_is_no_folder_of_images_is_told_with_its_path(folder: Path, change: Any, words: str) -> None:
    change(folder)
    with pytest.raises(ConfigError, match=words):
        ImageFolderDataset(str(folder)).check()


def test_an_image_that_is_cut_off_is_told_when_it_is_read(folder: Path) -> None:
    path = folder / "dog" / "0.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:900])

    with pytest.raises(ConfigError, match=r"dog/0\.png` cannot be read as an image: .*truncated"):
        ImageFolderDataset(str(folder))[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "CMYK"}, "mode is one of L, RGB, RGBA"),
        ({"size": [3]}, r"size is \[height, width\]"),
        ({"transform": ["flip"]}, "transform is a spec"),
    ],
)
def test_arguments_that_fit_no_image_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ImageFolderDataset("images", **options)


def test_a_transform_of_torchvision_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class RandomErasing(torch.nn.Module):
        def __init__(self, p: float) -> None:
            super().__init__()
            self.p = p

    v2 = ModuleType("torchvision.transforms.v2")
    v2.RandomErasing = RandomErasing  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.transforms"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "torchvision.transforms.v2", v2)

    assert torchvision_transform("RandomErasing", kwargs={"p": 0.3}).p == 0.3
    with pytest.raises(ConfigError, match="no transform `RandomErase`") as caught:
        torchvision_transform("RandomErase")
    assert caught.value.suggestions == ["RandomErasing"]


def test_a_torchvision_that_was_built_for_another_torch_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Public reports: `operator torchvision::nms does not exist` says nothing to its readers."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"torchvision::nms does not exist") as caught:
        torchvision_transform("RandomErasing")
    assert "pip install -U torch torchvision" in caught.value.findings[0].hint
