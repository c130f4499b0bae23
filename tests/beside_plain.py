"""Projects as users bring them: trained by their YAML and plugin, and by the plain program that lies beside them.

Both are told in few words to be small: the project by a config over its own, the program by its own settings.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support import StopAt

from otrainer import run_experiment
from otrainer.engine.signals import StopRequest, TrainingInterrupted
from otrainer.experiment import plan_of
from otrainer.stages.fit.compose import composed, settings_of
from otrainer.stages.resolve import resolve_fully

FOLDER = Path(__file__).parent / "projects"
SMALL = "configs/experiments/small.yaml"


class Trained:
    """What a run left: its checkpoint's parts, and the rows that were logged, each step once."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint: dict[str, Any] = torch.load(folder / "checkpoints/last.pt", weights_only=True)
        self.weights: dict[str, torch.Tensor] = self.checkpoint["model"]
        self.steps: int = self.checkpoint["train_state"]["global_step"]
        self.rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    def values(self, name: str) -> list[float]:
        """Return what was logged under a name, in the order of the steps."""
        return [row[name] for row in self.rows if name in row]


def lay_out(project: Path, name: str, small: str) -> None:
    """Write a project's experiment and plugin into `project`, and the experiment `small`, with less of it."""
    shutil.copy(FOLDER / name / "experiment.yaml", project / f"configs/experiments/{name}.yaml")
    if (FOLDER / name / "plugin.py").exists():
        shutil.copy(FOLDER / name / "plugin.py", project / f"extensions/{name}.py")
    text = f"defaults: [{name}.yaml]\nrun: {{name: small, out_dir: runs/small}}\n{small}"
    (project / SMALL).write_text(text)


def train(project: Path) -> Trained:
    """Train `small` without a stop."""
    run_experiment(SMALL)
    return Trained(project / "runs/small")


def train_with_stops(project: Path, *steps: int) -> Trained:
    """Train `small` again, stopped by a signal after each of these steps, and gone on with each time."""
    shutil.rmtree(project / "runs/small")
    config = resolve_fully(project / SMALL, project)
    plan = plan_of(config, project / SMALL, project)
    last, run = project / "runs/small/checkpoints/last.pt", settings_of(plan)
    for step in (*steps, None):
        from_last = replace(run, resume_from=str(last) if last.exists() else None)
        ends = nullcontext() if step is None else pytest.raises(TrainingInterrupted)
        with composed(plan, config.source_map) as whole, StopRequest(), ends:
            whole.fit(from_last, callbacks=[*(whole.parts.callbacks or []), StopAt(step)])
    return Trained(project / "runs/small")


def assert_same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    """Fail unless two state dicts hold the same tensors in the same order, to the bit; names may differ."""
    assert len(one) == len(other)
    differ = [name for name, a, b in zip(one, one.values(), other.values(), strict=True) if not torch.equal(a, b)]
    assert not differ, differ


def plain(name: str) -> ModuleType:
    """Import the plain program of a project, which knows nothing of otrainer."""
    spec = importlib.util.spec_from_file_location(f"plain_{name}", FOLDER / name / "plain.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module
