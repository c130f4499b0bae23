"""Whatever is edited: doit's decision, the line of `doit train` and `doit why` agree on each stage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands.reasons import TABLE
from trained import copy, inside

from otrainer.stages.freshness.decide import FAILS, RUNS, UNTOLD, UP_TO_DATE, decide
from otrainer.stages.freshness.explain import explain
from otrainer.stages.freshness.reason import Reasons, counted
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.worker.execute import execute

# What doit itself compares by content, as dodo.py says.
FILE_DEP = {"manifest": ["plugins.json"], "validate": ["resolved.json", "manifest.json"]}


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    folder = copy(original, tmp_path / "project")
    with inside(folder):
        yield folder


def contents(root: Path, stage: str) -> list[str]:
    """Return the hashes of the files that doit compares for a stage."""
    files = [root / "build/a" / name for name in FILE_DEP.get(stage, ())]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


@pytest.mark.parametrize("what", TABLE)
def test_what_is_explained_is_what_is_decided_when_the_stage_is_reached(root: Path, what: str) -> None:
    """Each stage before training runs where doit would run it, so that the next one is decided as doit would."""
    experiment = find_experiment("a", root)
    before = {stage: contents(root, stage) for stage in FILE_DEP}
    TABLE[what][0](root)
    explained, lines = explain(experiment, root)[0], Reasons(root, whole=True)

    for stage, verdict in explained.items():
        decided = decide(stage, experiment, root)
        runs = not decided.is_up_to_date or (stage in before and contents(root, stage) != before[stage])
        if verdict.word == FAILS or (verdict.word == UNTOLD and stage == "fit"):
            assert runs
            return
        assert verdict.word == (RUNS if runs else UP_TO_DATE), (stage, decided)
        if not runs:
            continue
        assert lines.line(stage, experiment) == counted(verdict.reasons)
        if not decided.is_up_to_date and stage != "fit":
            assert decided.reasons[0] == verdict.reasons[0]
        if stage == "fit" or execute(stage, experiment, root).status != "ok":
            return
