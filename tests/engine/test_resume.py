"""A continued run takes the steps that an uninterrupted one takes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import Batches, Notes, StopAt, fit, parameters_of, random_batches, small_model

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.components.loggers import JsonLinesLogger
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunContext
from otrainer.errors import ConfigError

STEPS_PER_EPOCH = 4
EPOCHS = 3


def noisy_batches() -> Iterator[dict[str, torch.Tensor]]:
    """A generator that draws from the global generators of torch and numpy."""
    for _ in range(STEPS_PER_EPOCH * 2):
        x = torch.randn(8, 4) + float(np.random.rand())
        yield {"x": x, "y": x.sum(1, keepdim=True)}


def model_with_dropout() -> torch.nn.Module:
    model = small_model()
    model.insert(1, torch.nn.Dropout(0.3))  # type: ignore[operator]  # it is a Sequential
    return model


def run(
    folder: Path, *, stop_at: int | None = None, resume: bool = False, epochs: int = EPOCHS
) -> tuple[torch.Tensor, Notes]:
    """One stretch of training, with everything in it that has state."""
    model, notes = model_with_dropout(), Notes()
    with StopRequest():
        fit(
            model,
            Batches(noisy_batches, noisy_batches),
            trainer={"max_epochs": epochs, "grad_accum_steps": 2, "log_every_n_steps": 1},
            optimizer={"type": "optim_cls.AdamW", "kwargs": {"lr": 1e-2}},
            scheduler={"type": "sched_cls.CosineAnnealingLR", "kwargs": {"T_max": 20}, "interval": "step"},
            callbacks=[ModelCheckpoint(str(folder)), StopAt(stop_at)],
            loggers=[notes, JsonLinesLogger(str(folder / "rows.jsonl"))],
            run={"seed": 7, **({"resume_from": str(folder / "last.pt")} if resume else {})},
        )
    return parameters_of(model), notes


@pytest.mark.parametrize("step", range(1, STEPS_PER_EPOCH * EPOCHS))
def test_a_run_interrupted_after_any_step_ends_as_if_it_had_not_been(tmp_path: Path, step: int) -> None:
    whole, notes = run(tmp_path / "whole")
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "broken", stop_at=step)
    continued, rest = run(tmp_path / "broken", resume=True)

    assert torch.equal(continued, whole)
    assert rest.rows == notes.rows[-len(rest.rows) :]
    assert (tmp_path / "broken/rows.jsonl").read_text() == (tmp_path / "whole/rows.jsonl").read_text()


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("step", [2, 3, STEPS_PER_EPOCH])
def test_a_state_that_is_being_saved_when_the_signal_comes_is_not_saved_twice(
    tmp_path: Path, step: int, background: bool
) -> None:
    """The last checkpoint is then the very file of that step, and the run goes on from it as if nothing had been."""

    def train(folder: Path, stop_at: int | None, **settings: Any) -> torch.Tensor:
        with StopRequest():
            model = fit(
                model_with_dropout(),
                Batches(noisy_batches),
                trainer={"max_epochs": 2, "grad_accum_steps": 2},
                callbacks=[ModelCheckpoint(str(folder), every_n_steps=1, background=background), StopAt(stop_at)],
                run={"seed": 7, **settings},
            )
        return parameters_of(model)

    whole = train(tmp_path / "whole", None)
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", step)

    assert (tmp_path / "broken/last.pt").samefile(tmp_path / f"broken/step_{step}.pt")
    assert (tmp_path / "broken/previous.pt").samefile(tmp_path / f"broken/step_{step - 1}.pt")
    assert torch.equal(train(tmp_path / "broken", None, resume_from=str(tmp_path / "broken/last.pt")), whole)


def test_a_signal_during_validation_leaves_a_checkpoint_from_which_the_run_ends_the_same(tmp_path: Path) -> None:
    class Count:
        """A metric whose state counts both stages."""

        def __init__(self) -> None:
            self.counts = {"train": 0, "val": 0}

        def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
            self.counts[stage] += 1

        def compute(self) -> dict[str, float]:
            return {f"val_{stage}": float(count) for stage, count in self.counts.items()}

        def reset(self) -> None:
            self.counts = {"train": 0, "val": 0}

    def train(*, stop: bool, resume: bool) -> tuple[torch.Tensor, Notes]:
        def val() -> Iterator[Any]:
            yield random_batches(1)[0]
            if stop:
                os.kill(os.getpid(), signal.SIGTERM)
            yield from random_batches(2, seed=9)

        notes = Notes()
        options = {"resume_from": str(tmp_path / "last.pt")} if resume else {}
        with StopRequest():
            model = fit(
                model_with_dropout(),
                Batches(random_batches(4), val),
                trainer={"max_epochs": 2},
                metrics=[Count()],
                callbacks=[ModelCheckpoint(str(tmp_path))],
                loggers=[notes],
                run=options,
            )
        return parameters_of(model), notes

    whole, notes = train(stop=False, resume=False)
    with pytest.raises(TrainingInterrupted, match="SIGTERM"):
        train(stop=True, resume=False)
    continued, rest = train(stop=False, resume=True)

    assert torch.equal(continued, whole)
    assert rest.rows == notes.rows
    assert notes.values("val", "val_val") == [3.0, 3.0]


def test_more_epochs_after_a_finished_run_go_on_where_it_ended(tmp_path: Path) -> None:
    whole, _ = run(tmp_path / "whole", epochs=4)
    run(tmp_path / "short", epochs=2)
    continued, _ = run(tmp_path / "short", epochs=4, resume=True)

    assert torch.equal(continued, whole)


def test_a_checkpoint_is_data_with_the_parts_that_people_look_for(tmp_path: Path) -> None:
    run(tmp_path)
    parts = torch.load(tmp_path / "last.pt", weights_only=True)

    assert parts["train_state"] == {
        "epoch": 2,
        "global_step": 12,
        "micro_step_in_epoch": 8,
        "epoch_complete": True,
        "epoch_trained": True,
        "should_stop": False,
        "is_cut": False,
        "validated_at": 0.0,
        "validations": 0,
        "logged_at": 0.0,
        "seconds": 0.0,
    }
    assert parts["model"].keys() == model_with_dropout().state_dict().keys()
    assert set(parts) >= {"optimizer", "scheduler", "scaler", "callbacks", "metrics", "loss", "data", "rng", "meta"}


def test_plain_attributes_of_a_component_without_state_dict_are_kept_but_not_its_configuration(tmp_path: Path) -> None:
    class Steps:
        def __init__(self, every: int) -> None:
            self.every, self.seen = every, 0

        def on_train_step_end(self, ctx: RunContext) -> None:
            self.seen += 1

    def train(steps: Steps, **options: Any) -> None:
        callbacks = [steps, ModelCheckpoint(str(tmp_path))]
        fit(small_model(), Batches(random_batches(3)), callbacks=callbacks, **options)

    train(Steps(every=1))
    resumed = Steps(every=5)
    train(resumed, trainer={"max_epochs": 2}, run={"resume_from": str(tmp_path / "last.pt")})

    assert (resumed.every, resumed.seen) == (5, 6)


def test_hyperparameters_come_from_the_config_not_from_the_checkpoint(tmp_path: Path) -> None:
    rates = []

    class Look:
        def on_train_step_end(self, ctx: RunContext) -> None:
            rates.append(ctx.optimizer.param_groups[0]["lr"])

    def train(rate: float, **run: Any) -> None:
        optimizer = {"type": "optim_cls.SGD", "kwargs": {"lr": rate}}
        fit(
            small_model(),
            Batches(random_batches(1)),
            trainer={"max_epochs": 1 + len(rates)},
            optimizer=optimizer,
            callbacks=[Look(), ModelCheckpoint(str(tmp_path))],
            run=run,
        )

    train(0.1)
    train(0.2, resume_from=str(tmp_path / "last.pt"))

    assert rates == [0.1, 0.2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scheduler": None}, "scheduler does not match"),
        ({"model": torch.nn.Linear(4, 1)}, "model does not match"),
        ({"optimizer": {"type": "optim_cls.RMSprop"}}, "optimizer does not match"),
        ({"optimizer": {"type": "optim_cls.AdamW", "kwargs": {"lr": 0.1}}}, "scheduler does not match"),
        ({"scheduler": {"type": "sched_cls.StepLR", "kwargs": {"step_size": 2}}}, "scheduler does not match"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    def train(**options: Any) -> None:
        merged = {
            "model": small_model(),
            "scheduler": {"type": "sched_cls.StepLR", "kwargs": {"step_size": 1}},
            "optimizer": {"type": "optim_cls.AdamW"},
            "callbacks": [ModelCheckpoint(str(tmp_path))],
            **options,
        }
        fit(merged.pop("model"), Batches(random_batches(1)), **merged)

    train()
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ConfigError) as error:
        train(run={"resume_from": str(tmp_path / "last.pt")}, **change)

    assert error.value.findings[0].title == f"{words} the checkpoint"
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_damaged_or_foreign_file_is_no_checkpoint(tmp_path: Path) -> None:
    run(tmp_path)
    content = bytearray((tmp_path / "last.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.pt").write_bytes(content)
    (tmp_path / "short.pt").write_bytes(content[: len(content) // 2])
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.pt")

    for name in ("damaged", "short", "foreign", "missing"):
        with pytest.raises(ConfigError, match=f"{name}.pt"):
            load_checkpoint(tmp_path / f"{name}.pt")


def test_checkpoints_come_when_they_are_asked_for(tmp_path: Path) -> None:
    """`last.pt` at every 2 steps, each epoch's end and the end; the newest two by step; the best by a monitor."""
    fit(
        small_model(),
        Batches(random_batches(5), random_batches(1)),
        trainer={"max_epochs": 2},
        callbacks=[ModelCheckpoint(str(tmp_path), every_n_steps=2, keep_last=2, monitor="val_loss")],
    )

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.pt",
        "last.pt",
        "previous.pt",
        "step_10.pt",
        "step_8.pt",
    ]
    assert load_checkpoint(tmp_path / "last.pt")["train_state"]["epoch_complete"] is True
    assert load_checkpoint(tmp_path / "step_8.pt")["train_state"]["micro_step_in_epoch"] == 3


