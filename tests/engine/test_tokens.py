"""A step of so many tokens is one over a batch that holds all that it gathered, wherever the run was stopped."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, StopAt, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError
from otrainer.protocols import LossOutput

Batch = dict[str, torch.Tensor]
SGD: dict[str, Any] = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "momentum": 0.9, "fused": False}}
SIZES = (3, 5, 2, 8, 1, 4, 6)
STEPS = [[0, 1], [2, 3], [4, 5, 6]]  # of 8 tokens and more


def batches(sizes: tuple[int, ...] = SIZES) -> list[Batch]:
    """Batches of unequal sizes, each sample a token."""
    return [random_batches(1, size, seed=seed)[0] for seed, size in enumerate(sizes)]


def by_token(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
    return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]), weight=len(outputs))


def train(data: Any, tokens: int, *, epochs: int = 2, callbacks: Any = (), **more: Any) -> torch.Tensor:
    trainer = {"max_epochs": epochs, "accumulate": {"tokens": tokens}, **more.pop("trainer", {})}
    more = {"optimizer": SGD, "loss": by_token, **more}
    return parameters_of(fit(small_model(), Batches(data), trainer=trainer, callbacks=callbacks, **more))


def by_hand(groups: list[list[Batch]], tokens: int, epochs: int = 2) -> torch.Tensor:
    """Plain torch: sums over tokens, divided by their number once that is known."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for group in groups * epochs:
        optimizer.zero_grad()
        for batch in group:
            (torch.nn.functional.mse_loss(model(batch["x"]), batch["y"]) / (tokens / len(batch["x"]))).backward()
        total = sum(len(batch["x"]) for batch in group)
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(tokens / total)
        optimizer.step()
    return parameters_of(model)


def cut(data: list[Batch], steps: list[list[int]] = STEPS) -> list[list[Batch]]:
    return [[data[at] for at in step] for step in steps]


def test_a_step_gathers_until_its_tokens_are_there_as_plain_torch_does() -> None:
    assert torch.equal(train(batches(), 8), by_hand(cut(batches()), 8))


def test_it_is_a_step_over_one_batch_of_all_that_it_gathered() -> None:
    whole = [{key: torch.cat([each[key] for each in step]) for key in ("x", "y")} for step in cut(batches())]
    expected = parameters_of(
        fit(small_model(), Batches(whole), trainer={"max_epochs": 2}, optimizer=SGD, loss=by_token)
    )
    torch.testing.assert_close(train(batches(), 8), expected)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_batches_that_come_to_the_number_are_steps_of_so_many_to_the_bit(count: int) -> None:
    data = random_batches(7, size=8)
    trainer = {"max_epochs": 2, "grad_accum_steps": count}
    counted = parameters_of(fit(small_model(), Batches(data), trainer=trainer, optimizer=SGD, loss=by_token))
    ours = train(data, 8 * count)
    if count < 3:
        torch.testing.assert_close(ours, counted)
    assert torch.equal(train(data[:6], 8 * count), train_counted(data[:6], count))


def train_counted(data: list[Batch], count: int) -> torch.Tensor:
    trainer = {"max_epochs": 2, "grad_accum_steps": count}
    return parameters_of(fit(small_model(), Batches(data), trainer=trainer, optimizer=SGD, loss=by_token))


def test_one_batch_that_has_enough_is_a_step_of_its_own_to_the_bit() -> None:
    assert torch.equal(train(batches(), 1), train_counted(batches(), 1))


