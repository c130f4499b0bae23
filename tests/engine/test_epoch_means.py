"""Epochs log means of the training loss and its logs, each batch by what it counts, the same wherever a run stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, PairIO, StopAt, fit, parameters_of, random_batches, same_leaves, small_model

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError
from otrainer.protocols import LossOutput

EPOCHS, STEPS = 2, 4
MEANS: dict[str, Any] = {"max_epochs": EPOCHS, "log_epoch_means": True}
SGD: dict[str, Any] = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "momentum": 0.9, "fused": False}}


class Loss:
    """A mean, or sum, over samples, with a log that only some batches have; what they count is not their size."""

    def __init__(self, *, sums: bool = False, counts: bool = True) -> None:
        self.sums, self.counts = sums, counts

    def __call__(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> LossOutput:
        each, weight = (outputs - targets["y"]).square(), float(batch["w"])
        logs = {"worst": each.max().detach()} | ({"odd": 3} if weight > 2 else {})
        loss = each.mean() * (weight if self.sums else 1.0)
        reduction = "sum" if self.sums else "mean"
        return LossOutput(loss, logs, weight=weight if self.counts else None, reduction=reduction)


def batches(epoch_steps: int = STEPS) -> list[dict[str, Any]]:
    """Batches of several sizes, which count something else; the second one counts nothing."""
    sizes, weights = [3, 8, 5, 7], [1.5, 0.0, 2.5, 2.0]
    return [
        {**batch, "w": weight}
        for size, weight, seed in zip(sizes, weights, range(epoch_steps), strict=False)
        for batch in random_batches(1, size, seed=seed)
    ]


def train(folder: Path, trainer: Any = MEANS, stops: tuple[int, ...] = (), callbacks: Any = (), **more: Any) -> Notes:
    """Train, stopped after each of `stops` and continued; return the rows of the last stretch."""
    last: str | None = None
    for stop in (*stops, None):
        notes = Notes()
        try:
            with StopRequest():
                fit(
                    small_model(),
                    more.get("data", Batches(batches())),
                    trainer=trainer,
                    optimizer=SGD,
                    loss=more.get("loss", Loss()),
                    loggers=[notes],
                    callbacks=[StopAt(stop), *(make() for make in callbacks), ModelCheckpoint(str(folder))],
                    run={"resume_from": last},
                )
        except TrainingInterrupted:
            last = str(folder / "last.pt")
    return notes


def by_hand(*, counts: bool = True, accumulate: int = 1) -> list[dict[str, float]]:
    """The means in plain torch, which asks the device each time."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rows = []
    for _ in range(EPOCHS):
        sums, weights = dict[str, float](), dict[str, float]()
        data = batches()
        for group in (data[first : first + accumulate] for first in range(0, len(data), accumulate)):
            optimizer.zero_grad()
            seen = []
            for batch in group:
                each = (model(batch["x"]) - batch["y"]).square()
                weight = batch["w"] if counts else float(len(batch["x"]))
                seen.append((each.mean(), weight))
                row = {"loss": each.mean().item(), "worst": each.max().item()}
                row |= {"odd": 3.0} if batch["w"] > 2 else {}
                for name, value in row.items():
                    sums[name] = sums.get(name, 0.0) + value * weight
                    weights[name] = weights.get(name, 0.0) + weight
            if accumulate == 1:
                seen[0][0].backward()
            else:  # relative to the first weight, and what is left at the end, as the loop does it
                known = [(loss, weight) for loss, weight in seen if weight]
                for loss, weight in known:
                    (loss * (weight / known[0][1]) / len(group)).backward()
                for each in model.parameters():
                    assert each.grad is not None
                    each.grad.mul_(len(group) * known[0][1] / sum(weight for _, weight in seen))
            optimizer.step()
        rows.append({f"train_{name}": value / weights[name] for name, value in sums.items()})
    return rows


def rows_of(notes: Notes) -> list[dict[str, float]]:
    return [row for stage, _, row in notes.rows if stage == "metrics"]


@pytest.mark.parametrize("counts", [True, False], ids=["as the loss says", "by samples"])
def test_means_count_each_batch_by_its_weight(counts: bool, tmp_path: Path) -> None:
    assert rows_of(train(tmp_path, loss=Loss(counts=counts))) == by_hand(counts=counts)


