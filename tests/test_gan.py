"""The shipped adversarial experiment: two models and two optimizers, validated, shown, trained and loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from warm import doit

from otrainer import load_model, run_experiment

pytest.importorskip("sklearn")
SGD = {"_type_": "optim_factory.torch", "type": "optim_cls.SGD"}


@pytest.fixture
def short(project: Path) -> Path:
    """The experiment `short`: `gan` for one epoch of three batches."""
    less = "trainer: {max_epochs: 1, train_batches: 3, val_every_n_epochs: 1}"
    text = f"defaults: [gan.yaml]\nrun: {{name: short}}\n{less}\n"
    (project / "configs/experiments/short.yaml").write_text(text)
    return project


def test_it_trains_both_and_its_models_are_loaded_by_name(short: Path) -> None:
    result = run_experiment("configs/experiments/short.yaml")
    model = load_model(result.run_dir)

    assert result.global_step == 3
    assert set(json.loads((result.run_dir / "run.json").read_text())["metrics"]) == {"val_distance"}
    with torch.no_grad():
        drawn = model.generator(torch.randn(2, 16))
        assert drawn.shape == (2, 1, 8, 8)
        assert model.critic(drawn).shape == (2, 1)


def test_show_lists_both_models_and_what_trains_them(short: Path) -> None:
    said = doit(short, "show", "EXP=short", "MODEL=1").stdout

    assert re.search(r"generator\.layers\.4 +nn\.Conv2d +73,792", said)
    assert re.search(r"(?m)^generator +8 +101,249 +lr 0\.001", said)
    assert re.search(r"(?m)^critic +8 +93,185 +lr 0\.001", said)


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"trainer": {"_merge_": "replace", "_value_": {"_type_": "trainer.default"}}}, ["trainer", "_type_"], "parts"),
        ({"optimizer": {"critc": SGD}}, ["optimizer", "critc"], "The model has no part `critc`"),
        ({"optimizer": {"critic": {"kwargs": {"lrr": 1.0}}}}, ["optimizer", "critic", "kwargs", "lrr"], "lrr"),
        ({"scheduler": {"critic": {"_type_": "sched_factory.torch"}}}, ["scheduler", "critic"], "by its key"),
    ],
)
def test_mistakes_are_told_at_the_name_of_the_part(
    short: Path, change: dict[str, Any], place: list[str], said: str
) -> None:
    path = short / "configs/experiments/short.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    done = doit(short, "validate", "EXP=short", "FORMAT=json")
    found = {tuple(each["config_path"]): each["message"] for each in json.loads(done.stdout)["findings"]}

    assert done.returncode == 1
    assert said in found[tuple(place)]


def test_mistakes_of_several_sections_are_told_at_once(short: Path) -> None:
    path = short / "configs/experiments/short.yaml"
    wrong = {"optimizer": {"critc": SGD}, "trainer": {"penlty": 1.0}, "data": {"btach_size": 1}}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **wrong}))
    found = json.loads(doit(short, "validate", "EXP=short", "FORMAT=json").stdout)["findings"]

    assert {tuple(each["config_path"]) for each in found} == {
        ("optimizer", "critc"),
        ("trainer", "penlty"),
        ("data", "btach_size"),
    }
