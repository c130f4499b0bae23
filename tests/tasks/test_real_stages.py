"""The same graph with otrainer's own stages: what a comment, a learning rate and nothing at all cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from warm import doit

from .processes import REPO


@pytest.fixture
def root(tmp_path):
    """A copy of the repository's experiments."""
    shutil.copy(REPO / "dodo.py", tmp_path)
    for name in ("configs", "extensions"):
        shutil.copytree(REPO / name, tmp_path / name)
    return tmp_path


def python(root, *arguments):
    env = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def executed(root):
    """The stages that `doit train EXP=baseline` executes now."""
    lines = python(root, "-m", "doit", "train", "EXP=baseline").splitlines()
    return [line.removeprefix(".  ").removesuffix(":baseline") for line in lines if line.startswith(".  ")]


def test_a_change_costs_the_real_stages_that_it_touches(root):
    """First everything, then nothing (and neither torch nor yaml), then what an edit reaches."""
    assert executed(root) == ["resolve", "manifest", "validate", "fit"]
    code = (
        "import sys; from doit.doit_cmd import DoitMain; sys.argv[1:] = ['train', 'EXP=baseline']\n"
        "code = DoitMain().run(sys.argv[1:])\n"
        "heavy = {'torch', 'yaml', 'filelock', 'rich', 'numpy'}\n"
        "shown = {name for name in sys.modules if name.startswith('otrainer.diagnostics.')}\n"
        "print(code, sorted(heavy & set(sys.modules) | shown - {'otrainer.diagnostics.say'}))"
    )
    lines = python(root, "-c", code).splitlines()
    assert lines == ["-- resolve:baseline", "-- manifest:baseline", "-- validate:baseline", "-- fit:baseline", "0 []"]
    python(root, "-m", "doit", "-a", "train", "EXP=baseline")
    (kept,) = (root / "runs" / ".kept").iterdir()
    assert any(kept.rglob("last.pt"))  # all is made again, and what was trained is kept
    assert (root / "runs" / "baseline" / "checkpoints" / "last.pt").exists()
    config = root / "configs" / "experiments" / "baseline.yaml"
    config.write_text("# Another first line.\n" + config.read_text())
    assert executed(root) == ["resolve"]
    config.write_text(config.read_text() + "\noptimizer: {kwargs: {lr: 2.0e-3}}\n")
    assert executed(root) == ["resolve", "validate", "fit"]


def test_experiments_that_are_checked_together_leave_what_each_leaves_alone(root, tmp_path_factory):
    """What one process keeps from one experiment for the next one shows in no byte."""
    experiments = root / "configs/experiments"
    for path in experiments.glob("*.yaml"):
        if path.stem != "baseline":
            path.unlink()
    for name, change in {
        "wide": "model: {sequential: {layers: {_merge_: replace, _value_: [{_type_: mlp, dims: [32, 48, 16]}]}}}",
        "slow": "optimizer: {kwargs: {lr: 1.0e-5}}",
        "other": "trainer: {max_epochs: 5}",
        "wrong": "optimizer: {kwargs: {learning: 1.0}}",
    }.items():
        text = f"defaults: [baseline.yaml]\nrun: {{name: {name}, seed: 3}}\n{change}\n"
        (experiments / f"{name}.yaml").write_text(text)
    alone = tmp_path_factory.mktemp("alone")
    shutil.copytree(root, alone, dirs_exist_ok=True)
    together = doit(root, "validate")
    reports = [doit(alone, "validate", f"EXP={path.stem}") for path in sorted(experiments.glob("*.yaml"))]

    assert together.returncode == 1
    assert [each.returncode for each in reports] == [0, 0, 0, 0, 1]
    found = [{path.relative_to(each): path.read_bytes() for path in left_in(each)} for each in (root, alone)]
    assert found[0] == found[1]
    assert len(found[0]) == 5 * 6 - 1  # what is wrong is not validated


def left_in(project):
    return [path for path in (project / "build").glob("[!.]*/*.json") if not path.name.endswith(".record.json")]


def test_experiments_that_several_processes_share_are_validated_as_by_one(root, tmp_path_factory):
    """The artifacts are the same to the byte."""
    alone = shutil.copytree(root, tmp_path_factory.mktemp("alone") / "project")
    with (root / "dodo.py").open("a") as stream:
        stream.write("\nfrom otrainer.tasks import ahead\n\nahead.SHARE, ahead.processors = 1, lambda: 3\n")
    for folder in (root, alone):
        for number in range(12):
            text = f"defaults: [baseline.yaml]\nrun: {{name: s{number}, seed: {number}}}\n"
            (folder / f"configs/experiments/s{number:02}.yaml").write_text(text)
        assert python(folder, "-m", "doit", "validate").count("\n.  validate:s0") == 10
    for number in range(12):
        name = f"build/s{number:02}/validated.json"
        assert (root / name).read_bytes() == (alone / name).read_bytes()
