"""run_experiment trains what the YAML says, in this process, and keeps the run directory in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import otrainer
from otrainer.errors import ConfigError, draw_error
from otrainer.experiment import run_experiment

EVERYTHING = """
from dataclasses import dataclass, field

import torch

from otrainer.components.io import ArgsKwargs
from otrainer.components.loss import LossOutput
from otrainer.components.sched import SchedulerBundle
from otrainer.deps.model_constructor import validate_kwargs

calls = []


@dataclass
class Data:
    steps: int = 3

    def setup(self, stage=None):
        calls.append("setup")

    def train_dataloader(self):
        for _ in range(self.steps):
            x = torch.randn(4, 32)
            yield [x, {"target": x[:, :16]}]

    def val_dataloader(self):
        yield from self.train_dataloader()


class Split:
    def split(self, batch, *, stage):
        calls.append(f"split {stage}")
        return ArgsKwargs(kwargs={"x": batch[0]}), batch[1], {"stage": stage}


@dataclass
class Absolute:
    weight: float = 1.0

    def __call__(self, *, outputs, targets, batch, stage):
        error = (outputs - targets["target"]).abs().mean()
        return LossOutput(loss=self.weight * error, logs={"error": error})


@dataclass
class BiasApart:
    type: str
    args: list | None = None
    kwargs: dict | None = None

    def build(self, model, *, registry):
        entry, kwargs = registry.get_module(self.type), dict(self.kwargs or {})
        path = ("optimizer", "kwargs")
        validate_kwargs(entry.target, kwargs=kwargs, policy=entry.signature_policy, config_path=path)
        groups = {True: [], False: []}
        for name, parameter in model.named_parameters():
            groups["bias" in name].append(parameter)
        return entry.target([{"params": groups[False]}, {"params": groups[True], "weight_decay": 0.0}], **kwargs)


@dataclass
class Warmup:
    type: str
    steps: int = 4
    interval: str = "step"

    def build(self, optimizer, *, registry):
        scheduler = registry.get_module(self.type).target(optimizer, lambda step: min(1.0, (step + 1) / self.steps))
        return SchedulerBundle(scheduler=scheduler, interval=self.interval)


class Largest:
    def __init__(self):
        self.value = 0.0

    def update(self, *, outputs, targets, batch, stage):
        self.value = max(self.value, float(outputs.abs().max()))

    def compute(self):
        return {"largest": self.value}

    def reset(self):
        self.value = 0.0


class Order:
    def on_fit_start(self, ctx):
        calls.append("fit start")

    def on_epoch_end(self, ctx):
        groups = len(ctx.optimizer.param_groups)
        calls.append(f"epoch {ctx.state.epoch} error {'error' in ctx.last_train_logs} groups {groups}")

    def on_fit_end(self, ctx):
        calls.append("fit end")


class Rows:
    def log_metrics(self, metrics, *, step, stage):
        calls.append(f"{stage} {step} {','.join(metrics)}")

    def close(self):
        calls.append("closed")


@dataclass
class Outer:
    max_epochs: int = 1

    def fit(self, **parts):
        calls.append(f"outer {parts['run']['name']}")
        inner = parts["registry"].get_module("trainer.default").target
        inner(max_epochs=self.max_epochs, log_every_n_steps=2).fit(**parts)


def register(registry):
    for key, part in {
        "data.mine": Data, "io.mine": Split, "loss.mine": Absolute, "optim_factory.mine": BiasApart,
        "sched_factory.mine": Warmup, "metric.mine": Largest, "cb.mine": Order, "log.mine": Rows, "trainer.mine": Outer,
        "sched_cls.LambdaLR": torch.optim.lr_scheduler.LambdaLR,
    }.items():
        registry.register_module(key, part, signature_policy="strict", tags=("mine",))
"""

ALL_MINE = """
defaults: [CONFIGS/base/runtime.yaml, CONFIGS/models/sequential_mlp.yaml]
imports: [extensions.everything]
run: {name: mine}
trainer: {_merge_: replace, _value_: {_type_: trainer.mine, max_epochs: 2}}
data: {_merge_: replace, _value_: {_type_: data.mine}}
io: {_merge_: replace, _value_: {_type_: io.mine}}
loss: {_merge_: replace, _value_: {_type_: loss.mine, weight: 2.0}}
optimizer:
  _merge_: replace
  _value_: {_type_: optim_factory.mine, type: optim_cls.AdamW, kwargs: {lr: 1.0e-3}}