def test_a_loss_that_is_a_sum_goes_in_as_it_is() -> None:
    def summed(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        total = torch.nn.functional.mse_loss(outputs, targets["y"], reduction="sum") / 100
        return LossOutput(total, weight=len(outputs), reduction="sum")

    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for group in cut(batches()) * 2:
        optimizer.zero_grad()
        for batch in group:
            (torch.nn.functional.mse_loss(model(batch["x"]), batch["y"], reduction="sum") / 100).backward()
        optimizer.step()
    assert torch.equal(train(batches(), 8, loss=summed), parameters_of(model))


def test_a_micro_batch_without_tokens_counts_nothing_and_fills_nothing() -> None:
    def first_are_padding(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        weight = 0 if len(outputs) == 2 else len(outputs)
        loss = torch.nn.functional.mse_loss(outputs, targets["y"])
        return LossOutput(loss * (1 if weight else torch.nan), weight=weight)

    without = [each for each in batches() if len(each["x"]) != 2]
    assert torch.equal(train(batches(), 8, loss=first_are_padding), train(without, 8))


class Seen(StopAt):
    """Notes after each step where the epoch stands."""

    def __init__(self, step: int | None = None) -> None:
        super().__init__(step)
        self.places: list[tuple[int, int, int]] = []

    def on_train_step_end(self, ctx: RunContext) -> None:
        self.places.append((ctx.state.global_step, ctx.state.epoch, ctx.state.micro_step_in_epoch))
        super().on_train_step_end(ctx)


def test_epochs_end_where_their_data_end_and_a_run_after_its_steps() -> None:
    seen = Seen()
    train(batches(), 8, epochs=9, trainer={"max_steps": 5}, callbacks=[seen])
    assert seen.places == [(1, 0, 2), (2, 0, 4), (3, 0, 7), (4, 1, 2), (5, 1, 4)]


def test_data_without_an_end_are_taken_no_further_than_a_step_needs() -> None:
    taken: list[int] = []

    def endless() -> Any:
        for number, batch in enumerate(itertools.cycle(batches())):
            taken.append(number)
            yield batch

    train(endless, 8, trainer={"max_steps": 2, "train_batches": 100})
    assert taken == [0, 1, 2, 3]


@pytest.mark.parametrize("loader", ["list", "generator"])
def test_a_run_stopped_after_any_two_of_its_steps_ends_with_the_same_bits(tmp_path: Path, loader: str) -> None:
    def shuffled() -> Any:
        """Batches whose noise comes from the global random state."""
        return ({**each, "x": each["x"] + torch.rand(1)} for each in batches())

    class Dropping(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_model()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.inner(torch.nn.functional.dropout(x, 0.3)))

    def run(folder: Path, stop: int | None, **run: Any) -> torch.Tensor:
        torch.manual_seed(7)
        trainer = {"max_epochs": 2, "accumulate": {"tokens": 8}, "log_grad_norm": True}
        callbacks = [ModelCheckpoint(str(folder)), Seen(stop)]
        data = Batches(shuffled if loader == "generator" else batches())
        with StopRequest():
            return parameters_of(
                fit(Dropping(), data, trainer=trainer, optimizer=SGD, loss=by_token, callbacks=callbacks, run=run)
            )

    whole = run(tmp_path / "whole", None)
    for first, second in ((1, 2), (2, 3), (3, 4), (4, 5)):
        folder = tmp_path / f"{first}"
        with pytest.raises(TrainingInterrupted):
            run(folder, first)
        with pytest.raises(TrainingInterrupted):
            run(folder, second, resume_from=str(folder / "last.pt"))
        assert torch.equal(run(folder, None, resume_from=str(folder / "last.pt")), whole), (first, second)


def test_each_epoch_has_a_row_at_its_end_where_there_would_be_none() -> None:
    notes = Notes()
    train(batches(), 8, trainer={"log_every_n_steps": 2}, loggers=[notes])
    assert [step for stage, step, _ in notes.rows if stage == "train"] == [2, 3, 4, 6]
    losses = [torch.nn.functional.mse_loss(small_model()(each["x"]), each["y"]).item() for each in batches()[:2]]
    one = Notes()
    train(batches(), 8, epochs=1, trainer={"log_every_n_steps": 1}, loggers=[one])
    assert one.rows[0][2]["loss"] == pytest.approx((3 * losses[0] + 5 * losses[1]) / 8)


def test_an_optimizer_that_evaluates_again_sees_the_same_micro_batches() -> None:
    lbfgs = {"type": "optim_cls.LBFGS", "kwargs": {"max_iter": 3, "lr": 0.1}}
    whole = [{key: torch.cat([each[key] for each in step]) for key in ("x", "y")} for step in cut(batches())]
    expected = fit(small_model(), Batches(whole), trainer={"max_epochs": 1}, optimizer=lbfgs, loss=by_token)
    ours = train(batches(), 8, epochs=1, optimizer=lbfgs)
    torch.testing.assert_close(ours, parameters_of(expected), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        ({"accumulate": {"tokens": 8}, "grad_accum_steps": 2}, "given twice"),
        ({"accumulate": {"tokens": 0}}, "wrong type"),
        ({"accumulate": {"tokens": 1.5}}, "wrong type"),
        ({"accumulate": {"token": 8}}, "unknown key"),
        ({"accumulate": 8}, "wrong type"),
    ],
)
def test_what_is_no_number_of_tokens_is_refused(arguments: dict[str, Any], title: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DefaultTrainer(**arguments)
    assert caught.value.findings[0].title == title


def test_a_loss_that_does_not_count_its_tokens_is_refused_before_anything_is_trained() -> None:
    def plain(*, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        return LossOutput(torch.nn.functional.mse_loss(outputs, targets["y"]))

    with pytest.raises(ConfigError, match="what a batch counts"):
        train(batches(), 8, loss=plain)


def test_a_step_of_ones_own_that_steps_itself_is_refused_by_the_argument() -> None:
    class Own(DefaultTrainer):
        def training_step(self, ctx: Any, batch: Any) -> Any:
            ctx.backward(torch.nn.functional.mse_loss(ctx.forward(batch["x"]), batch["y"]))
            ctx.step()

    with pytest.raises(ConfigError) as caught:
        fit(small_model(), Batches(batches()), trainer=Own(accumulate={"tokens": 8}))
    assert caught.value.findings[0].config_path == ("trainer", "accumulate")


def test_a_schedule_that_needs_the_length_of_the_run_is_told_that_nobody_knows_it() -> None:
    cosine = {"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": "auto"}, "interval": "step"}
    with pytest.raises(ConfigError) as caught:
        train(batches(), 8, scheduler=cosine)
    assert caught.value.findings[0].title == "length is not known"
    train(batches(), 8, scheduler=cosine, trainer={"max_steps": 3})