def test_only_the_last_checkpoint_is_written_unless_more_is_asked_for(tmp_path: Path) -> None:
    fit(small_model(), Batches(random_batches(3)), callbacks=[ModelCheckpoint(str(tmp_path))])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_the_best_checkpoint_is_of_the_best_epoch(tmp_path: Path) -> None:
    notes = Notes()
    fit(
        small_model(),
        Batches(random_batches(3), random_batches(2, seed=4)),
        trainer={"max_epochs": 6},
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.4}},
        callbacks=[ModelCheckpoint(str(tmp_path), save_last=False, monitor="val_loss", mode="max")],
        loggers=[notes],
    )

    losses = notes.values("val", "val_loss")
    assert load_checkpoint(tmp_path / "best.pt")["train_state"]["epoch"] == losses.index(max(losses))


def test_early_stopping_waits_for_its_patience(tmp_path: Path) -> None:
    notes = Notes()
    fit(
        small_model(),
        Batches(random_batches(1), random_batches(1)),
        trainer={"max_epochs": 10},
        optimizer={"type": "optim_cls.SGD", "kwargs": {"lr": 0.0}},
        callbacks=[EarlyStopping(patience=2)],
        loggers=[notes],
    )

    assert len(notes.values("val", "val_loss")) == 3


def test_fewer_epochs_than_the_checkpoint_has_are_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=2)
    with pytest.raises(ConfigError, match="has 2 epochs, and `max_epochs` is 1") as error:
        run(tmp_path, epochs=1, resume=True)

    assert error.value.config_path == ("trainer", "max_epochs")
