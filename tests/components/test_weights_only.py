"""cb.model_checkpoint with `weights_only`: files for use, from which no run goes on, beside a whole `last.pt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from projects import write
from support import Batches, StopAt, fit, parameters_of, random_batches, same_leaves, small_model

import otrainer
from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.engine.starting.files import look_into, read_weights
from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment
from otrainer.storage.runs.ownership import holds_a_run, is_checkpoint

ADAM = {"type": "optim_cls.AdamW", "kwargs": {"lr": 0.01}}


def train(*callbacks: Any, resume_from: Path | None = None, **trainer: Any) -> torch.nn.Module:
    run = {} if resume_from is None else {"resume_from": str(resume_from)}
    with StopRequest():
        return fit(
            small_model(),
            Batches(random_batches(3), random_batches(1, seed=5)),
            optimizer=ADAM,
            callbacks=callbacks,
            trainer={"max_epochs": 2, **trainer},
            run={"definition": "d", **run},
        )


def files(folder: Path) -> dict[str, bool]:
    """The checkpoints of a folder, and whether a run goes on from each."""
    return {path.name: holds_a_run(path) for path in sorted(folder.glob("*.pt")) if path.name != "previous.pt"}


@pytest.mark.parametrize("background", [False, True])
def test_what_is_kept_has_the_weights_alone_and_the_last_one_is_whole(tmp_path: Path, background: bool) -> None:
    asked: dict[str, Any] = {"monitor": "val_loss", "every_n_epochs": 1, "background": background}
    model = train(ModelCheckpoint(str(tmp_path), **asked, weights_only=True))

    assert files(tmp_path) == {"best.pt": False, "last.pt": True, "step_3.pt": False, "step_6.pt": False}
    alone = load_checkpoint(tmp_path / "step_6.pt", whole=False)
    whole = load_checkpoint(tmp_path / "last.pt")
    assert same_leaves(dict(alone["model"]), dict(model.state_dict()))
    assert alone["train_state"] == whole["train_state"] | {"epoch_complete": alone["train_state"]["epoch_complete"]}
    assert {"optimizer", "rng", "callbacks", "logs"}.isdisjoint(alone)
    sizes = [(tmp_path / name).stat().st_size for name in ("step_6.pt", "last.pt")]
    assert sizes[0] < sizes[1] / 2
    assert is_checkpoint(tmp_path / "step_6.pt")
    assert look_into(str(tmp_path / "best.pt")).keys() == model.state_dict().keys()
    assert same_leaves(dict(read_weights(str(tmp_path / "step_6.pt"))), dict(model.state_dict()))


def test_no_run_goes_on_from_one_and_whoever_tries_is_told(tmp_path: Path) -> None:
    train(ModelCheckpoint(str(tmp_path), every_n_steps=2, weights_only=True))
    with pytest.raises(ConfigError, match="holds weights alone, by `weights_only`") as caught:
        train(resume_from=tmp_path / "step_2.pt")
    assert caught.value.findings[0].title == "weights alone"


@pytest.mark.parametrize("stops", [(2, 3), (3, 4)])
def test_two_stops_leave_the_files_of_an_uninterrupted_run(tmp_path: Path, stops: tuple[int, int]) -> None:
    def saves(folder: Path) -> ModelCheckpoint:
        return ModelCheckpoint(str(folder), monitor="val_loss", every_n_steps=2, top_k=2, weights_only=True)

    train(saves(tmp_path / "whole"))
    broken, resume = tmp_path / "broken", None
    for stop in stops:
        with pytest.raises(TrainingInterrupted):
            train(saves(broken), StopAt(stop), resume_from=resume)
        resume = broken / "last.pt"
    train(saves(broken), resume_from=resume)

    assert files(broken) == files(tmp_path / "whole")
    for name in files(broken):
        one, other = (load_checkpoint(folder / name, whole=False) for folder in (broken, tmp_path / "whole"))
        assert same_leaves(dict(one["model"]), dict(other["model"]))
        assert one["train_state"] == other["train_state"]


def test_what_another_callback_of_the_folder_wants_whole_is_whole(tmp_path: Path) -> None:
    train(
        ModelCheckpoint(str(tmp_path), save_last=False, every_n_steps=2, monitor="val_loss", weights_only=True),
        ModelCheckpoint(str(tmp_path), save_last=False, every_n_steps=4),
    )
    assert files(tmp_path) == {"best.pt": False, "step_2.pt": False, "step_4.pt": True, "step_6.pt": True}
    train(ModelCheckpoint(str(tmp_path / "again")), resume_from=tmp_path / "step_4.pt")


def test_a_run_that_keeps_nothing_else_leaves_nothing_whole_where_it_is_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saves = ModelCheckpoint(str(tmp_path), save_last=False, every_n_epochs=1, weights_only=True)
    with pytest.raises(TrainingInterrupted):
        train(saves, StopAt(5))
    assert files(tmp_path) == {"step_3.pt": False}
    assert "saved" not in caplog.text


def test_averages_are_what_is_kept(tmp_path: Path) -> None:
    model = train(ModelCheckpoint(str(tmp_path), every_n_steps=6, weights_only=True), ema={"decay": 0.5})
    kept = load_checkpoint(tmp_path / "step_6.pt", whole=False)
    whole = load_checkpoint(tmp_path / "last.pt")
    assert same_leaves(dict(kept["model"]), dict(whole["model"]))
    assert not torch.equal(torch.cat([each.reshape(-1) for each in kept["model"].values()]), parameters_of(model))


def test_a_model_is_loaded_of_weights_alone_and_a_run_that_keeps_nothing_else_is_told(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = (
        "{_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints', every_n_steps: 2, weights_only: true}"
    )
    text = f"""
defaults: [baseline.yaml]
run: {{name: small}}
trainer: {{max_epochs: 1, ema: {{decay: 0.5}}}}
data: {{steps_per_epoch: 4}}
callbacks: {{_merge_: replace, _value_: [{saved}]}}
"""
    write(project, "small", text)
    run_experiment("configs/experiments/small.yaml")
    averages = otrainer.load_model("runs/small", checkpoint="step_4")
    assert same_leaves(dict(averages.state_dict()), dict(otrainer.load_model("runs/small").state_dict()))
    with pytest.raises(ConfigError, match="averages of the weights alone"):
        otrainer.load_model("runs/small", checkpoint="step_4", averaged=False)

    write(project, "none", text.replace("weights_only: true", "weights_only: true, save_last: false"))
    caplog.clear()
    run_experiment("configs/experiments/none.yaml")
    assert "a run that is stopped begins anew" in caplog.text
