"""A run's folder: what parts write there while they are built, what a child has of its parent, what run.json claims."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from incremental.steps import edit, write
from trained import BASE, A, ask, copy, inside, train

from otrainer.engine.trainer import DefaultTrainer
from otrainer.errors import ConfigError
from otrainer.storage.runs.files import foreign_files

OUT = "'${run.out_dir}"
PLUGIN = '''
"""Parts that do as people's own do."""

import os
from pathlib import Path

import torch

from otrainer.components.callbacks import ModelCheckpoint
from otrainer.components.loss import LossOutput
from otrainer.engine.trainer import DefaultTrainer


class Events:
    """A logger that opens its file when it is built, as writers of other packages do."""

    def __init__(self, path, mode="a", fails=False):
        os.makedirs(path, exist_ok=True)
        self.file = open(Path(path) / "events.txt", mode)
        self.file.write("begun\\\\n")
        self.file.flush()
        if fails:
            raise ValueError("no events")

    def log_metrics(self, metrics, *, step, stage):
        self.file.write(f"{step}\\\\n")
        self.file.flush()

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Undefined:
    def compute(self):
        return {"val_nan": float("nan"), "val_inf": float("inf"), "val_whole": 3.5}


class Silent(DefaultTrainer):
    """A loop of somebody's own, which calls no callback and says nothing of itself."""

    def fit(self, *, model, datamodule, run, **parts):
        for batch in datamodule.train_dataloader():
            model(batch["x"])


class Counting(Silent):
    def fit(self, *, run, **parts):
        super().fit(run=run, **parts)
        run.progress.state.global_step = 3


def register(registry):
    registry.register_module("log.events", Events)
    registry.register_module("metric.undefined", Undefined)
    registry.register_module("trainer.silent", Silent)
    registry.register_module("trainer.counting", Counting)
