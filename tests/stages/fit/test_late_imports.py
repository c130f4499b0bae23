"""What a run imports in its middle is what was validated, or the run is none of its definition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import write

from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment

LATE = "extensions/late_part.py"
PLUGIN = f"""
from pathlib import Path


class Late:
    def on_train_step_end(self, ctx):
        when, text = Path("edit").read_text().split("|")
        if when == "before":
            Path({LATE!r}).write_text(text)
        from extensions import late_part
        if when == "after":
            Path({LATE!r}).write_text(text)


def register(registry):
    registry.register_module("cb.late", Late)
"""
EXPERIMENT = """
defaults: [baseline.yaml]
imports: [extensions.late]
run: {name: late}
trainer: {max_epochs: 1}
data: {steps_per_epoch: 2}
callbacks: {_merge_: append, _value_: [{_type_: cb.late}]}
"""


@pytest.fixture
def root(project: Path) -> Path:
    """A project whose callback imports a helper at the first step."""
    (project / "extensions/late.py").write_text(PLUGIN)
    (project / LATE).write_text("VALUE = 1\n")
    write(project, "late", EXPERIMENT)
    return project


def state(root: Path) -> tuple[str, str]:
    run = json.loads((root / "runs/late/run.json").read_text())
    return run["state"], run["definition"]


def test_a_module_that_was_edited_before_the_run_imported_it_spoils_the_run(root: Path) -> None:
    """It is not complete, and of another definition: the next call trains anew, also once the edit is taken back."""
    (root / "edit").write_text("before|VALUE = 2\n")
    with pytest.raises(ConfigError, match=f"`{LATE}` changed before this run imported it") as caught:
        run_experiment("configs/experiments/late.yaml")
    assert caught.value.findings[0].title == "changed meanwhile"
    spoilt = state(root)
    assert spoilt[0] == "failed"

    (root / LATE).write_text("VALUE = 1\n")
    (root / "edit").write_text("never|")
    with pytest.raises(ConfigError, match="changed after this process had imported it"):
        run_experiment("configs/experiments/late.yaml")


@pytest.mark.parametrize("edit", ["before|VALUE = 1  # the same\n", "after|VALUE = 2\n", "never|"])
def test_what_was_imported_as_validated_completes_the_run(root: Path, edit: str) -> None:
    (root / "edit").write_text(edit)
    run_experiment("configs/experiments/late.yaml")

    assert state(root)[0] == "complete"
