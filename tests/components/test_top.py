"""The k best checkpoints: which stay, how they are called, and the same files whatever stops the run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support import Batches, StopAt, fit, random_batches, small_model

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.errors import ConfigError

VALUES = [5.0, 3.0, 4.0, float("nan"), 3.0, 1.0, 2.0]
TEMPLATE = "step{global_step:02d}-{val_given:.1f}"


class Given:
    """A metric with a value for each epoch."""

    def __init__(self) -> None:
        self.at = 0

    def compute(self) -> dict[str, float]:
        self.at += 1
        return {"val_given": VALUES[self.at - 1]}


def train(folder: Path, *callbacks: Any, resume: bool = False, background: bool = True, **more: Any) -> ModelCheckpoint:
    asked = {"monitor": "val_given", "top_k": 2, "filename": TEMPLATE, **more}
    top = ModelCheckpoint(str(folder), background=background, **asked)
    run = {"resume_from": str(folder / "last.pt")} if resume else {}
    with StopRequest():
        fit(
            small_model(),
            Batches(random_batches(2), random_batches(1, seed=5)),
            trainer={"max_epochs": len(VALUES)},
            metrics=[Given()],
            callbacks=[*callbacks, top],
            run={"definition": "d", "out_dir": str(folder), **run},
        )
    return top


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pt") if path.name != "previous.pt")


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({}, ["step12-1.0", "step14-2.0"]),
        ({"top_k": 4}, ["step04-3.0", "step10-3.0", "step12-1.0", "step14-2.0"]),
        ({"mode": "max", "top_k": 3}, ["step02-5.0", "step04-3.0", "step06-4.0"]),
        ({"filename": None, "top_k": 1}, ["top-step12"]),
        ({"every_n_epochs": 3, "keep_last": 1}, ["step12-1.0", "step14-2.0", "step_12"]),
    ],
)
def test_the_best_stay_and_no_others(tmp_path: Path, more: Any, kept: list[str], background: bool) -> None:
    """Of equal values the earlier one is better, and what is no number is none of them."""
    top = train(tmp_path, background=background, **more)

    assert files(tmp_path) == sorted(f"{name}.pt" for name in ("best", "last", *kept))
    best = load_checkpoint(tmp_path / "best.pt")["train_state"]["global_step"]
    assert best == (2 if more.get("mode") == "max" else 12)
    assert top._kept.top is not None
    assert load_checkpoint(tmp_path / top._kept.top.names[0])["train_state"]["global_step"] == best


@pytest.mark.parametrize("stop", [3, 4, 9, 11, 12, 13])
def test_two_stops_leave_the_same_files(tmp_path: Path, stop: int) -> None:
    train(tmp_path / "whole")
    for at, resume in ((stop, False), (stop + 1, True)):
        with pytest.raises(TrainingInterrupted):
            train(tmp_path / "cut", StopAt(at), resume=resume)
    train(tmp_path / "cut", StopAt(None), resume=True)

    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    whole, cut = (load_checkpoint(tmp_path / name / "last.pt")["callbacks"][-1] for name in ("whole", "cut"))
    assert cut["state"]["state_dict"]["top"] == whole["state"]["state_dict"]["top"]


def test_a_file_that_was_one_too_many_when_the_run_was_killed_goes_after_the_resume(tmp_path: Path) -> None:
    """The checkpoint that made it so is on the disk, and says so."""
    train(tmp_path)
    state = load_checkpoint(tmp_path / "step12-1.0.pt")["callbacks"][-1]["state"]["state_dict"]
    assert state["over"] == ["step10-3.0.pt"]
    (tmp_path / "step10-3.0.pt").write_bytes((tmp_path / "step14-2.0.pt").read_bytes())
    (tmp_path / "step12-1.0.pt").replace(tmp_path / "last.pt")
    (tmp_path / "step12-1.0.pt").write_bytes((tmp_path / "last.pt").read_bytes())
    train(tmp_path, resume=True)

    assert files(tmp_path) == ["best.pt", "last.pt", "step12-1.0.pt", "step14-2.0.pt"]


def test_two_in_a_folder_remove_nothing_that_the_other_one_keeps(tmp_path: Path) -> None:
    other = ModelCheckpoint(str(tmp_path), monitor="val_given", mode="max", top_k=2, filename=TEMPLATE)
    train(tmp_path, other)

    steps = [name for name in files(tmp_path) if name.startswith("step")]
    assert steps == ["step02-5.0.pt", "step06-4.0.pt", "step12-1.0.pt", "step14-2.0.pt"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"filename": "best-{val_loss:.2f}"}, "filename has `{global_step}` in it"),
        ({"filename": "../{global_step}"}, "filename names a file in `save_dir`"),
        ({"filename": "a/{global_step}"}, "filename names a file in `save_dir`"),
        ({"filename": "{global_step:/>9}"}, "filename names a file in `save_dir`"),
        ({"filename": "step_{global_step}"}, "not as those of steps are called"),
        ({"filename": "{global_step}-{}"}, "a field without a name"),
        ({"filename": "{global_step!r}"}, "a conversion"),
        ({"filename": "{global_step"}, "cannot be filled"),
        ({"filename": "{global_step:zz}"}, "cannot be filled"),
        ({"filename": "{global_step}-{val_loss:d}"}, "cannot be filled"),
        ({"top_k": None}, "filename names the checkpoints of `top_k`"),
        ({"top_k": 0}, "top_k is a whole number"),
        ({"monitor": None}, "top_k is how many of the best by `monitor`"),
        ({"every_n_minutes": 0}, "every_n_minutes is a number above 0"),
        ({"every_n_minutes": 5, "save_last": False}, "every_n_minutes says when `last.pt`"),
    ],
)
def test_a_name_that_would_collide_or_lead_elsewhere_is_refused_as_it_is_built(asked: Any, words: str) -> None:
    with pytest.raises(ValueError, match=r"^(filename|top_k|every_n_minutes) ") as failed:
        ModelCheckpoint("folder", **{"monitor": "val_loss", "top_k": 2, "filename": TEMPLATE, **asked})

    assert words in str(failed.value)


def test_a_field_that_nothing_logs_is_told_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failed:
        train(tmp_path, filename="{global_step}-{val_los}")

    (finding,) = failed.value.findings
    assert "`filename: val_los` names a value that validation did not log" in finding.message
    assert not list(tmp_path.glob("*.pt"))  # before the first step
    assert finding.suggestions[0] == "val_loss"
    assert finding.config_path[-1] == "filename"


def test_by_the_clock_last_is_written_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, steps = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Clock:
        def on_train_step_end(self, ctx: Any) -> None:
            now[0] += 20.0
            last = tmp_path / "last.pt"
            steps.append(load_checkpoint(last)["train_state"]["global_step"] if last.exists() else None)

    timed = ModelCheckpoint(str(tmp_path), every_n_minutes=1, background=False)
    fit(small_model(), Batches(random_batches(8)), callbacks=[Clock(), timed])

    assert steps == [None, None, None, 3, 3, 3, 6, 6]
