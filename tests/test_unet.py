"""The shipped U-Net: its pictures, its skip connections, and what is trained and shown of it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from warm import doit

from otrainer import load_model, run_experiment
from otrainer.model import build_model

pytest.importorskip("sklearn")
pytest.importorskip("torchmetrics")


@pytest.fixture
def short(project: Path) -> Path:
    """The experiment `short`: `unet` for two batches."""
    less = "trainer: {max_epochs: 1, train_batches: 2, val_batches: 1, val_every_n_epochs: 1}\ndata: {batch_size: 4}\n"
    (project / "configs/experiments/short.yaml").write_text(f"defaults: [unet.yaml]\nrun: {{name: short}}\n{less}")
    return project


@pytest.fixture
def scenes(project: Path) -> Any:
    return importlib.import_module("extensions.unet").Scenes


def test_it_trains_and_tells_a_class_for_each_pixel(short: Path) -> None:
    result = run_experiment("configs/experiments/short.yaml")
    model = load_model(result.run_dir)

    assert result.global_step == 2
    assert result.metrics.keys() == {"val_loss", "val_iou"}
    with torch.no_grad():
        assert model(image=torch.rand(2, 1, 24, 24)).shape == (2, 11, 24, 24)
        assert model(image=torch.rand(1, 1, 32, 40)).shape == (1, 11, 32, 40)


def test_pixels_go_past_the_coarse_level(project: Path) -> None:
    model: Any = build_model("configs/experiments/unet.yaml").eval()
    image = torch.rand(1, 1, 24, 24)
    expected = model(image=image)
    middle, fine = model.middle(model.down1(model.fine(image))), model.fine(image)
    coarse = model.up2(model.coarse(model.down2(middle)))
    joined = model.join2(torch.cat([middle, coarse], 1))
    assert torch.equal(expected, model.head(model.join1(torch.cat([fine, model.up1(joined)], 1))))

    torch.nn.init.zeros_(model.up1.weight)
    torch.nn.init.zeros_(model.up1.bias)
    assert model(image=image).std() > 0


def test_show_lists_its_levels(short: Path) -> None:
    said = doit(short, "show", "EXP=short", "MODEL=1").stdout

    assert "beside2" in said
    assert "[4, 64, 6, 6]" in said
    assert "[4, 11, 24, 24]" in said


def test_ink_has_the_class_of_the_digit_that_lies_above(scenes: Any) -> None:
    part = scenes(part="held_out", count=1)
    scene = part[5]

    assert scene["image"].shape == (1, 24, 24)
    assert scene["mask"].unique().tolist() == [0, part.labels[5] + 1]
    assert torch.equal(scene["mask"] > 0, scene["image"][0] > 0.3)


def test_pictures_that_are_held_out_are_the_same_each_time(scenes: Any) -> None:
    held_out, train = scenes(part="held_out"), scenes()

    assert torch.equal(held_out[3]["image"], held_out[3]["image"])
    assert not torch.equal(train[3]["image"], train[3]["image"])


@pytest.mark.parametrize(("wrong", "said"), [({"part": "test"}, "`train` or `held_out`"), ({"size": 7}, "8 pixels")])
def test_what_cannot_be_a_picture_is_refused(scenes: Any, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scenes(**wrong)