def test_batches_of_a_step_that_accumulates_count_each_by_itself(tmp_path: Path) -> None:
    expected = by_hand(accumulate=3)
    for row, other in zip(rows_of(train(tmp_path, {**MEANS, "grad_accum_steps": 3})), expected, strict=True):
        assert row == pytest.approx(other, rel=1e-6)


def test_a_loss_that_is_a_sum_is_logged_as_the_mean_that_it_comes_to(tmp_path: Path) -> None:
    data = [batch for batch in batches() if batch["w"]]
    still = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.0}}

    def means(sums: bool) -> float:
        notes = Notes()
        fit(small_model(), Batches(data), trainer=MEANS, optimizer=still, loss=Loss(sums=sums), loggers=[notes])
        return rows_of(notes)[0]["train_loss"]

    assert means(True) == pytest.approx(means(False), rel=1e-6)


@pytest.mark.parametrize("first", range(1, EPOCHS * STEPS))
def test_two_stops_within_an_epoch_or_at_its_end_change_no_bit_of_them(first: int, tmp_path: Path) -> None:
    whole = rows_of(train(tmp_path / "whole"))
    notes = train(tmp_path / "cut", stops=(first, first + 1) if first + 1 < EPOCHS * STEPS else (first,))

    assert rows_of(notes)[-1:] == whole[-1:]
    logs = [load_checkpoint(tmp_path / each / "last.pt")["logs"] for each in ("whole", "cut")]
    assert same_leaves(*logs)


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_the_mean_of_the_epoch_in_which_a_run_stopped_is_over_all_its_steps(stop: int, tmp_path: Path) -> None:
    assert rows_of(train(tmp_path, stops=(stop,))) == by_hand()


def test_an_epoch_that_the_length_cut_is_gone_on_with(tmp_path: Path) -> None:
    def until(steps: int, last: str | None) -> list[dict[str, float]]:
        notes = Notes()
        trainer = {"log_epoch_means": True, "max_steps": steps}
        checkpoint, run = ModelCheckpoint(str(tmp_path)), {"resume_from": last}
        fit(
            small_model(), Batches(batches()), trainer=trainer, optimizer=SGD, loss=Loss(), loggers=[notes],
            callbacks=[checkpoint], run=run,
        )  # fmt: skip
        return rows_of(notes)

    (of_three,) = until(3, None)
    assert until(8, str(tmp_path / "last.pt")) == [of_three, *by_hand()]


def test_nobody_who_did_not_ask_has_means_and_asking_changes_nothing_that_is_trained(tmp_path: Path) -> None:
    assert rows_of(train(tmp_path / "none", {"max_epochs": EPOCHS})) == []
    train(tmp_path / "asked")
    without, asked = (load_checkpoint(tmp_path / each / "last.pt") for each in ("none", "asked"))
    assert "means" not in without["logs"]
    assert same_leaves(dict(without["model"]), dict(asked["model"]))


def test_early_stopping_and_checkpoints_may_watch_them_without_validation_data(tmp_path: Path) -> None:
    """A rate so high that the first epoch is the best one."""
    best = ModelCheckpoint(str(tmp_path), monitor="train_loss", top_k=1, filename="{global_step}-{train_loss:.2f}")
    stopping = EarlyStopping("train_loss", patience=1, every="epoch")
    notes = Notes()
    fit(
        small_model(), Batches(batches()), trainer={**MEANS, "max_epochs": 9}, loss=Loss(), loggers=[notes],
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 1.0, "momentum": 0.9}}, callbacks=[stopping, best],
    )  # fmt: skip
    losses = [row["train_loss"] for row in rows_of(notes)]
    at = losses.index(min(losses)) + 1

    assert len(losses) == at + 1
    assert (stopping.best, best.best) == (min(losses), min(losses))
    assert load_checkpoint(tmp_path / "best.pt")["train_state"]["global_step"] == at * STEPS
    assert (tmp_path / f"{at * STEPS}-{min(losses):.2f}.pt").exists()


