"""transform.torchvision with torchvision itself, where that is installed: its own numbers, exact across stops."""

from __future__ import annotations

import importlib
import importlib.util
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
from otrainer.registry import build_registry
from otrainer.registry.build.instantiate import instantiate_value

pytestmark = [
    pytest.mark.torchvision,
    pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"),
]


@pytest.fixture(scope="module")
def v2() -> Any:
    """Torchvision's transforms; of one that was built for another device than torch, those that need no kernels."""
    try:
        return importlib.import_module("torchvision.transforms.v2")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")
        return importlib.import_module("torchvision.transforms.v2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    for number in range(6):
        pixels = torch.randint(0, 256, (12, 10, 3), dtype=torch.uint8, generator=generator)
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.frombytes("RGB", (10, 12), bytes(pixels.flatten().tolist())).save(path)
    return tmp_path


def spec(transform: str, **kwargs: Any) -> dict[str, Any]:
    return {"_type_": "transform.torchvision", "transform": transform, **({"kwargs": kwargs} if kwargs else {})}


CASES = [
    (spec("RandomHorizontalFlip"), lambda v2: v2.RandomHorizontalFlip()),
    (spec("RandomCrop", size=8, padding=2), lambda v2: v2.RandomCrop(8, padding=2)),
    (
        spec("RandomResizedCrop", size=[8, 8], scale=[0.5, 1.0], interpolation="bicubic"),
        lambda v2: v2.RandomResizedCrop(8, scale=(0.5, 1.0), interpolation=v2.InterpolationMode.BICUBIC),
    ),
    (spec("ColorJitter", brightness=0.4, hue=0.1), lambda v2: v2.ColorJitter(brightness=0.4, hue=0.1)),
    (spec("RandomRotation", degrees=30), lambda v2: v2.RandomRotation(30)),
    (spec("RandomErasing", p=0.9), lambda v2: v2.RandomErasing(0.9)),
    (spec("GaussianBlur", kernel_size=3), lambda v2: v2.GaussianBlur(3)),
    (spec("RandAugment", num_ops=3), lambda v2: v2.RandAugment(3)),
    (spec("TrivialAugmentWide"), lambda v2: v2.TrivialAugmentWide()),
    (spec("AutoAugment", policy="cifar10"), lambda v2: v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
    (spec("ToDtype", dtype="float64", scale=True), lambda v2: v2.ToDtype(torch.float64, scale=True)),
    (
        spec("RandomApply", transforms=[spec("RandomInvert", p=1.0), spec("RandomVerticalFlip")], p=0.5),
        lambda v2: v2.RandomApply([v2.RandomInvert(1.0), v2.RandomVerticalFlip()], 0.5),
    ),
]


@pytest.mark.parametrize(("written", "by_hand"), CASES, ids=[each[0]["transform"] for each in CASES])
def test_a_spec_is_torchvisions_own_transform_to_the_bit(v2: Any, folder: Path, written: Any, by_hand: Any) -> None:
    """Of images of whole numbers, which all of them take, by the numbers that torch draws."""
    built = instantiate_value(written, registry=build_registry())
    plain = by_hand(v2)
    images = [ImageFolderDataset(str(folder), dtype="uint8")[at]["image"] for at in range(6)]
    torch.manual_seed(5)
    ours = [built(image) for image in images]
    torch.manual_seed(5)
    assert all(torch.equal(*pair) for pair in zip(ours, [plain(image) for image in images], strict=True))


def test_augmented_batches_are_the_same_from_the_middle_of_an_epoch_and_with_workers(v2: Any, folder: Path) -> None:
    transforms = [instantiate_value(each, registry=build_registry()) for each, _ in CASES[:2]]

    def batches(start: int, workers: int, epoch: int = 2) -> list[torch.Tensor]:
        data = DatasetDataModule(
            ImageFolderDataset(str(folder), transform=transforms), batch_size=2, num_workers=workers
        )
        loader = Loader(data.train_dataloader, seed=3, stage="train")
        return [batch["image"] for batch in loader.epoch(epoch, start=start)]

    whole = batches(0, 0)
    assert all(torch.equal(*pair) for pair in zip(batches(1, 0), whole[1:], strict=True))
    assert all(torch.equal(*pair) for pair in zip(batches(0, 2), whole, strict=True))
    assert not torch.equal(torch.cat(batches(0, 0, epoch=3)), torch.cat(whole))


@pytest.mark.parametrize(
    ("name", "kwargs", "place", "near"),
    [
        ("RandomCrop", {"sze": 8}, ("kwargs", "sze"), "size"),
        ("ToDtype", {"dtype": "float23"}, ("kwargs", "dtype"), "float32"),
        ("Resize", {"size": 8, "interpolation": "bilinaer"}, ("kwargs", "interpolation"), "bilinear"),
    ],
)
def test_mistakes_are_told_at_their_place_with_the_nearest_name(
    v2: Any, name: str, kwargs: dict[str, Any], place: tuple[str, ...], near: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        torchvision_transform(name, kwargs=kwargs)
    assert caught.value.findings[0].config_path == place
    assert near in caught.value.findings[0].suggestions