scheduler: {_type_: sched_factory.mine, type: sched_cls.LambdaLR}
metrics: [{_type_: metric.mine}]
callbacks: [{_type_: cb.mine}]
loggers: [{_type_: log.mine}]
"""


def write(project: Path, name: str, text: str) -> str:
    path = project / "configs/experiments" / f"{name}.yaml"
    path.write_text(text.replace("CONFIGS", "..").lstrip())
    return str(path)


def weights(run: str) -> dict[str, torch.Tensor]:
    return torch.load(Path(run) / "checkpoints/last.pt", weights_only=True)["model"]


@pytest.mark.parametrize("name", ["baseline", "custom_plugin", "sgd_step_lr"])
def test_the_shipped_experiments_train(project: Path, name: str) -> None:
    result = run_experiment(f"configs/experiments/{name}.yaml")

    assert (result.run_dir, result.global_step) == (project / "runs" / name, 40)
    assert json.loads((result.run_dir / "run.json").read_text())["state"] == "complete"
    assert (result.run_dir / "checkpoints/last.pt").is_file()


def test_each_of_the_nine_parts_can_be_the_users_own(project: Path) -> None:
    (project / "extensions/everything.py").write_text(EVERYTHING)
    result = run_experiment(write(project, "mine", ALL_MINE))

    calls = sys.modules["extensions.everything"].calls
    assert calls == [
        "outer mine",
        "setup",
        "split train",
        "fit start",
        "split train",
        "split train",
        "train 2 loss,error,lr",
        "split train",
        *["split val"] * 3,
        "val 3 val_loss,val_error,largest",
        "epoch 0 error True groups 2",
        "split train",
        "train 4 loss,error,lr",
        *["split train"] * 2,
        "train 6 loss,error,lr",
        *["split val"] * 3,
        "val 6 val_loss,val_error,largest",
        "epoch 1 error True groups 2",
        "fit end",
        "closed",
    ]
    assert result.global_step == 6
    assert "not saved" in result.summary


def test_an_experiment_may_lie_anywhere_and_its_paths_start_from_the_project(
    project: Path, tmp_path_factory: Any
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "far.yaml"
    elsewhere.write_text(f"defaults: [{project}/configs/experiments/baseline.yaml]\nrun: {{name: far}}\n")

    assert run_experiment(elsewhere).run_dir == project / "runs/far"


def test_a_trained_model_comes_back_in_eval_mode(project: Path) -> None:
    run_experiment("configs/experiments/baseline.yaml")
    model = otrainer.load_model("runs/baseline")
    x = torch.randn(3, 32)

    assert not any(module.training for module in model.modules())
    assert torch.equal(model(x), model(x=x))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in weights("runs/baseline").items())
    earlier = otrainer.load_model("runs/baseline", checkpoint="step_10")
    assert not torch.equal(earlier(x), model(x))


def test_a_model_that_is_not_there_is_told(project: Path) -> None:
    run_experiment("configs/experiments/baseline.yaml")
    with pytest.raises(ConfigError, match=r"`runs/base` is not a run") as error:
        otrainer.load_model("runs/base")
    assert error.value.findings[0].hint == "Runs in `runs` are baseline."
    with pytest.raises(ConfigError, match=r"has no checkpoint `best\.pt`"):
        otrainer.load_model("runs/baseline", checkpoint="best")


def test_training_again_keeps_the_earlier_run(project: Path) -> None:
    run_experiment("configs/experiments/baseline.yaml")
    before = weights("runs/baseline")
    (project / "runs/baseline/mark").touch()
    run_experiment("configs/experiments/baseline.yaml")

    kept = list((project / "runs/.kept/baseline").iterdir())
    assert [(run / "mark").exists() for run in kept] == [True]
    assert not (project / "runs/baseline/mark").exists()
    assert all(torch.equal(before[key], value) for key, value in weights("runs/baseline").items())


def test_a_folder_that_is_no_run_is_not_touched(project: Path) -> None:
    (project / "runs/baseline").mkdir(parents=True)
    (project / "runs/baseline/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="Nothing in it is touched"):
        run_experiment("configs/experiments/baseline.yaml")

    assert [path.name for path in (project / "runs/baseline").iterdir()] == ["thesis.txt"]


def test_what_fails_before_training_leaves_the_run_directory_as_it_was(project: Path) -> None:
    run_experiment("configs/experiments/baseline.yaml")
    before = {path: path.stat().st_mtime_ns for path in (project / "runs/baseline").rglob("*")}
    (project / "extensions/failing.py").write_text(
        "def make():\n    raise OSError('no data today')\n"
        "def register(registry):\n    registry.register_module('data.failing', make)\n"
    )
    text = "defaults: [baseline.yaml]\nimports: [extensions.failing]\n"
    text += "data: {_merge_: replace, _value_: {_type_: data.failing}}\n"
    with pytest.raises(ConfigError, match="no data today"):
        run_experiment(write(project, "failing", text))

    assert {path: path.stat().st_mtime_ns for path in (project / "runs/baseline").rglob("*")} == before


def test_resume_from_continues_another_runs_checkpoint(project: Path) -> None:
    run_experiment("configs/experiments/baseline.yaml")
    longer = "defaults: [baseline.yaml]\ntrainer: {max_epochs: 4}\n"
    whole = run_experiment(write(project, "whole", longer + "run: {name: whole}\n"))
    resumed = "run: {name: resumed, resume_from: runs/baseline/checkpoints/last.pt}\n"
    result = run_experiment(write(project, "resumed", longer + resumed))

    assert result.global_step == whole.global_step == 80
    theirs = weights("runs/whole")
    assert all(torch.equal(theirs[key], value) for key, value in weights("runs/resumed").items())


def test_mistakes_of_every_kind_come_together_with_their_lines_and_the_nearest_names(project: Path) -> None:
    text = """\
        defaults: [baseline.yaml]
        run: {name: broken, sede: 1}
        schduler: {}
        trainer: {max_epoch: 3}
        data: {_type_: data.random_regresion}
        loss: {fn: {_type_: nn.MSELos}}
        optimizer: {kwargs: {lrr: 1.0e-2}}
        io: {targets: {y: ['${run.nmae}']}}
        model:
          _merge_: replace
          _value_:
            graph:
              inputs: [x]
              modules: {fc: {_type_: nn.Linear, in_features: 32, out_feature: 16}}
              nodes: [{name: a, call: op:ad, args: [$x, 1], out: h}, {name: b, call: module:fc, args: [$hh], out: z}]
              outputs: [$z]
        """
    path = write(project, "broken", text.replace("\n        ", "\n").strip() + "\n")
    result = doit(project, "validate", f"EXP={path}")
    places = {
        (line.partition(" ── ")[0], int(line.split(":")[1])) for line in result.stderr.splitlines() if " ── " in line
    }

    assert result.returncode == 1
    assert {line for _, line in places} == {2, 3, 4, 5, 6, 7, 8, 14, 15}
    for name in ("seed", "scheduler", "max_epochs", "data.random_regression", "nn.MSELoss", "lr", "run.name"):
        assert f"Did you mean `{name}`" in result.stderr, name
    for name in ("out_features", "op:add", "h"):
        assert f"`{name}`" in result.stderr, name
    assert "Traceback" not in result.stderr + result.stdout


def doit(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environ}
    command = [sys.executable, "-m", "doit", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


def test_every_process_and_both_doors_come_to_the_same_bytes_and_weights(project: Path) -> None:
    results = []
    for seed in ("1", "2"):
        shutil.rmtree(project / "build", ignore_errors=True)
        shutil.rmtree(project / "runs", ignore_errors=True)
        assert doit(project, "train", "EXP=baseline", PYTHONHASHSEED=seed).returncode == 0
        artifacts = {
            path.name: path.read_bytes()
            for path in (project / "build/baseline").glob("*.json")
            if "record" not in path.name
        }
        results.append((artifacts, weights("runs/baseline")))
    torch.set_num_threads(1)
    run_experiment("configs/experiments/baseline.yaml")
    here = weights("runs/baseline")

    assert {"resolved.json", "sources.json", "plugins.json", "manifest.json", "validated.json"} <= set(results[0][0])
    assert results[0][0] == results[1][0]
    for _, theirs in results:
        assert all(torch.equal(theirs[key], value) for key, value in here.items())


def test_a_mistake_is_drawn_at_its_place(project: Path) -> None:
    path = write(project, "typo", "defaults: [baseline.yaml]\nrun: {name: typo, device: cdua}\n")
    with pytest.raises(ConfigError) as error:
        run_experiment(path)

    assert draw_error(error.value) == (
        "unknown device ── configs/experiments/typo.yaml:2:27\n"
        "  1 | defaults: [baseline.yaml]\n"
        "  2 | run: {name: typo, device: cdua}\n"
        "    |                           ^^^^\n"
        "  `cdua` is not a device that torch knows. Did you mean `cuda`?\n"
        "  Write `cpu`, `cuda` or `cuda:1`."
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_without_cuda_is_found_by_validation(project: Path) -> None:
    path = write(project, "cuda", "defaults: [baseline.yaml]\nrun: {name: cuda, device: cuda}\n")
    with pytest.raises(ConfigError, match="this machine has no such device"):
        run_experiment(path)

    assert not (project / "runs/cuda").exists()


def test_the_content_of_declared_data_decides_whether_training_is_due(project: Path) -> None:
    """A touched file changes nothing, other bytes in it train again, and a missing one is told."""
    import numpy as np

    def save(seed: int) -> None:
        generator = np.random.default_rng(seed)
        x = generator.normal(size=(64, 32)).astype("float32")
        np.savez(project / "data.npz", x=x, y=x[:, :16])

    save(0)
    write(
        project,
        "arrays",
        "defaults: [baseline.yaml]\nrun: {name: arrays}\n"
        "data: {_merge_: replace, _value_: {_type_: data.dataset, train: {_type_: dataset.arrays, path: data.npz}}}\n",
    )

    def stages(result: subprocess.CompletedProcess[str]) -> list[str]:
        return [line[3:].partition(":")[0] for line in result.stdout.splitlines() if line.startswith(".  ")]

    assert stages(doit(project, "train", "EXP=arrays"))[-1] == "fit"
    assert stages(doit(project, "train", "EXP=arrays")) == []
    os.utime(project / "data.npz", (1, 1))
    assert stages(doit(project, "train", "EXP=arrays")) == []
    save(1)
    assert stages(doit(project, "train", "EXP=arrays")) == ["validate", "fit"]
    (project / "data.npz").unlink()
    missing = doit(project, "train", "EXP=arrays")
    assert missing.returncode == 1
    assert missing.stderr.startswith("data file not found ── configs/experiments/arrays.yaml:3:")
    assert (project / "runs/arrays/checkpoints/last.pt").is_file()


def test_an_interrupted_run_continues_to_the_weights_of_an_uninterrupted_one(project: Path) -> None:
    """`doit train` is sent SIGINT mid-epoch, then continued; the weights are those of a run in one go."""
    long = "defaults: [baseline.yaml]\ntrainer: {max_epochs: 40}\ndata: {steps_per_epoch: 200}\n"
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
    assert (interrupted["state"], 410 <= interrupted["global_step"] < 8000) == ("interrupted", True)

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
    child = json.loads((project / "runs/baseline/run.json").read_text())
    (kept,) = (project / "runs/.kept/baseline").iterdir()
    parent = json.loads((kept / "run.json").read_text())
    assert (child["global_step"], parent["global_step"]) == (60, 40)
    assert child["lineage"] == {"parent": parent["definition"], "global_step": 40}
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


def test_a_run_that_fails_before_its_first_checkpoint_gives_the_earlier_one_its_place_back(project: Path) -> None:
    run_experiment("configs/experiments/baseline.yaml")
    before = weights("runs/baseline")
    failing = "defaults: [baseline.yaml]\nio: {targets: {y: [nowhere]}}\n"
    with pytest.raises(ConfigError, match="finds nothing in the batch") as error:
        run_experiment(write(project, "failing", failing))

    assert str(error.value.location) == "configs/experiments/failing.yaml:2:19"
    assert json.loads((project / "runs/baseline/run.json").read_text())["state"] == "complete"
    assert all(torch.equal(before[key], value) for key, value in weights("runs/baseline").items())
    (attempt,) = (project / "runs/.kept/baseline").iterdir()
    assert json.loads((attempt / "run.json").read_text())["state"] == "failed"


def test_the_library_door_tells_as_much_as_doit_does(project: Path) -> None:
    path = write(project, "typos", "defaults: [baseline.yaml]\nrun: {sede: 1}\nschduler: {a: '${run.nmae}'}\n")
    with pytest.raises(ConfigError) as error:
        run_experiment(path)

    assert [finding.config_path for finding in error.value.findings] == [
        ("run", "sede"),
        ("schduler",),
        ("schduler", "a"),
    ]


def test_a_foreign_folder_is_told_at_the_name_that_the_config_gives_it(project: Path) -> None:
    (project / "mine").mkdir()
    (project / "mine/notes.txt").touch()
    with pytest.raises(ConfigError) as error:
        run_experiment(write(project, "foreign", "defaults: [baseline.yaml]\nrun: {out_dir: mine}\n"))

    assert str(error.value.location) == "configs/experiments/foreign.yaml:2:16"


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


def test_a_plugin_that_python_cannot_read_is_drawn_at_its_line(project: Path) -> None:
    (project / "extensions/broken.py").write_text("def register(registry):\n    registry.register_module(\n")
    write(project, "syntax", "defaults: [baseline.yaml]\nimports: [extensions.broken]\n")
    result = doit(project, "validate", "EXP=syntax")

    assert result.returncode == 1
    assert result.stderr.startswith("plugin failed ── extensions/broken.py:2:")
    assert "Traceback" not in result.stderr


def test_a_run_directory_that_cannot_be_made_is_told(project: Path) -> None:
    (project / "file").touch()
    write(project, "nowhere", "defaults: [baseline.yaml]\nrun: {out_dir: file/run}\n")
    result = doit(project, "train", "EXP=nowhere")

    assert result.returncode == 1
    assert "cannot write" in result.stderr
    assert "Traceback" not in result.stderr


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
