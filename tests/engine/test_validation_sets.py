"""Several validation sets by name: each is judged by itself and all together, in their order, across any stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Batches, Notes, PairIO, fit, parameters_of, random_batches, small_model
from torch import nn

from otrainer.components.callbacks import EarlyStopping, ModelCheckpoint
from otrainer.components.loggers import JsonLinesLogger
from otrainer.components.loss import TorchLoss
from otrainer.components.metrics import TorchMetric
from otrainer.engine.data.validation_sets import validation_data
from otrainer.engine.evaluation import evaluate_checkpoint
from otrainer.engine.parts import Parts
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.state import RunSettings
from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError

RUN = {"name": "test", "out_dir": "runs/test"}
NAMES = ["val_loss", "val_loss/clean", "val_mean_absolute_error/clean", "val_loss/noisy"]


def sets() -> dict[str, list[dict[str, torch.Tensor]]]:
    """Two sets whose batches have sizes of their own, so that all means are weighted ones."""
    small = random_batches(1, size=3, seed=6)
    return {"clean": [*random_batches(1, seed=5), *small], "noisy": random_batches(2, size=5, seed=8)}


def train(folder: Path, *, loss: Any = None, val: Any = None, **more: Any) -> tuple[torch.Tensor, Notes]:
    notes, model = Notes(), small_model()
    with StopRequest():
        fit(
            model,
            Batches(random_batches(4), sets() if val is None else val),
            trainer=more.pop("trainer", {"max_epochs": 2, "val_every_n_steps": 4, "log_every_n_steps": 1}),
            loss=loss,
            metrics=more.pop("metrics", [TorchMetric("MeanAbsoluteError")]),
            callbacks=[ModelCheckpoint(str(folder), every_n_steps=1, monitor=more.pop("monitor", "val_loss/noisy"))],
            loggers=[notes, JsonLinesLogger(str(folder / "rows.jsonl"))],
            run={**RUN, "seed": 7, **more},
        )
    return parameters_of(model), notes


def last_values(notes: Notes) -> dict[str, float]:
    return [row for stage, _, row in notes.rows if stage == "val"][-1]


def test_each_set_has_its_values_and_all_samples_together_have_theirs(tmp_path: Path) -> None:
    """Held against plain torch over all samples of a set, and of both."""
    weights, notes = train(tmp_path)
    model = small_model()
    nn.utils.vector_to_parameters(weights, model.parameters())
    values = last_values(notes)

    assert [name for name in values if name in NAMES] == NAMES
    with torch.no_grad():
        errors = {name: torch.cat([model(each["x"]) - each["y"] for each in of]) for name, of in sets().items()}
    for name, error in {**errors, "": torch.cat(list(errors.values()))}.items():
        behind = f"/{name}" if name else ""
        assert values[f"val_loss{behind}"] == pytest.approx(error.square().mean().item(), rel=1e-6)
        assert values[f"val_mean_absolute_error{behind}"] == pytest.approx(error.abs().mean().item(), rel=1e-6)


@pytest.mark.parametrize("name", ["clean", "noisy"])
def test_a_set_has_the_bits_that_it_has_where_it_is_alone(tmp_path: Path, name: str) -> None:
    _, both = train(tmp_path / "both")
    alone = Notes()
    model = small_model()
    fit(
        model,
        Batches(random_batches(4), sets()[name]),
        trainer={"max_epochs": 2, "val_every_n_steps": 4},
        metrics=[TorchMetric("MeanAbsoluteError")],
        loggers=[alone],
        run={**RUN, "seed": 7},
    )
    for value in ("val_loss", "val_mean_absolute_error"):
        assert both.values("val", f"{value}/{name}") == alone.values("val", value)


def test_sets_change_nothing_of_what_is_trained_and_of_what_metrics_log_of_it(tmp_path: Path) -> None:
    with_sets, notes = train(tmp_path / "sets", trainer={"max_epochs": 2})
    one = {"val": sets()["clean"] + sets()["noisy"], "monitor": "val_loss"}
    without, others = train(tmp_path / "one", trainer={"max_epochs": 2}, **one)
    assert torch.equal(with_sets, without)
    assert notes.values("metrics", "train_mean_absolute_error") == others.values("metrics", "train_mean_absolute_error")
    for value in ("val_loss", "val_mean_absolute_error"):
        assert notes.values("val", value) == others.values("val", value)


def stopping(at: int | None) -> Any:
    """The loss, with a signal at the validation batch of that number, counted over all validations."""
    loss, seen = TorchLoss(nn.MSELoss()), 0

    def judged(*, stage: str, **given: Any) -> Any:
        nonlocal seen
        seen += stage == "val"
        if stage == "val" and seen == at:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(stage=stage, **given)

    return judged


@pytest.mark.parametrize("batch", range(3, 11))
def test_stopped_at_any_batch_of_a_validation_it_goes_on_to_the_same_rows(tmp_path: Path, batch: int) -> None:
    """Two batches were judged in the rehearsal, one of each set."""
    whole, _ = train(tmp_path / "whole", loss=stopping(None))
    with pytest.raises(TrainingInterrupted):
        train(tmp_path / "broken", loss=stopping(batch))
    continued, _ = train(tmp_path / "broken", loss=stopping(None), resume_from=str(tmp_path / "broken/last.pt"))

    assert torch.equal(continued, whole)
    assert (tmp_path / "broken/rows.jsonl").read_text() == (tmp_path / "whole/rows.jsonl").read_text()


class Both:
    """A metric that computes values of both stages, and fails without either."""

    def __init__(self) -> None:
        self.reset()

    def update(self, *, outputs: Any, targets: Any, batch: Any, stage: str) -> None:
        self.counts[stage] += len(outputs)

    def compute(self) -> Mapping[str, float]:
        return {"share": self.counts["val"] / self.counts["train"], "train_count": self.counts["train"]}

    def reset(self) -> None:
        self.counts = {"train": 0, "val": 0}


def test_a_metric_that_needs_both_stages_has_those_of_training_for_each_set(tmp_path: Path) -> None:
    _, notes = train(tmp_path, metrics=[Both()], trainer={"max_epochs": 1})
    values = last_values(notes)
    assert (values["share"], values["share/clean"], values["share/noisy"]) == (21 / 32, 11 / 32, 10 / 32)
    assert "train_count/clean" not in values


def test_the_limit_on_a_validation_s_batches_is_that_of_each_set(tmp_path: Path) -> None:
    _, notes = train(tmp_path, trainer={"max_epochs": 1, "val_batches": 1}, metrics=[Both()])
    assert last_values(notes)["share/noisy"] == 5 / 32


def test_what_a_set_does_not_log_cannot_be_watched() -> None:
    with pytest.raises(ConfigError, match="`val_loss`, `val_loss/clean`, `val_loss/noisy`") as error:
        fit(small_model(), Batches(random_batches(2), sets()), callbacks=[EarlyStopping("val_loss/nosy")])
    assert error.value.findings[0].suggestions[0] == "val_loss/noisy"


def test_a_failure_says_in_which_set_it_was() -> None:
    val = {**sets(), "noisy": [{"x": torch.ones(2, 4)}]}
    with pytest.raises(KeyError) as error:
        fit(small_model(), Batches(random_batches(2), val))
    assert any("set `noisy`, batch 0" in note for note in error.value.__notes__)


@pytest.mark.parametrize("names", [[], ["a/b"], [3], ["test"], [""]])
def test_names_that_cannot_be_logged_are_refused(names: list[Any]) -> None:
    with pytest.raises(ConfigError, match="returned several loaders, by the names"):
        validation_data(lambda: {name: random_batches(1) for name in names}, seed=0)


def test_a_loader_that_is_used_up_is_made_anew_for_each_validation(tmp_path: Path) -> None:
    _, notes = train(tmp_path / "once", val=lambda: {name: iter(of) for name, of in sets().items()})
    _, others = train(tmp_path / "lists")
    assert notes.rows == others.rows


def judged(checkpoint: Path, split: str) -> Any:
    parts: dict[str, Any] = {
        "model": small_model(),
        "datamodule": Batches(random_batches(4), sets()),
        "io": PairIO(),
        "loss": TorchLoss(nn.MSELoss()),
        "optimizer_factory": None,
        "metrics": [TorchMetric("MeanAbsoluteError")],
    }
    return evaluate_checkpoint(DefaultTrainer(), Parts(**parts), RunSettings.of(RUN), checkpoint, split=split)


def test_a_checkpoint_is_judged_on_all_sets_or_on_one_of_them(tmp_path: Path) -> None:
    _, notes = train(tmp_path)
    validated = last_values(notes)
    whole = judged(tmp_path / "last.pt", "val")
    assert whole.values == validated
    assert (whole.batches, whole.samples) == (4, 21)
    one = judged(tmp_path / "last.pt", "noisy")
    assert (one.batches, one.samples) == (2, 10)
    names = ("val_loss", "val_mean_absolute_error")
    assert one.values == {name: validated[f"{name}/noisy"] for name in names}
    with pytest.raises(ConfigError, match="no `nosy` to judge by"):
        judged(tmp_path / "last.pt", "nosy")
