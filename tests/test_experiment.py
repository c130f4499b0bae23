"""run_experiment trains what the YAML says, in this process, and keeps the run directory in order."""

from __future__ import annotations

import errno
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from projects import weights, write

import otrainer
from otrainer.diagnostics.drawing import draw_error
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment
from otrainer.stages.fit.run_directory import RunDirectory, folder_errors_at, locked
from otrainer.stages.fit.run_record import RunRecord
from otrainer.stages.fit.start import Start
from otrainer.stages.plan import Plan
from otrainer.storage.runs.lock import lock_run

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


@pytest.mark.parametrize("name", ["baseline", "custom_plugin", "sgd_step_lr"])
def test_the_shipped_experiments_train(project: Path, name: str) -> None:
    result = run_experiment(f"configs/experiments/{name}.yaml")

    assert (result.run_dir, result.global_step) == (project / "runs" / name, 40)
    assert json.loads((result.run_dir / "run.json").read_text())["state"] == "complete"
    assert (result.run_dir / "checkpoints/last.pt").is_file()


def test_factories_of_ones_own_need_no_class(project: Path) -> None:
    (project / "extensions/factories.py").write_text(
        "import torch\nfrom otrainer.components.sched import SchedulerBundle\n"
        "class Plain:\n"
        "    def __init__(self, lr: float): self.lr = lr\n"
        "    def build(self, model, *, registry): return torch.optim.SGD(model.parameters(), lr=self.lr)\n"
        "class Halved:\n"
        "    def build(self, optimizer, *, registry):\n"
        "        return SchedulerBundle(torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), 'epoch')\n"
        "class OfClass:\n"
        "    def __init__(self, type: str): self.type = type\n"
        "    def build(self, model, *, registry): ...\n"
        "def register(registry):\n"
        "    registry.register_module('optim_factory.plain', Plain)\n"
        "    registry.register_module('optim_factory.of_class', OfClass)\n"
        "    registry.register_module('sched_factory.halved', Halved)\n"
    )
    base = "imports: [extensions.factories]\n"
    base += "defaults: [CONFIGS/base/runtime.yaml, CONFIGS/models/sequential_mlp.yaml]\n"
    base += "run: {name: own}\ntrainer: {max_epochs: 2}\nscheduler: {_type_: sched_factory.halved}\n"

    def with_optimizer(spec: str) -> Path:
        return write(project, "own", f"{base}optimizer: {{_merge_: replace, _value_: {spec}}}\n")

    result = run_experiment(with_optimizer("{_type_: optim_factory.plain, lr: 0.1}"))
    assert result.global_step == 40
    saved = torch.load(result.run_dir / "checkpoints/last.pt")
    assert saved["optimizer"]["param_groups"][0]["lr"] == 0.025
    for spec, words in {
        "{_type_: optim_factory.of_class}": "`type`",
        "{_type_: optim_factory.of_class, type: SGD}": "`optim_cls.*`",
        "{_type_: optim_factory.of_class, type: optim_cls.SDG}": "`optim_cls.SDG`",
        "{_type_: optim_factory.plain, type: optim_cls.SGD, lr: 0.1}": "`type`",
    }.items():
        with pytest.raises(ConfigError, match=re.escape(words)):
            run_experiment(with_optimizer(spec))


