"""`run.fast`: two batches go through everything, and nothing is kept of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from warm import doit

from otrainer import run_experiment
from otrainer.errors import ConfigError

BASE = "defaults: [baseline.yaml]\n"


def write(project: Path, text: str, name: str = "quick") -> None:
    (project / f"configs/experiments/{name}.yaml").write_text(BASE + text)


def contents(folder: Path) -> dict[str, str]:
    """What the files of a folder hold, locks aside."""
    files = [each for each in folder.rglob("*") if each.is_file() and ".locks" not in each.parts]
    return {str(each): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def test_it_tries_out_training_and_validation_each_time_and_leaves_a_run_alone(project: Path) -> None:
    assert doit(project, "train", "EXP=baseline").returncode == 0
    before = contents(project / "runs")
    write(project, "run: {fast: true}\ntrainer: {grad_accum_steps: 8, max_steps: 50, val_every_n_steps: 25}\n")
    for _ in range(2):
        done = doit(project, "train", "EXP=quick")
        assert done.returncode == 0, done.stderr
        assert "baseline: tried out in 2 steps" in done.stdout
        assert "on validation data: loss" in done.stdout
    assert contents(project / "runs") == before
    assert list((project / "build").glob(".fast-*")) == []
    assert "up to date" in doit(project, "why", "EXP=baseline").stdout.splitlines()[-1]


def test_a_schedule_of_the_whole_run_is_not_told_to_be_too_long(project: Path) -> None:
    schedule = "{_type_: sched_factory.torch, type: sched_cls.CosineAnnealingLR, kwargs: {T_max: 2}}"
    write(project, f"run: {{fast: true, name: quick}}\nscheduler: {schedule}\n")
    done = doit(project, "train", "EXP=quick")

    assert done.returncode == 0
    assert "scheduler" not in done.stdout + done.stderr
    assert not (project / "runs/quick").exists()


def test_what_fails_at_the_end_of_an_epoch_fails_here(project: Path) -> None:
    (project / "extensions/own.py").write_text(
        "class Late:\n    def on_epoch_end(self, ctx): raise RuntimeError('too late')\n"
        "def register(registry): registry.register_module('cb.late', Late)\n"
    )
    own = "callbacks: {_merge_: append, _value_: [{_type_: cb.late}]}"
    write(project, f"imports: [extensions.own]\nrun: {{fast: true, name: quick}}\n{own}\n")
    done = doit(project, "train", "EXP=quick")

    assert done.returncode == 1
    assert "too late" in done.stderr
    assert list((project / "build").glob(".fast-*")) == []


def test_it_counts_for_the_definition_so_that_the_run_is_trained_afterwards(project: Path) -> None:
    write(project, "run: {fast: true, name: quick}\n")
    tried = run_experiment("configs/experiments/quick.yaml")
    write(project, "run: {name: quick}\n")
    trained = run_experiment("configs/experiments/quick.yaml")

    assert (tried.global_step, trained.global_step) == (2, 40)
    assert "val_loss" in tried.metrics
    assert (trained.run_dir / "run.json").exists()


def test_a_trainer_that_cannot_be_cut_says_so_at_the_key(project: Path) -> None:
    (project / "extensions/own.py").write_text(
        "class Own:\n    def fit(self, *, model, datamodule, io, loss, optimizer_factory, scheduler_factory, metrics,"
        " callbacks, loggers, registry, run): ...\n"
        "def register(registry): registry.register_module('trainer.own', Own)\n"
    )
    own = "{_merge_: replace, _value_: {_type_: trainer.own}}"
    write(project, f"imports: [extensions.own]\nrun: {{fast: true, name: quick}}\ntrainer: {own}\n")
    with pytest.raises(ConfigError, match="`Own` has no `train_batches`") as caught:
        run_experiment("configs/experiments/quick.yaml")

    assert caught.value.config_path == ("run", "fast")