'''


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    folder = copy(original, tmp_path / "project")
    write("extensions/own.py", PLUGIN.replace("\\\\", "\\"))(folder)
    edit(BASE, "[extensions.parts]", "[extensions.parts, extensions.own]")(folder)
    with inside(folder):
        yield folder


def run_of(folder: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads((folder / "run.json").read_text(), parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def with_events(root: Path, more: str = "") -> None:
    edit(BASE, "_value_: []}", f"_value_: [{{_type_: log.events, path: {OUT}/events'{more}}}]}}")(root)


@pytest.mark.parametrize("mode", ["a", "w"])
def test_what_a_part_writes_while_it_is_built_belongs_to_its_run_and_touches_no_earlier_one(
    root: Path, mode: str
) -> None:
    with_events(root, f", mode: {mode}")
    train(root)
    first = (root / "runs/a/events/events.txt").read_text()
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root)
    (kept,) = [folder for folder in (root / "runs/.kept/a").iterdir() if (folder / "events").exists()]
    edit(BASE, "max_epochs: 1", "max_epochs: 2")(root)
    train(root, stages="resolve manifest validate resume")

    assert (kept / "events/events.txt").read_text() == first == "begun\n3\n"
    assert (root / "runs/a/events/events.txt").read_text() == "begun\n6\n"
    for folder in (root / "runs/a", *(root / "runs/.kept/a").iterdir()):
        assert run_of(folder)["state"] == "complete"
        assert foreign_files(folder, run_of(folder)) == []


def test_such_a_part_trains_in_a_folder_that_is_not_there_yet_and_goes_on_there(root: Path) -> None:
    with_events(root)
    edit(A, "name: a", "name: fresh")(root)
    train(root)
    run = run_of(root / "runs/fresh")
    (root / "runs/fresh/run.json").write_text(json.dumps({**run, "state": "interrupted"}))
    train(root, stages="fit")

    assert (root / "runs/fresh/events/events.txt").read_text() == "begun\n3\nbegun\n"
    assert foreign_files(root / "runs/fresh", run_of(root / "runs/fresh")) == []


def test_where_building_fails_the_earlier_run_is_back_and_what_was_written_is_kept(root: Path) -> None:
    before = (root / "runs/a/run.json").read_bytes()
    with_events(root, ", fails: true")
    with pytest.raises(ConfigError, match="no events"):
        train(root)

    assert (root / "runs/a/run.json").read_bytes() == before
    (attempt,) = (root / "runs/.kept/a").iterdir()
    assert run_of(attempt)["state"] == "failed"
    assert (attempt / "events/events.txt").read_text() == "begun\n"
    edit(A, "name: a", "name: fresh")(root)
    with pytest.raises(ConfigError, match="no events"):
        train(root)
    edit(BASE, ", fails: true", "")(root)
    train(root)
    assert run_of(root / "runs/fresh")["state"] == "complete"


def test_a_child_goes_on_in_the_rows_of_its_parent_and_keeps_its_values(root: Path) -> None:
    rows = f"[{{_type_: log.json_lines, path: {OUT}/metrics.jsonl'}}]"
    edit(BASE, "_value_: []}", f"_value_: {rows}}}")(root)
    edit(BASE, "log_every_n_steps: 100", "log_every_n_steps: 1")(root)
    edit(BASE, "loss: {", "metrics: [{_type_: metric.undefined}]\nloss: {")(root)
    write("extensions/parts.py", (root / "extensions/parts.py").read_text().replace(
        "        return []", '        return [{"x": torch.ones(2, 4), "y": torch.zeros(2, 4)}]'
    ))(root)  # fmt: skip
    train(root)
    parent = run_of(root / "runs/a")
    assert parent["metrics"].keys() == {"val_loss", "val_nan", "val_inf", "val_whole"}
    assert (parent["metrics"]["val_nan"], parent["metrics"]["val_inf"], parent["metrics_step"]) == (None, None, 3)
    assert "val_nan not finite" in ask("runs", root).report or "val_loss" in ask("runs", root).report
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root, stages="resolve manifest validate resume")
    child = run_of(root / "runs/a")
    assert (child["lineage"]["parent"], child["global_step"]) == (parent["definition"], 3)
    assert (child["metrics"], child["metrics_step"]) == (parent["metrics"], 3)
    edit(BASE, "max_epochs: 1", "max_epochs: 2")(root)
    train(root, stages="resolve manifest validate resume")

    written = [json.loads(line) for line in (root / "runs/a/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in written if row["stage"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in written if row["stage"] == "val"] == [3, 6]
    assert math.isclose(run_of(root / "runs/a")["metrics"]["val_loss"], written[-1]["val_loss"])


def test_values_of_an_older_step_say_of_which(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("extensions/parts.py", (root / "extensions/parts.py").read_text().replace(
        "        return []", '        return [{"x": torch.ones(2, 4), "y": torch.zeros(2, 4)}]'
    ))(root)  # fmt: skip
    edit(BASE, "max_epochs: 1", "max_epochs: 3, val_every_n_epochs: 2")(root)
    from otrainer.experiment import run_experiment

    result = run_experiment(root / A)

    assert "\n  on validation data after step 6: loss " in result.summary
    assert (run_of(root / "runs/a")["metrics_step"], result.global_step) == (6, 9)


@pytest.mark.parametrize(("trainer", "steps"), [("silent", None), ("counting", 3)])
def test_a_trainer_that_says_nothing_has_nothing_claimed_of_it(root: Path, trainer: str, steps: int | None) -> None:
    from otrainer.experiment import run_experiment

    edit(BASE, "trainer: {", f"trainer: {{_type_: trainer.{trainer}, ")(root)
    result = run_experiment(root / A)

    assert (result.global_step, run_of(root / "runs/a")["global_step"]) == (steps, steps)
    assert ("how many steps were trained its trainer did not tell" in result.summary) == (steps is None)
    assert "  weights: not saved (no cb.model_checkpoint wrote any)" in result.summary
    assert isinstance(ask("runs", root).report, str)


def test_a_run_that_nothing_saves_says_so_before_it_trains(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(BASE, "loggers: {", "callbacks: []\nloggers: {")(root)
    train(root)

    assert caplog.messages[0].startswith(
        "callbacks: there is no cb.model_checkpoint, so nothing saves what is trained. "
    )


def test_a_child_that_was_killed_before_it_saved_goes_on_from_its_parent(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit  # nothing of ours runs after a kill

    edit(BASE, "max_epochs: 1", "max_epochs: 2")(root)
    parent = run_of(root / "runs/a")
    with monkeypatch.context() as patch:
        patch.setattr(DefaultTrainer, "fit", killed)
        patch.setattr("otrainer.stages.fit.run_directory.RunDirectory._put_back", lambda *_: None)
        with pytest.raises(ConfigError):
            train(root, stages="resolve manifest validate resume")
    left = run_of(root / "runs/a")
    assert (left["outputs"], left["lineage"]["parent"]) == ({}, parent["definition"])
    assert "It continues from step 3." in ask("why", root, "a").report
    train(root, stages="fit")

    child = run_of(root / "runs/a")
    assert (child["state"], child["global_step"], child["lineage"]["global_step"]) == ("complete", 6, 3)


def test_a_save_looks_at_what_it_wrote_however_many_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from otrainer.storage.runs import ownership

    def count(path: Path) -> str:
        looked.append(path.name)
        return whole(path)

    looked: list[str] = []
    whole = ownership.checksum
    saving = f"{{_type_: cb.model_checkpoint, save_dir: {OUT}/checkpoints', every_n_steps: 1, keep_last: null}}"
    edit(BASE, "loggers: {", f"callbacks: {{_merge_: replace, _value_: [{saving}]}}\nloggers: {{")(root)
    edit(BASE, "max_epochs: 1", "max_epochs: 20")(root)
    train(root, stages="resolve manifest validate")
    monkeypatch.setattr(ownership, "checksum", count)
    train(root, stages="fit")

    saves, kept = 60 + 20 + 1, 61  # by steps, by epochs and at the end; 60 steps and the last one
    assert len(run_of(root / "runs/a")["outputs"]) == kept
    assert 2 * 60 < len(looked) <= 2 * saves + kept


def test_a_run_that_was_killed_before_it_noted_its_last_save_lists_it_once_it_has_gone_on(root: Path) -> None:
    saving = f"cb.model_checkpoint, save_dir: {OUT}/checkpoints', every_n_steps: 3"
    with (root / BASE).open("a") as file:
        file.write(f"callbacks: {{_merge_: replace, _value_: [{{_type_: {saving}}}]}}\n")
    train(root)
    path = root / "runs/a/run.json"
    whole = json.loads(path.read_text())
    noted = {"checkpoints/last.pt": whole["outputs"]["checkpoints/last.pt"]}
    killed = {"state": "running", "ended": None, "outputs": noted, "files": ["checkpoints/last.pt", "run.json"]}
    path.write_text(json.dumps({**whole, **killed}))
    train(root)
    run = json.loads(path.read_text())

    assert {"checkpoints/step_3.pt", "checkpoints/last.pt"} == set(run["outputs"])
    assert [run[name] for name in ("state", "files")] == [whole[name] for name in ("state", "files")]