def test_each_of_the_nine_parts_can_be_the_users_own(project: Path) -> None:
    (project / "extensions/everything.py").write_text(EVERYTHING)
    result = run_experiment(write(project, "mine", ALL_MINE))

    calls = sys.modules["extensions.everything"].calls
    assert calls == [
        "outer mine",
        "setup",
        "split train",
        "fit start",
        "split val",  # tried before the first step
        "split train",
        "split train",
        "train 2 loss,error,lr,lr_1",
        "split train",
        *["split val"] * 3,
        "val 3 val_loss,val_error,largest",
        "epoch 0 error True groups 2",
        "split train",
        "train 4 loss,error,lr,lr_1",
        *["split train"] * 2,
        "train 6 loss,error,lr,lr_1",
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


SHARED = "callbacks: {_merge_: replace, _value_: [{_type_: cb.model_checkpoint, save_dir: shared}]}\n"


def test_checkpoints_of_another_run_are_never_written_over(project: Path) -> None:
    """Also where an experiment was copied, its name changed, and the folder of its checkpoints forgotten."""
    first = write(project, "first", f"defaults: [baseline.yaml]\nrun: {{name: first}}\n{SHARED}")
    second = write(project, "second", f"defaults: [baseline.yaml]\nrun: {{name: second, seed: 1}}\n{SHARED}")
    result = run_experiment(first)
    content = (project / "shared/last.pt").read_bytes()
    with pytest.raises(ConfigError, match=r"`shared` holds checkpoints of another run: last\.pt\.") as error:
        run_experiment(second)

    assert str(error.value.location) == "configs/experiments/second.yaml:3:81"
    assert (project / "shared/last.pt").read_bytes() == content
    assert not (project / "runs/second").exists()
    assert result.summary.endswith("  weights: shared/last.pt")


def test_checkpoints_elsewhere_go_aside_and_come_back_with_their_run(project: Path) -> None:
    text = f"defaults: [baseline.yaml]\nrun: {{name: moved, seed: SEED}}\n{SHARED}"
    for seed in ("0", "1"):
        run_experiment(write(project, "moved", text.replace("SEED", seed)))

    (kept,) = (project / "runs/.kept/moved").iterdir()
    assert (kept / ".elsewhere/__/__/shared/last.pt").is_file()
    assert (project / "shared/last.pt").is_file()


def test_two_runs_at_once_do_not_write_checkpoints_into_one_folder(project: Path) -> None:
    path = write(project, "first", f"defaults: [baseline.yaml]\nrun: {{name: first}}\n{SHARED}")
    with lock_run(project / "shared"), pytest.raises(ConfigError, match="`shared` is being written by") as error:
        run_experiment(path)

    assert str(error.value.location) == "configs/experiments/first.yaml:3:81"


def test_a_run_directory_that_is_not_to_be_had_is_told_where_the_config_names_it(tmp_path: Path) -> None:
    plan, blocked = (Plan("a", None, folder, "0", [], {}, {}, {}) for folder in ("runs/a", "file"))
    with lock_run(tmp_path / "runs/a"), pytest.raises(ConfigError, match="is being written by") as error:
        locked(plan, tmp_path).__enter__()
    assert error.value.config_path == ("run", "out_dir")
    with pytest.raises(ConfigError, match=r"`.*/run\.json` cannot be written: Not a directory") as error:
        (tmp_path / "file").touch()
        RunRecord(RunDirectory(blocked, tmp_path, Start()), RunSettings()).__enter__()
    assert (error.value.findings[0].title, error.value.config_path) == ("cannot write", ("run", "out_dir"))
    with (
        pytest.raises(ConfigError, match="`notes` cannot be written: No space left on device"),
        folder_errors_at("run"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "notes")


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


UNLUCKY = """
class Odd:
    def __init__(self, when):
        self.when = when

    def files(self):
        return [] if self.when == "later" else self.broken()

    def train_dataloader(self):
        return self.broken()

    def broken(self):
        raise ArithmeticError("out of luck")


def register(registry):
    registry.register_module("data.odd", Odd)
"""


def test_what_a_component_raises_is_a_report_at_its_place_chained_to_it(project: Path) -> None:
    """Before training and in it; the run is then a failed one."""
    (project / "extensions/odd.py").write_text(UNLUCKY.lstrip())
    text = "defaults: [baseline.yaml]\nimports: [extensions.odd]\nrun: {name: odd}\n"
    text += "data: {_merge_: replace, _value_: {_type_: data.odd, when: WHEN}}\n"
    with pytest.raises(ConfigError) as first:
        run_experiment(write(project, "odd", text.replace("WHEN", "first")))
    with pytest.raises(ConfigError) as later:
        run_experiment(write(project, "odd", text.replace("WHEN", "later")))

    assert draw_error(first.value).splitlines()[0] == "component failed ── configs/experiments/odd.yaml:4:35"
    assert draw_error(first.value).splitlines()[4:] == [
        "  In `files`, `data.odd` raised ArithmeticError: out of luck",
        "  raised in `broken`: extensions/odd.py:12:9",
        "  called in `files`: extensions/odd.py:6:48",
        "  Mend that line, or what the config gives it.",
    ]
    assert draw_error(later.value).splitlines()[0] == "data failed ── extensions/odd.py:12:9"
    assert [type(error.value.__cause__) for error in (first, later)] == [ArithmeticError] * 2
    assert json.loads((project / "runs/odd/run.json").read_text())["state"] == "failed"
