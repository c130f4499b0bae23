"""cb.samples: texts, images and arrays of the model as it is validated, which change no bit of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import Batches, StopAt, fit, parameters_of, random_batches, same_leaves
from torch import nn

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.callbacks.png import as_bytes, grid, png
from otrainer.components.callbacks.samples import Samples
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

VALIDATED = {"max_epochs": 3, "val_every_n_steps": 2}


def model() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 1))


@dataclass
class Meddler:
    """A sampler that draws, and changes all that it can reach of the model and of itself."""

    seen: list[int] = field(default_factory=list)

    def __call__(self, ctx: Any, batch: Any) -> dict[str, Any]:
        assert not ctx.model.training
        assert not torch.is_grad_enabled()
        made = ctx.model(batch["x"])
        drawn, weights = torch.rand(3), parameters_of(ctx.model)
        with torch.enable_grad():
            ctx.model.train()(batch["x"]).sum().backward()
        with torch.no_grad():
            for each in (*ctx.model.parameters(), *ctx.model.buffers()):
                each.add_(1)
        self.seen.append(ctx.state.global_step)
        ctx.model.seen = self.seen
        images = torch.rand(5, 1, 3, 4)
        return {"made": made, "drawn": drawn, "weights": weights, "grid": images, "said": f"{len(self.seen)} at a time"}


def train(folder: Path, *callbacks: Any, resume: str | None = None, **trainer: Any) -> dict[str, Any]:
    """Train and return what the last checkpoint holds."""
    with StopRequest():
        fit(
            model(),
            Batches(random_batches(4), random_batches(2, seed=5)),
            trainer={**VALIDATED, **trainer},
            callbacks=[*callbacks, ModelCheckpoint(str(folder / "checkpoints"))],
            run={"out_dir": str(folder), "resume_from": resume},
        )
    return load_checkpoint(folder / "checkpoints" / "last.pt")


def files(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted((folder / "samples").iterdir())}


def arrays(content: bytes) -> dict[str, Any]:
    return dict(np.load(BytesIO(content)))


@pytest.mark.parametrize("options", [{}, {"ema": {"decay": 0.5, "from_step": 3}}])
def test_what_a_sampler_does_changes_no_bit_of_training(options: dict[str, Any], tmp_path: Path) -> None:
    without = train(tmp_path / "without", **options)
    sampled = train(tmp_path / "sampled", Samples(Meddler()), **options)

    for name in without.keys() - {"callbacks", "meta"}:
        assert same_leaves(sampled[name], without[name]), name


def test_a_sample_is_made_of_the_averages_where_these_are_validated(tmp_path: Path) -> None:
    options = {"max_epochs": 1, "val_every_n_steps": 4, "ema": {"decay": 0.5}}
    saved = train(tmp_path, Samples(Meddler()), **options)
    made = arrays(files(tmp_path)["step_4.npz"])
    averaged = model()
    averaged.load_state_dict(saved["model"])
    with torch.no_grad():
        expected = averaged.eval()(random_batches(2, seed=5)[0]["x"])

    assert torch.equal(torch.from_numpy(made["made"]), expected)
    assert torch.equal(torch.from_numpy(made["weights"]), parameters_of(averaged))


@pytest.mark.parametrize(
    ("rhythm", "steps"),
    [
        ({}, [0, 2, 4, 6, 8, 10, 12]),
        ({"every_n_validations": 3}, [0, 6, 12]),
        ({"every_n_epochs": 2}, [0, 8]),
        ({"every_n_steps": 5}, [0, 5, 10]),
    ],
)
def test_two_stops_leave_the_samples_and_weights_of_an_uninterrupted_run(
    rhythm: dict[str, Any], steps: list[int], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", Samples(Meddler(), **rhythm))
    assert set(files(tmp_path / "whole")) == {
        f"step_{step}{end}" for step in steps for end in (".npz", "-grid.png", "-said.txt")
    }
    for first in (4, 5, 6):
        broken, resume = tmp_path / f"broken{first}", None
        for stop in (first, first + 1):
            with pytest.raises(TrainingInterrupted):
                train(broken, Samples(Meddler(), **rhythm), StopAt(stop), resume=resume)
            resume = str(broken / "checkpoints/last.pt")
        again = train(broken, Samples(Meddler(), **rhythm), resume=resume)

        assert files(broken) == files(tmp_path / "whole")
        assert all(same_leaves(again[name], whole[name]) for name in whole.keys() - {"callbacks", "meta"})


def test_samples_of_steps_that_are_trained_again_go_and_other_files_stay(tmp_path: Path) -> None:
    train(tmp_path, Samples(Meddler()), ModelCheckpoint(str(tmp_path / "checkpoints"), every_n_steps=4))
    before, folder = files(tmp_path), tmp_path / "samples"
    (folder / "step_9.txt").write_text("of a step that was lost\n")
    (folder / "mine.txt").write_text("mine")

    train(tmp_path, Samples(Meddler()), resume=str(tmp_path / "checkpoints/step_4.pt"))
    assert files(tmp_path) == {**before, "mine.txt": b"mine"}


def test_a_batch_of_images_is_a_grid_as_torchvision_makes_it() -> None:
    images = torch.arange(3 * 2 * 2, dtype=torch.uint8).reshape(3, 1, 2, 2)
    read = np.asarray(Image.open(BytesIO(png(grid(images, 2)))))

    assert read.tolist() == [
        [0] * 10,
        [0] * 10,
        [0, 0, 0, 1, 0, 0, 4, 5, 0, 0],
        [0, 0, 2, 3, 0, 0, 6, 7, 0, 0],
        [0] * 10,
        [0] * 10,
        [0, 0, 8, 9, 0, 0, 0, 0, 0, 0],
        [0, 0, 10, 11, 0, 0, 0, 0, 0, 0],
        [0] * 10,
        [0] * 10,
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_read_back_as_it_was(channels: int) -> None:
    image = torch.randint(256, (channels, 5, 7), dtype=torch.uint8)
    read = torch.from_numpy(np.array(Image.open(BytesIO(png(grid(image, 8))))))

    assert torch.equal(read.reshape(5, 7, channels).permute(2, 0, 1), image)


def test_numbers_become_bytes_and_what_is_outside_of_the_range_is_told() -> None:
    numbers = torch.tensor([[[-1.0, -0.5, 0.0, 1.0, 2.0, float("nan")]]])

    pixels, cut = as_bytes(numbers, -1.0, 1.0)
    assert pixels.flatten().tolist() == [0, 64, 128, 255, 255, 0]
    assert cut == pytest.approx(2 / 6)
    assert as_bytes(torch.tensor([True, False]), 0, 1)[0].tolist() == [255, 0]


def test_texts_figures_and_arrays_have_files_of_their_kind_and_none_leaves_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def sampler(ctx: Any) -> Any:
        if ctx.state.global_step == 4:
            return None
        if ctx.state.global_step == 8:
            return ["one", "two"]
        bright = torch.full((3, 2, 2), 2.0)
        picture = Image.fromarray(np.eye(2, dtype=np.uint8))
        return {"bright": bright, "file": torch.ones(2).bfloat16(), "b": np.ones((1, 2, 2)), "picture": picture}

    train(tmp_path, Samples(sampler), val_every_n_steps=4)
    found = files(tmp_path)
    assert [*found] == ["step_0-bright.png", "step_0-picture.png", "step_0.npz", *[*found][3:6], "step_8.txt"]
    assert found["step_8.txt"] == b"one\n---\ntwo\n"
    assert {name: each.shape for name, each in arrays(found["step_0.npz"]).items()} == {"file": (2,), "b": (1, 2, 2)}
    assert [each.message for each in caplog.records] == [
        "cb.samples: 100 % of the values of bright are outside of 0 to 1, and cut off"
    ]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (3.5, "`sample` is of float, which becomes no file"),
        ({"../out": "x"}, r"A sample is called '../out'"),
        (np.array([object()]), "becomes no file"),
    ],
)
def test_what_becomes_no_file_is_told_before_the_first_step(made: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        train(tmp_path, Samples(lambda ctx: made))
    assert raised.value.config_path[:2] == ("callbacks", 0)
    assert not (tmp_path / "checkpoints/last.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sampler": 3}, "what is called with the context, not 3"),
        ({"sampler": lambda: ""}, "with the context alone"),
        ({"sampler": lambda ctx, more: ""}, "with the context alone"),
        ({"every_n_steps": 0}, "every_n_steps is a whole number"),
        ({"every_n_steps": 1, "every_n_epochs": 1}, "every_n_epochs or by every_n_steps"),
        ({"folder": "../x"}, "folder names"),
        ({"folder": ".."}, "folder names"),
        ({"columns": 0}, "columns is"),
        ({"value_range": [1, 0]}, "value_range is two numbers"),
        ({"value_range": "01"}, "value_range is two numbers"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Samples(**{"sampler": lambda ctx: "", **arguments})


def test_two_in_one_folder_and_a_batch_where_nothing_is_validated_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Two of `cb"):
        train(tmp_path, Samples(lambda ctx: "a"), Samples(lambda ctx: "b"))
    with pytest.raises(ConfigError, match="there are no data to validate on"):
        fit(model(), Batches(random_batches(1)), callbacks=[Samples(Meddler())], run={"out_dir": str(tmp_path)})


def test_a_link_in_the_place_of_a_sample_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/step_0.txt").symlink_to(tmp_path / "elsewhere.txt")
    with pytest.raises(ConfigError, match="is a link"):
        train(tmp_path, Samples(lambda ctx: "a"))
    assert not (tmp_path / "elsewhere.txt").exists()
