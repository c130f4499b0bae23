"""The same graph with otrainer's own stages: what a comment, a learning rate and nothing at all cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

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
