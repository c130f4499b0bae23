"""What somebody changes in data, and no checkpoint holds, is told once; what an io holds is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, PairIO, fit, random_batches, small_model
from torch.utils.data import DataLoader, Dataset, Sampler, WeightedRandomSampler

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.engine.checkpoint import load_checkpoint


class Levels(Dataset[Any]):
    def __init__(self) -> None:
        self.level = 1.0
        self.opened: Any = None

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        self.opened = self.opened or [index]
        self.cache = {index: index}
        return {"x": torch.full((4,), index * self.level), "y": torch.zeros(1)}


class Announced(Levels):
    def set_epoch(self, epoch: int) -> None:
        self.level = 1.0 / (1 + epoch)


class Redrawing(Sampler[int]):
    def __init__(self) -> None:
        self.order, self.read = torch.arange(8).tolist(), 0

    def __iter__(self) -> Any:
        self.order = torch.randperm(8).tolist()
        for index in self.order:
            self.read += 1
            yield index


class Changing:
    """A callback that does something to the data module at each epoch's end."""

    def __init__(self, change: Any = lambda module: None) -> None:
        self.change = change

    def on_epoch_end(self, ctx: Any) -> None:
        self.change(ctx.datamodule)


class Module:
    def __init__(self) -> None:
        self.buffer = [torch.zeros(4)]

    def train_dataloader(self) -> Any:
        return DataLoader(Levels(), batch_size=4, sampler=WeightedRandomSampler(torch.ones(8), 8))


def halve(module: Any) -> None:
    module.train.level *= 0.5


CHANGED: dict[str, tuple[Any, Any, str]] = {
    "the level of a dataset": (lambda: DatasetDataModule(Levels(), batch_size=4), halve, "level` of `Levels"),
    "the level behind torch's loader": (
        lambda: Batches(DataLoader(Levels(), batch_size=4)),
        lambda module: setattr(module.train.dataset, "level", 0.5),
        "level` of `Levels",
    ),
    "a buffer of a data module": (Module, lambda module: module.buffer.append(torch.ones(4)), "buffer` of `Module"),
    "weights of a sampler": (
        lambda: Batches(Module().train_dataloader()),
        lambda module: module.train.sampler.weights.mul_(0.5),
        "sampler.weights` of `WeightedRandomSampler",
    ),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_a_change_to_data_is_told_once(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make, change, words = CHANGED[kind]
    parts: Any = {"callbacks": [Changing(change), ModelCheckpoint(str(tmp_path))], "trainer": {"max_epochs": 3}}
    fit(small_model(), make(), **parts)

    assert caplog.text.count("changed since the run began. No checkpoint holds that") == 1
    assert words in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        lambda: DatasetDataModule(Levels(), batch_size=4),
        lambda: DatasetDataModule(Announced(), batch_size=4),
        lambda: Batches(DataLoader(Levels(), batch_size=4, shuffle=True)),
        lambda: Batches(DataLoader(Announced(), batch_size=4, sampler=Redrawing())),
        lambda: Batches(random_batches(2)),
        lambda: Batches(lambda: iter(random_batches(2))),
    ],
)
def test_what_reading_changes_anew_each_epoch_is_no_news(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts: Any = {"callbacks": [Changing(), ModelCheckpoint(str(tmp_path))], "trainer": {"max_epochs": 3}}
    fit(small_model(), make(), **parts)

    assert "changed since the run began" not in caplog.text


class CountingIO(PairIO):
    """An io that counts batches and remembers sums, beside something that no file can hold."""

    def __init__(self) -> None:
        self.count, self.sums, self.tokenizer = 0, dict[str, float](), object()

    def split(self, batch: Any, *, stage: str) -> Any:
        if stage == "train":
            self.count += 1
            self.sums["x"] = self.sums.get("x", 0.0) + float(batch["x"].sum())
        return super().split(batch, stage=stage)


def test_what_an_io_counts_goes_on_after_a_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = Batches(random_batches(3), random_batches(1))
    whole, begun, resumed = CountingIO(), CountingIO(), CountingIO()
    fit(small_model(), data, io=whole, trainer={"max_epochs": 2})
    fit(small_model(), data, io=begun, trainer={"max_epochs": 1}, callbacks=[ModelCheckpoint(str(tmp_path))])
    run = {"resume_from": str(tmp_path / "last.pt")}
    fit(small_model(), data, io=resumed, trainer={"max_epochs": 2}, run=run)

    assert load_checkpoint(tmp_path / "last.pt")["io"]["attributes"].keys() == {"count", "sums"}
    assert (resumed.count, resumed.sums) == (whole.count, whole.sums) == (6, whole.sums)
    assert "tokenizer" not in caplog.text
