"""A small project that is trained in this process, once for all tests that look at what came of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from incremental.steps import make

from otrainer.commands import Question, answer
from otrainer.stages.outcome import Outcome
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.worker.execute import execute
from otrainer.tasks.worker.table import run_stage

REPO = Path(__file__).parents[1]
A, BASE = "configs/experiments/a.yaml", "configs/experiments/base.yaml"
PARTS, HELPER = "extensions/parts.py", "extensions/helper.py"


def lay_out(root: Path) -> Path:
    """The project of the incremental tests: experiment `a`, a plugin with a helper, and data."""
    shutil.copy(REPO / "dodo.py", root)
    for name in ("configs", "extensions"):
        shutil.copytree(REPO / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    make(root)
    return root


def copy(root: Path, to: Path) -> Path:
    """A copy with the same times; what was remembered of parsed sources is left out."""
    return Path(shutil.copytree(root, to, ignore=shutil.ignore_patterns(".code", "__pycache__")))


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """As doit is in a project: its folder is the working directory, and plugins are found there first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.syspath_prepend(root)
        forget_plugins()
        yield
    forget_plugins()


def forget_plugins() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "extensions"]:
        del sys.modules[name]


def train(root: Path, name: str = "a", *, stages: str = "resolve manifest validate fit") -> None:
    """Run the stages of an experiment; sources must be those of the first training in this folder."""
    experiment = find_experiment(name, root)
    with inside(root):
        for stage in stages.split():
            outcome = run_stage(stage, experiment, root=root)
            assert outcome.status == "ok", outcome.report


def ask(query: str, root: Path, *names: str, **variables: str) -> Outcome:
    """What a question about experiments is answered."""
    experiments = tuple(find_experiment(name, root) for name in names)
    return answer(query, Question(root, experiments, variables, partial(execute, root=root)))


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """Everything in `build` and `runs` with its size and time, what only remembers how files were read aside."""
    found = {}
    for path in [*root.glob("build/**/*"), *root.glob("runs/**/*")]:
        name = path.relative_to(root).as_posix()
        if not name.startswith(("build/.code", "build/.hashes")):
            found[name] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found
