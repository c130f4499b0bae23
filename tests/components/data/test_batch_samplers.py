"""Batches of sizes of their own: each sample once, within what is allowed, the same for every seed, and after stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import StopAt, fit, parameters_of, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.data import DatasetDataModule
from otrainer.components.data.batch_samplers import TokensBatchSampler
from otrainer.engine.data.loader import Loader
from otrainer.engine.seed import derive_seed
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

LENGTHS = [3, 9, 1, 4, 4, 12, 7, 2, 2, 5, 8, 1, 1]
EPOCHS, SEED = 3, 7


def samples(lengths: list[int] = LENGTHS) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(len(lengths), 4, generator=generator), torch.randn(len(lengths), 1, generator=generator)
    return [{"x": x[index], "y": y[index], "text": length} for index, length in enumerate(lengths)]


def batches_of(sampler: TokensBatchSampler, count: int, seed: int = 0) -> list[list[int]]:
    return sampler.batches(count, epoch=0, generator=torch.Generator().manual_seed(seed))


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(12, 60), st.integers(1, 4), st.integers(0, 1000)
)
def test_each_sample_comes_once_and_no_batch_is_larger_than_allowed(
    lengths: list[int], most: int, multiple_of: int, seed: int
) -> None:
    sampler = TokensBatchSampler("text", most=most, multiple_of=multiple_of)
    sampler.prepare(samples(lengths))
    batches = batches_of(sampler, len(lengths), seed)

    assert sorted(each for batch in batches for each in batch) == list(range(len(lengths)))
    padded = [len(batch) * max(-(-lengths[each] // multiple_of) * multiple_of for each in batch) for batch in batches]
    assert max(padded) <= most
    assert len(batches) == sampler.batches_in_epoch(len(lengths))


def test_epochs_differ_and_a_seed_gives_the_same() -> None:
    sampler = TokensBatchSampler("text", most=16)
    sampler.prepare(samples())
    assert batches_of(sampler, 13) == batches_of(sampler, 13) != batches_of(sampler, 13, seed=1)


def test_a_sample_that_fits_no_batch_is_told() -> None:
    with pytest.raises(ConfigError, match="Training sample 5 alone has 12 tokens, 15 once it is padded"):
        TokensBatchSampler("text", most=14, multiple_of=5).prepare(samples())


def data(**more: Any) -> DatasetDataModule:
    return DatasetDataModule(samples(), batch_sampler=TokensBatchSampler("text", most=16), **more)


def train(folder: Path, *stops: int, module: DatasetDataModule | None = None, **trainer: Any) -> torch.Tensor:
    last = None
    for stop in (*stops, None):
        model = small_model()
        try:
            with StopRequest():
                fit(
                    model,
                    module or data(),
                    trainer={"max_epochs": EPOCHS, **trainer},
                    callbacks=[ModelCheckpoint(str(folder)), StopAt(stop)],
                    run={"seed": SEED, "resume_from": last},
                )
        except TrainingInterrupted:
            last = str(folder / "last.pt")
    return parameters_of(model)


def test_it_trains_as_a_plain_program_does_on_these_batches(tmp_path: Path) -> None:
    rows, model = samples(), small_model()
    sampler = TokensBatchSampler("text", most=16)
    sampler.prepare(rows)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(EPOCHS):
        for batch in batches_of(sampler, 13, derive_seed(derive_seed(SEED, "data", "train"), epoch, "order")):
            x, y = (torch.stack([rows[index][name] for index in batch]) for name in ("x", "y"))
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()

    assert torch.equal(train(tmp_path), parameters_of(model))


@pytest.mark.parametrize("stops", [(1, 2), (5, 7), (6, 8), (3, 6)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_goes_on_exactly(tmp_path: Path, stops: tuple[int, int], accumulate: int) -> None:
    whole = train(tmp_path / "whole", grad_accum_steps=accumulate)
    assert torch.equal(train(tmp_path / "broken", *stops, grad_accum_steps=accumulate), whole)


def test_workers_change_nothing(tmp_path: Path) -> None:
    assert torch.equal(train(tmp_path / "many", module=data(num_workers=2)), train(tmp_path / "none"))


def test_a_run_knows_how_many_batches_an_epoch_has_where_the_sampler_does() -> None:
    assert Loader(data().train_dataloader, seed=0, stage="train").batches() == 6

    class Silent:
        def batches(self, samples: int, *, epoch: int, generator: torch.Generator) -> list[list[int]]:
            return [[0], [1, 2]]

    silent = DatasetDataModule(samples(), batch_sampler=Silent())
    assert Loader(silent.train_dataloader, seed=0, stage="train").batches() is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "no list of batches"),
        ([[0], []], r"Batch 1 of `Wrong.batches` is \[\]"),
        ([[0, 13]], "none of the 13 samples"),
        ([[0.5]], "none of the 13 samples"),
        ([[0]], "returned 1 batches, and says 2"),
    ],
)
def test_what_are_no_batches_is_told(given: Any, words: str) -> None:
    class Wrong:
        def batches_in_epoch(self, samples: int) -> int:
            return 2

        def batches(self, samples: int, *, epoch: int, generator: torch.Generator) -> Any:
            return given

    loader = Loader(DatasetDataModule(samples(), batch_sampler=Wrong()).train_dataloader, seed=0, stage="train")
    with pytest.raises(ConfigError, match=words):
        list(loader.epoch(0))


def test_what_does_not_go_with_a_batch_sampler_is_refused() -> None:
    given: tuple[dict[str, Any], ...] = (
        {"drop_last": True},
        {"shuffle": True},
        {"sampler": TokensBatchSampler("x", 1)},
    )
    for more in given:
        with pytest.raises(ValueError, match=r"leave .* out|which has `order`"):
            data(**more)
    with pytest.raises(ValueError, match="which has `batches`"):
        DatasetDataModule(samples(), batch_sampler=object())
