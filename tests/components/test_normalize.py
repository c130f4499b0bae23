"""normalize: statistics of the training data alone, computed before the first step and kept with the weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, StopAt, fit, parameters_of, random_batches, small_model
from torch import nn
from torch.utils.data import IterableDataset

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.moments import Moments
from otrainer.components.normalize import Normalize
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError
from otrainer.storage.canonical_json import read_json

SEED = 7


def samples(count: int = 23) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(count, 4, generator=generator) * torch.tensor([1.0, 30.0, 1e-3, 0.0]) + torch.tensor([5, 0, 1e3, 2])
    return [{"x": each, "y": each[:1] * 100 + 7} for each in x]


def network(**options: Any) -> nn.Module:
    inner = small_model()
    return nn.Sequential(Normalize("x", **options), inner, Normalize("y", inverse=True))


def train(folder: Path, data: Any, model: nn.Module, *, stop_at: int | None = None, resume: bool = False) -> nn.Module:
    with StopRequest():
        return fit(
            model,
            data,
            trainer={"max_epochs": 2},
            optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 1e-5}},
            callbacks=[ModelCheckpoint(str(folder)), StopAt(stop_at)],
            run={
                "seed": SEED,
                "out_dir": str(folder),
                **({"resume_from": str(folder / "last.pt")} if resume else {}),
            },
        )


def seen(batches: Any, **options: Any) -> Normalize:
    """A layer that has seen such batches of `x`."""
    made = Normalize("x", **options)
    for each in batches:
        made.see(each if isinstance(each, dict) else {"x": torch.as_tensor(each)})
    made.settle()
    return made


def test_it_trains_as_a_plain_torch_program_that_is_given_the_statistics_of_the_training_part(tmp_path: Path) -> None:
    rows, split = samples(), {"val": 5}
    data = DatasetDataModule(rows, batch_size=23, split=split)
    part = data.train_dataloader().batches.dataset.indices  # type: ignore[attr-defined]
    x, y = (torch.stack([rows[index][name] for index in part]).double() for name in ("x", "y"))
    deviation = x.std(dim=0, correction=0)
    deviation[3] = 1
    with_numbers = small_model()
    optimizer = torch.optim.SGD(with_numbers.parameters(), lr=1e-5)
    for epoch in range(2):
        (batch,) = (
            DatasetDataModule(rows, batch_size=23, split=split)
            .train_dataloader()
            .iterate_epoch(  # type: ignore[attr-defined]
                seed=data_seed(), epoch=epoch, start=0
            )
        )
        optimizer.zero_grad()
        made = with_numbers((batch["x"] - x.mean(dim=0).float()) / deviation.float())
        made = made * y.std(correction=0).float() + y.mean().float()
        nn.functional.mse_loss(made, batch["y"]).backward()
        optimizer.step()

    trained: Any = train(tmp_path, data, network())

    assert torch.equal(trained[0].center, x.mean(dim=0).float())
    assert torch.equal(parameters_of(trained), parameters_of(with_numbers))
    said = read_json(tmp_path / "statistics.json")
    assert said["0"] == {
        "field": "x", "by": "standard", "count": 18, "center": trained[0].center.tolist(),
        "scale": trained[0].scale.tolist(),
    }  # fmt: skip


def data_seed() -> int:
    from otrainer.engine.seed import derive_seed

    return derive_seed(SEED, "data", "train")


@pytest.mark.parametrize("stops", [(1, 2), (2, 4), (5, 6)])
def test_a_run_that_is_stopped_twice_ends_with_the_same_bits_and_statistics(
    tmp_path: Path, stops: tuple[int, int]
) -> None:
    def data() -> DatasetDataModule:
        return DatasetDataModule(samples(), batch_size=5, val=samples(7))

    whole = train(tmp_path / "whole", data(), network())
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", data(), network(), stop_at=stops[0])
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", data(), network(), stop_at=stops[1], resume=True)
    again = train(tmp_path / "broken", data(), network(), resume=True)

    assert all(map(torch.equal, again.state_dict().values(), whole.state_dict().values()))
    assert read_json(tmp_path / "broken/statistics.json") == read_json(tmp_path / "whole/statistics.json")


def test_a_resume_on_other_data_keeps_what_the_weights_were_trained_with(tmp_path: Path) -> None:
    before = train(tmp_path, DatasetDataModule(samples(), batch_size=23), network()).state_dict()["0.center"]
    others = [{**each, "x": each["x"] + 100} for each in samples()]
    model = network()
    fit(
        model,
        DatasetDataModule(others, batch_size=23),
        trainer={"max_epochs": 3},
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 1e-5}},
        callbacks=[ModelCheckpoint(str(tmp_path))],
        run={"seed": SEED, "out_dir": str(tmp_path), "resume_from": str(tmp_path / "last.pt")},
    )

    assert torch.equal(model.state_dict()["0.center"], before)


def test_reading_the_data_changes_nothing_that_is_trained() -> None:
    """Data of one's own, which draw at random: the weights are those of a model without such a layer."""

    class Drawn(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return iter([{"x": torch.rand(4), "y": torch.rand(1)} for _ in range(6)])

    class Beside(nn.Module):
        def __init__(self, *, has: bool) -> None:
            super().__init__()
            self.inner = small_model()
            self.beside = Normalize("x") if has else None

        def forward(self, x: torch.Tensor) -> Any:
            return self.inner(x)

    for data in (lambda: torch.utils.data.DataLoader(Drawn(), 2), lambda: iter(random_batches(3))):
        bare, fitted = (
            fit(Beside(has=has), Batches(data), run={"seed": 1, "out_dir": "build/none"}) for has in (False, True)
        )
        assert torch.equal(parameters_of(bare), parameters_of(fitted))
        assert int(fitted.beside.fitted) > 0


@pytest.mark.parametrize("cut", [1, 13, 4096, 9001])
def test_statistics_are_the_same_bits_however_the_data_are_cut(cut: int) -> None:
    rows = torch.randn(9001, 3, generator=torch.Generator().manual_seed(0)) * 5 + 1e6
    moments = Moments(3)
    for piece in rows[:cut] if cut == 1 else rows.split(cut):
        moments.add(piece.reshape(-1, 3))
    if cut == 1:
        moments.add(rows[1:])
    found: Any = moments.found()

    assert found["count"] == 9001
    assert torch.equal(found["min"], rows.amin(dim=0).double())
    assert torch.allclose(found["mean"], rows.double().mean(dim=0), rtol=1e-15)
    assert torch.allclose(found["deviation"], rows.double().std(dim=0, correction=0), rtol=1e-10)
    whole = Moments(3)
    whole.add(rows)
    assert torch.equal(found["deviation"], whole.found()["deviation"])  # type: ignore[index]


def test_it_goes_there_and_back_for_integers_images_and_scalars() -> None:
    images = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 2, 2)
    layer = seen([images], dim=-3)
    assert layer(images).mean(dim=(0, 2, 3)).abs().max() < 1e-6
    assert layer(images).dtype == torch.float32
    assert torch.allclose(layer(layer(images), inverse=True), images.float(), atol=1e-4)

    one = seen([torch.tensor([1.0, 3.0]), torch.tensor([5.0])], dim=None, by="min_max")
    assert one(torch.tensor([1.0, 3.0, 5.0])).tolist() == [-1, 0, 1]
    assert one.bfloat16()(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert one.center.dtype == torch.float32


def test_what_is_filled_in_is_left_out() -> None:
    batch = {"x": torch.tensor([[[1.0], [3.0]], [[8.0], [0.0]]]), "x_mask": torch.tensor([[1, 1], [1, 0]]).bool()}

    assert seen([batch], mask="x_mask").center.tolist() == [4.0]
    assert seen([batch]).center.tolist() == [3.0]


def test_what_is_constant_is_only_moved_also_where_rounding_hides_it() -> None:
    layer = seen([torch.full((5000, 1), 0.1, dtype=torch.float64) * 3])

    assert layer.scale.tolist() == [1.0]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"x": torch.tensor([[1.0, float("nan")]])}, "not finite, at index 1"),
        ({"y": torch.zeros(1, 1)}, "There is no `x` of `x` in a batch of the training data; there is y"),
        ({"x": torch.zeros(3)}, "no dimension -1"),
        ({"x": ["a"]}, "no tensor of real numbers"),
        ({"x": torch.zeros(0, 2)}, "no numbers in the training data"),
    ],
)
def test_data_without_statistics_are_told(batch: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        seen([batch])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "l2"}, "by is one of standard, min_max"),
        ({"dim": 1}, "dim is counted from the end"),
        ({"field": ""}, "field is the name of a field"),
        ({"mask": "m", "dim": -3}, "mask goes with dim -1 or null"),
    ],
)
def test_wrong_arguments_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalize(**{"field": "x", **options})
