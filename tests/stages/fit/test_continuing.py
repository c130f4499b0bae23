"""Runs that go on: interrupted, under another config, refused, and from damaged checkpoints, by real calls of doit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from projects import weights, write
from warm import doit

import otrainer


def test_an_interrupted_run_continues_to_the_weights_of_an_uninterrupted_one(project: Path) -> None:
    """`doit train` is sent SIGINT mid-epoch, then continued; the weights are those of a run in one go."""
    long = "defaults: [baseline.yaml]\ntrainer: {max_epochs: 4}\ndata: {steps_per_epoch: 200}\n"
    write(project, "broken", f"{long}run: {{name: broken}}\n")
    write(project, "whole", f"{long}run: {{name: whole}}\n")
    assert doit(project, "train", "EXP=whole").returncode == 0

    command = [sys.executable, "-m", "doit", "train", "EXP=broken"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("step    410 "))
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 130
    interrupted = json.loads((project / "runs/broken/run.json").read_text())
    assert (interrupted["state"], 410 <= interrupted["global_step"] < 800) == ("interrupted", True)

    continued = doit(project, "resume")
    assert continued.returncode == 0, continued.stderr
    assert "broken: continuing from runs/broken/checkpoints/last.pt" in continued.stdout
    whole = weights("runs/whole")
    assert all(torch.equal(whole[key], value) for key, value in weights("runs/broken").items())


def test_resume_with_more_epochs_trains_a_child_and_keeps_its_parent(project: Path) -> None:
    assert doit(project, "train", "EXP=baseline").returncode == 0
    path = project / "configs/experiments/baseline.yaml"
    path.write_text(path.read_text() + "trainer: {max_epochs: 3}\n")
    result = doit(project, "resume", "EXP=baseline")

    assert result.returncode == 0, result.stderr
    differs = "Differs from the checkpoint: `trainer.max_epochs` was 2, is 3 (configs/experiments/baseline.yaml:9)."
    assert f".  resume:baseline\n   {differs}\n" in result.stdout
    child = json.loads((project / "runs/baseline/run.json").read_text())
    (kept,) = (project / "runs/.kept/baseline").iterdir()
    parent = json.loads((kept / "run.json").read_text())
    assert (child["global_step"], parent["global_step"]) == (60, 40)
    assert child["lineage"] == {"parent": parent["definition"], "global_step": 40, "before": {}}
    assert f"continued from {parent['definition'][:8]} at step 40" in result.stdout
    assert next(line for line in result.stdout.splitlines() if line.startswith("step")).startswith("step     50")
    assert doit(project, "resume", "EXP=baseline").stdout.count(".  ") == 0


def test_a_run_can_name_its_own_last_checkpoint_to_go_on_from(project: Path) -> None:
    """The content of that file changes while training goes on, and yet a second call trains nothing."""
    assert doit(project, "train", "EXP=baseline").returncode == 0
    own = "run: {name: baseline, resume_from: runs/baseline/checkpoints/last.pt}\ntrainer: {max_epochs: 3}\n"
    write(project, "longer", f"defaults: [baseline.yaml]\n{own}")
    longer = doit(project, "train", "EXP=longer")

    assert longer.returncode == 0, longer.stderr
    assert json.loads((project / "runs/baseline/run.json").read_text())["global_step"] == 60
    assert doit(project, "train", "EXP=longer").stdout.count(".  ") == 0


def test_a_refused_resume_leaves_the_run_to_be_resumed_as_it_was(project: Path) -> None:
    path = project / "configs/experiments/sgd_step_lr.yaml"
    before = path.read_text()
    assert doit(project, "train", "EXP=sgd_step_lr").returncode == 0
    kept = weights("runs/sgd_step_lr")
    path.write_text(before.replace("step_size: 1", "step_size: 2") + "trainer: {max_epochs: 3}\n")
    refused = doit(project, "resume", "EXP=sgd_step_lr")

    assert refused.returncode == 1
    assert "scheduler does not match the checkpoint ── configs/experiments/sgd_step_lr.yaml" in refused.stderr
    assert all(torch.equal(kept[key], value) for key, value in weights("runs/sgd_step_lr").items())
    path.write_text(before + "trainer: {max_epochs: 3}\n")
    resumed = doit(project, "resume", "EXP=sgd_step_lr")
    assert (resumed.returncode, "3 epochs, 60 steps" in resumed.stdout) == (0, True)


@pytest.mark.parametrize(
    ("epochs", "change", "words"),
    [
        (
            3,
            "model: {sequential: {layers: [{_type_: mlp, dims: [null, 8, 16]}]}}",
            "model does not match the checkpoint",
        ),
        (1, "", "nothing left to train"),
    ],
)
def test_what_cannot_fit_is_refused_before_anything_is_touched(
    project: Path, epochs: int, change: str, words: str
) -> None:
    """The difference is told first, and not a file of the run changes, nor is one moved."""
    text = "defaults: [baseline.yaml]\nrun: {name: parent}\ntrainer: {max_epochs: 2}\n"
    write(project, "parent", text)
    assert doit(project, "train", "EXP=parent").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (project / "runs/parent").rglob("*")}
    write(project, "parent", f"{text.replace('2}', f'{epochs}}}')}{change}\n")
    refused = doit(project, "resume", "EXP=parent")

    assert refused.returncode == 1
    assert f"{words} ── " in refused.stderr
    assert f"`trainer.max_epochs` was 2, is {epochs}" in refused.stdout
    assert {path: path.stat().st_mtime_ns for path in (project / "runs/parent").rglob("*")} == before
    assert not (project / "runs/.kept").exists()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it may be linked under other names
    path.write_bytes(content)


def test_a_damaged_last_checkpoint_is_named_and_the_one_before_it_is_used(project: Path) -> None:
    long = "defaults: [baseline.yaml]\nrun: {name: broken}\ntrainer: {max_epochs: 2}\n"
    write(project, "whole", long.replace("broken", "whole"))
    write(project, "broken", long)
    assert doit(project, "train", "EXP=whole,broken").returncode == 0
    folder = project / "runs/broken/checkpoints"
    run = json.loads((project / "runs/broken/run.json").read_text())
    (project / "runs/broken/run.json").write_text(json.dumps({**run, "state": "interrupted"}))
    for name, step in (("last", 20), ("previous", 20)):
        (folder / f"{name}.pt").unlink()
        os.link(folder / f"step_{step + 10 * (name == 'last')}.pt", folder / f"{name}.pt")
    flip(folder / "last.pt")
    continued = doit(project, "train", "EXP=broken")

    assert continued.returncode == 0, continued.stderr
    said = "broken: warning: `runs/broken/checkpoints/last.pt` is damaged ("
    assert said in continued.stdout
    assert "kept as `runs/broken/checkpoints/damaged.pt`; the one before it takes its place." in continued.stdout
    assert "continuing from runs/broken/checkpoints/last.pt, step 20" in continued.stdout
    whole = weights("runs/whole")
    assert all(torch.equal(whole[key], value) for key, value in weights("runs/broken").items())


def test_where_no_checkpoint_is_whole_training_does_not_begin_anew(project: Path) -> None:
    write(project, "broken", "defaults: [baseline.yaml]\nrun: {name: broken}\n")
    assert doit(project, "train", "EXP=broken").returncode == 0
    run = json.loads((project / "runs/broken/run.json").read_text())
    (project / "runs/broken/run.json").write_text(json.dumps({**run, "state": "interrupted"}))
    for path in (project / "runs/broken/checkpoints").iterdir():
        flip(path)
    refused = doit(project, "train", "EXP=broken")

    assert refused.returncode == 1
    assert "damaged checkpoint" in refused.stderr
    assert "last.pt` is damaged: the bytes of `archive/data/" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (project / "runs/broken/checkpoints/step_40.pt").is_file()


STEPS_ONLY = """
defaults: [baseline.yaml]
imports: [extensions.stop]
run: {name: steps}
trainer: {max_epochs: 3}
callbacks:
  _merge_: replace
  _value_:
    - {_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/kept', save_last: false, every_n_steps: 7}
    - {_type_: cb.stop, step: 25}
"""
STOP = """
import os, signal
from pathlib import Path

class Stop:
    def __init__(self, step):
        self.step = step
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == self.step and not Path("stopped").exists():
            Path("stopped").touch()
            os.kill(os.getpid(), signal.SIGTERM)

def register(registry):
    registry.register_module("cb.stop", Stop)
"""


def test_a_run_that_keeps_steps_alone_goes_on_from_the_newest_whole_one(project: Path) -> None:
    (project / "extensions/stop.py").write_text(STOP)
    write(project, "steps", STEPS_ONLY)
    stopped = doit(project, "train", "EXP=steps")
    assert stopped.returncode == 143
    assert "checkpoint of step 25 saved: runs/steps/kept/step_25.pt" in stopped.stderr
    flip(project / "runs/steps/kept/step_25.pt")
    run = json.loads((project / "runs/steps/run.json").read_text())
    listed = {name: mark for name, mark in run["outputs"].items() if "21" not in name}  # as a kill leaves it
    (project / "runs/steps/run.json").write_text(json.dumps({**run, "outputs": listed}))
    (project / "runs/steps/kept/step_25.pt").rename(project / "runs/steps/kept/step_24.pt")
    continued = doit(project, "train", "EXP=steps")

    assert continued.returncode == 0, continued.stderr
    assert "   It was interrupted. It continues from step 24.\n" in continued.stdout
    assert "`runs/steps/kept/step_24.pt` is damaged (" in continued.stdout
    assert "kept as `runs/steps/kept/damaged.pt`; the newest whole one takes its place." in continued.stdout
    assert "steps: continuing from runs/steps/kept/step_21.pt, step 21" in continued.stdout
    assert "  weights: runs/steps/kept/step_60.pt\n" in continued.stdout
    write(project, "whole", STEPS_ONLY.replace("name: steps", "name: whole").replace("step: 25", "step: 0"))
    assert doit(project, "train", "EXP=whole").returncode == 0
    whole = torch.load(project / "runs/whole/kept/step_60.pt", weights_only=True)["model"]
    ours = torch.load(project / "runs/steps/kept/step_60.pt", weights_only=True)["model"]
    assert all(torch.equal(whole[key], value) for key, value in ours.items())
    write(project, "steps", STEPS_ONLY.replace("max_epochs: 3", "max_epochs: 4"))
    resumed = doit(project, "resume", "EXP=steps")
    assert "/kept/step_60.pt, step 60" in resumed.stdout
    assert resumed.returncode == 0, resumed.stderr


def test_a_child_has_the_best_checkpoint_of_its_parent_where_none_is_better(project: Path) -> None:
    text = """
defaults: [baseline.yaml]
imports: [extensions.worse]
run: {name: best}
trainer: {max_epochs: 2}
metrics: [{_type_: metric.worse}]
callbacks:
  _merge_: replace
  _value_: [{_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints', monitor: val_worse}]
"""
    plugin = """
class Worse:
    def __init__(self):
        self.epoch = 0
    def compute(self):
        self.epoch += 1
        return {"val_worse": float(self.epoch)}

def register(registry):
    registry.register_module("metric.worse", Worse)
"""
    (project / "extensions/worse.py").write_text(plugin)
    write(project, "best", text)
    assert doit(project, "train", "EXP=best").returncode == 0
    write(project, "best", text.replace("max_epochs: 2", "max_epochs: 3"))
    resumed = doit(project, "resume", "EXP=best")

    assert resumed.returncode == 0, resumed.stderr
    assert "  weights: runs/best/checkpoints/best.pt, runs/best/checkpoints/last.pt\n" in resumed.stdout
    (kept,) = (project / "runs/.kept/best").iterdir()
    assert (project / "runs/best/checkpoints/best.pt").samefile(kept / "checkpoints/best.pt")
    best = torch.load(project / "runs/best/checkpoints/best.pt", weights_only=True)
    assert best["train_state"]["global_step"] == 20
    loaded = otrainer.load_model(project / "runs/best", checkpoint="best").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in best["model"].items())
    assert doit(project, "resume", "EXP=best").stdout.count(".  ") == 0


def test_an_interruption_without_a_checkpoint_says_that_nothing_was_saved(project: Path) -> None:
    long = "defaults: [baseline.yaml]\nrun: {name: unsaved}\ncallbacks: []\ndata: {steps_per_epoch: 100000}\n"
    write(project, "unsaved", long)
    command = [sys.executable, "-m", "doit", "train", "EXP=unsaved"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("step     30 "))
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()

    assert process.returncode == 143
    assert "stopped by SIGTERM; no checkpoint was saved, so there is nothing to continue from" in said


KILLS = '''
import os, signal
from pathlib import Path


class Kills:
    """Ends the process as the kernel does, at a step, as long as somebody wants that."""

    def on_train_step_end(self, ctx):
        if ctx.state.global_step == 7 and Path("wanted").exists():
            os.kill(os.getpid(), signal.SIGKILL)


def register(registry):
    registry.register_module("cb.kills", Kills)
'''


def test_rows_of_an_attempt_that_saved_nothing_go_from_a_file_that_others_share(project: Path) -> None:
    (project / "extensions/kills.py").write_text(KILLS)
    config = """
        defaults: [baseline.yaml]
        imports: [extensions.kills]
        run: {name: NAME, seed: SEED}
        trainer: {max_epochs: 1, log_every_n_steps: 1}
        data: {steps_per_epoch: 10, val_steps_per_epoch: 1}
        callbacks: {_merge_: append, _value_: [{_type_: cb.kills}]}
        loggers: {_merge_: replace, _value_: [{_type_: log.json_lines, path: logs/all.jsonl}]}
    """.replace("        ", "")

    def train(name: str, *, seed: int, killed: bool = False) -> None:
        write(project, name, config.replace("NAME", name).replace("SEED", str(seed)))
        (project / "wanted").touch() if killed else (project / "wanted").unlink(missing_ok=True)
        assert (doit(project, "train", f"EXP={name}").returncode == 0) != killed

    def steps() -> list[tuple[str, int]]:
        rows = map(json.loads, filter(str.strip, (project / "logs/all.jsonl").read_text().splitlines()))
        return [(row["run"], row["step"]) for row in rows if row["stage"] == "train"]

    ten = range(1, 11)
    train("mine", seed=1)
    train("mine", seed=2, killed=True)
    train("other", seed=1)
    train("mine", seed=2, killed=True)
    train("mine", seed=2)

    mine, other = [("runs/mine", step) for step in ten], [("runs/other", step) for step in ten]
    assert steps() == [*mine, *other, *mine]


FAILS = """
from pathlib import Path


class Fails:
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == 3 and Path("wanted").exists():
            raise RuntimeError("wanted")


def register(registry):
    registry.register_module("cb.fails", Fails)
"""


def test_rows_of_an_attempt_that_failed_go_from_a_shared_file_as_the_earlier_run_has_its_place_again(
    project: Path,
) -> None:
    """They would say that they are of the run which is back; its own rows and those of others stay."""
    (project / "extensions/fails.py").write_text(FAILS)
    config = """
        defaults: [baseline.yaml]
        imports: [extensions.fails]
        run: {name: NAME, seed: SEED}
        trainer: {max_epochs: 1, log_every_n_steps: 1}
        data: {steps_per_epoch: 4, val_steps_per_epoch: 1}
        callbacks: {_merge_: replace, _value_: [{_type_: cb.fails}]}
        loggers: {_merge_: replace, _value_: [{_type_: log.json_lines, path: logs/all.jsonl}]}
    """.replace("        ", "")

    def train(name: str, *, seed: int, fails: bool = False) -> str:
        write(project, name, config.replace("NAME", name).replace("SEED", str(seed)))
        (project / "wanted").touch() if fails else (project / "wanted").unlink(missing_ok=True)
        done = doit(project, "train", f"EXP={name}")
        assert (done.returncode == 0) != fails
        return done.stdout

    train("mine", seed=1)
    train("other", seed=1)
    before = (project / "logs/all.jsonl").read_text()
    said = train("mine", seed=2, fails=True)

    assert "nothing was saved; the earlier run is back in runs/mine" in said
    assert (project / "logs/all.jsonl").read_text().rstrip() == before.rstrip()
    assert (project / "logs/all.jsonl").read_text().startswith(before)
    train("mine", seed=2)
    rows = map(json.loads, filter(str.strip, (project / "logs/all.jsonl").read_text().splitlines()))
    names = [(row["run"], row["step"]) for row in rows if row["stage"] == "train"]
    assert names == [(f"runs/{name}", step) for name in ("mine", "other", "mine") for step in range(1, 5)]