@pytest.mark.parametrize("stops", [(1, 2), (3, 4), (4, 5), (5, 6)])
def test_what_watches_them_goes_on_as_if_there_had_been_no_stop(stops: tuple[int, int], tmp_path: Path) -> None:
    made: list[EarlyStopping] = []

    def stopping() -> EarlyStopping:
        made.append(EarlyStopping("train_worst", mode="max", patience=1, every="epoch"))
        return made[-1]

    train(tmp_path / "whole", {**MEANS, "max_epochs": 4}, callbacks=[stopping])
    train(tmp_path / "cut", {**MEANS, "max_epochs": 4}, stops=stops, callbacks=[stopping])
    assert made[0].state_dict() == made[-1].state_dict()
    states = [load_checkpoint(tmp_path / each / "last.pt")["train_state"] for each in ("whole", "cut")]
    assert states[0] == states[1]


def test_a_validation_within_an_epoch_is_no_time_to_look_at_them(tmp_path: Path) -> None:
    best = ModelCheckpoint(str(tmp_path), monitor="train_loss")
    notes, data = Notes(), Batches(batches(), batches())
    trainer = {**MEANS, "val_every_n_steps": 1}
    fit(small_model(), data, trainer=trainer, optimizer=SGD, loss=Loss(), loggers=[notes], callbacks=[best])

    assert best.best == min(row["train_loss"] for row in rows_of(notes))
    assert len(rows_of(notes)) == EPOCHS


class Own(DefaultTrainer):
    """Steps the optimizer itself, and logs what it likes."""

    def training_step(self, ctx: Any, batch: Any) -> Any:
        loss = (ctx.model(batch["x"]) - batch["y"]).square().mean()
        ctx.backward(loss)
        ctx.step()
        return {"loss": loss, "half": loss.detach() / 2}


def test_steps_of_a_trainer_s_own_are_counted_by_their_samples() -> None:
    data = random_batches(1, 2, seed=4) + random_batches(1, 6, seed=5)
    notes, steps = Notes(), Notes()
    trainer = Own(max_epochs=1, log_epoch_means=True, log_every_n_steps=1)
    fit(small_model(), Batches(data), trainer=trainer, optimizer=SGD, loggers=[notes, steps])
    first, second = steps.values("train", "loss")
    ((_, _, row),) = [each for each in notes.rows if each[0] == "metrics"]

    assert row == {"train_loss": (first * 2 + second * 6) / 8, "train_half": pytest.approx((first + 3 * second) / 8)}


class TrainLoss:
    def compute(self) -> dict[str, float]:
        return {"train_loss": 1.0}


def test_a_metric_of_the_same_name_is_told() -> None:
    with pytest.raises(ConfigError, match="`train_loss`, which is the name of a loss"):
        fit(small_model(), Batches(random_batches(1)), trainer={**MEANS, "max_epochs": 1}, metrics=[TrainLoss()])


def test_whoever_watches_means_that_nobody_takes_is_told_how_they_are_taken() -> None:
    with pytest.raises(ConfigError) as caught:
        stopping = EarlyStopping("train_loss", every="epoch")
        fit(small_model(), Batches(random_batches(1)), callbacks=[stopping])

    assert "log_epoch_means: true" in str(caught.value.findings[0].hint)


def test_a_run_that_takes_them_from_the_middle_of_an_epoch_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TrainingInterrupted), StopRequest():
        callbacks = [StopAt(2), ModelCheckpoint(str(tmp_path))]
        fit(small_model(), Batches(batches()), loss=Loss(), callbacks=callbacks)
    notes = Notes()
    run = {"resume_from": str(tmp_path / "last.pt")}
    trainer = {"max_epochs": 1, "log_epoch_means": True}
    fit(small_model(), Batches(batches()), loss=Loss(), trainer=trainer, loggers=[notes], run=run)

    assert "steps from here on" in caplog.text
    assert "train_loss" in rows_of(notes)[0]


def test_parameters_are_those_of_a_run_without_means_over_steps_that_accumulate() -> None:
    def trained(means: bool) -> torch.Tensor:
        trainer = {"max_epochs": 2, "grad_accum_steps": 3, "log_epoch_means": means}
        return parameters_of(fit(small_model(), Batches(batches()), trainer=trainer, loss=Loss(), io=PairIO()))

    assert torch.equal(trained(True), trained(False))
