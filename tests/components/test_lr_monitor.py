"""cb.lr_monitor: the rates, momenta and decays that steps were taken with, as plain torch has them, across stops."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import Batches, Notes, StopAt, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint, lr_monitor
from otrainer.components.callbacks.lr_monitor import LrMonitor
from otrainer.engine.signals import StopRequest, TrainingInterrupted

HEAD = {"match": "2.*", "name": "head", "lr_scale": 0.1}
CYCLE = {"type": "sched_cls.OneCycleLR", "kwargs": {"max_lr": [0.5, 0.05], "total_steps": 12}, "interval": "step"}
ADAM = {"type": "optim_cls.AdamW", "kwargs": {"lr": 0.02}, "groups": [HEAD]}


def train(folder: Path, *callbacks: Any, optimizer: Any = None, **more: Any) -> torch.Tensor:
    run = {"out_dir": str(folder), **more.pop("run", {})}
    with StopRequest():
        model = fit(
            small_model(),
            Batches(random_batches(4)),
            optimizer=optimizer or ADAM,
            scheduler=more.pop("scheduler", CYCLE),
            trainer={"max_epochs": 3, "log_every_n_steps": 1},
            callbacks=callbacks,
            run=run,
            **more,
        )
    return parameters_of(model)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rates.jsonl").read_text().splitlines()]


def in_plain_torch() -> list[dict[str, float]]:
    """What each step of the same cycle is taken with."""
    model = small_model()
    groups = [{"params": [*model[0].parameters()]}, {"params": [*model[2].parameters()], "lr": 0.002}]
    optimizer = torch.optim.AdamW(groups, lr=0.02)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=[0.5, 0.05], total_steps=12)
    seen = []
    for _ in range(12):
        facts = {}
        for end, group in zip(("", "_head"), optimizer.param_groups, strict=True):
            facts |= {f"lr{end}": group["lr"], f"weight_decay{end}": group["weight_decay"]}
            facts |= {f"beta1{end}": group["betas"][0], f"beta2{end}": group["betas"][1]}
        seen.append(facts)
        optimizer.step()
        if len(seen) < 12:
            cycle.step()
    return seen


def test_each_step_has_what_plain_torch_takes_it_with_and_the_rates_of_the_logged_rows(tmp_path: Path) -> None:
    notes = Notes()
    seen = train(tmp_path, LrMonitor(momentum=True, weight_decay=True), loggers=[notes])

    rows = rows_of(tmp_path)
    assert [row.pop("step") for row in rows] == [*range(1, 13)]
    assert {row.pop("stage") for row in rows} == {"rates"}
    assert rows == in_plain_torch()
    assert [row["lr_head"] for row in rows] == notes.values("train", "lr_head")
    assert torch.equal(seen, train(tmp_path / "plain"))


@pytest.mark.parametrize("asked", [{"momentum": True}, {"every_n_epochs": 2}, {"every_n_steps": 3}])
@pytest.mark.parametrize("stops", [(3, 4), (8, 9)])
def test_two_stops_leave_the_rows_of_an_uninterrupted_run(
    tmp_path: Path, stops: tuple[int, int], asked: dict[str, Any]
) -> None:
    train(tmp_path / "whole", LrMonitor(**asked))
    broken, run = tmp_path / "broken", {}
    for stop in stops:
        with pytest.raises(TrainingInterrupted):
            train(broken, LrMonitor(**asked), ModelCheckpoint(str(broken)), StopAt(stop), run=run)
        run = {"resume_from": str(broken / "last.pt")}
    train(broken, LrMonitor(**asked), ModelCheckpoint(str(broken)), run=run)
    assert rows_of(broken) == rows_of(tmp_path / "whole")


def test_rows_of_steps_that_are_trained_again_are_there_once(tmp_path: Path) -> None:
    train(tmp_path, LrMonitor(), ModelCheckpoint(str(tmp_path), every_n_steps=5))
    rows = rows_of(tmp_path)

    train(tmp_path, LrMonitor(), run={"resume_from": str(tmp_path / "step_5.pt")})
    assert rows_of(tmp_path) == rows


def test_the_last_step_of_an_epoch_is_the_row_of_every_so_many_epochs(tmp_path: Path) -> None:
    train(tmp_path, LrMonitor(every_n_epochs=2, path=str(tmp_path / "own.jsonl")))
    assert [json.loads(line)["step"] for line in (tmp_path / "own.jsonl").read_text().splitlines()] == [8]


def test_momentum_is_that_of_optimizers_that_have_one_and_told_where_none_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sgd = {"type": "optim_cls.SGD", "kwargs": {"lr": 0.1, "momentum": 0.9}}
    train(tmp_path / "sgd", LrMonitor(momentum=True), optimizer=sgd, scheduler=None)
    assert rows_of(tmp_path / "sgd")[0] == {"step": 1, "stage": "rates", "lr": 0.1, "momentum": 0.9}
    assert not caplog.records

    train(tmp_path / "none", LrMonitor(momentum=True), optimizer={"type": "optim_cls.Adagrad"}, scheduler=None)
    assert "neither momentum nor betas" in caplog.text


def test_two_optimizers_have_their_rates_by_their_names(tmp_path: Path) -> None:
    own = {"kwargs": {"lr": 0.1}}
    two = {
        "body": {"type": "optim_cls.AdamW", **own, "parameters": ["0.*"]},
        "head": {"type": "optim_cls.SGD", **own, "parameters": ["2.*"]},
    }
    train(tmp_path, LrMonitor(momentum=True), optimizer=two, scheduler=None)
    assert rows_of(tmp_path)[0].keys() == {
        "step", "stage", "lr_body", "lr_head", "beta1_body", "beta2_body", "momentum_head",
    }  # fmt: skip


def test_one_rhythm_is_asked_for() -> None:
    with pytest.raises(ValueError, match="let one of them be null"):
        LrMonitor(every_n_steps=2, every_n_epochs=1)
    with pytest.raises(ValueError, match="by every_n_epochs or by every_n_minutes"):
        LrMonitor(every_n_epochs=2, every_n_minutes=1)


def test_a_row_comes_with_the_first_step_behind_each_so_many_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 10))  # each look at the clock is ten seconds later
    monkeypatch.setattr(lr_monitor, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    train(tmp_path, LrMonitor(every_n_minutes=0.5))
    assert [row["step"] for row in rows_of(tmp_path)] == [3, 6, 9, 12]
