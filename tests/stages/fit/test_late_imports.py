"""What a run imports in its middle is what was validated, and what changes under it is told as it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from projects import write
from warm import doit

from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment
from otrainer.stages.freshness.decide import RUNS
from otrainer.stages.freshness.explain import explain
from otrainer.storage.experiments import find_experiment

LATE = "extensions/late_part.py"
PART = "extensions/late.py"
PLUGIN = f"""
from pathlib import Path


class Late:
    def files(self):
        return ["numbers.txt"]

    def on_train_step_end(self, ctx):
        when, text = Path("edit").read_text().split("|", 1)
        if when not in ("before", "after", "never"):
            Path(when).write_text(text)
            return
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
    (project / "numbers.txt").write_text("1")
    write(project, "late", EXPERIMENT)
    return project


def state(root: Path) -> tuple[str, str]:
    run = json.loads((root / "runs/late/run.json").read_text())
    return run["state"], run["definition"]


def test_a_module_that_was_edited_before_the_run_imported_it_spoils_the_run(root: Path) -> None:
    """It is not complete, and of another definition: the next call trains anew, also once the edit is taken back."""
    (root / "edit").write_text("before|VALUE = 2\n")
    with pytest.raises(
        ConfigError, match=f"`{LATE}` changed before this run, or a data worker of it, imported it"
    ) as caught:
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


def test_what_ends_under_edited_code_says_so_and_is_trained_anew_by_the_next_call(root: Path) -> None:
    """It is complete as what it is: a run of the code that it had imported."""
    (root / "edit").write_text(f"{PART}|{PLUGIN.replace('never', 'ever')}")
    told = run_experiment("configs/experiments/late.yaml").summary
    assert "\n  The code of `cb.late` changed while it trained: what was trained is the code as it was when" in told
    assert state(root)[0] == "complete"

    (root / "edit").write_text("never|")
    done = doit(root, "train", "EXP=late")
    assert ".  fit:late\n   Its definition changed.\n" in done.stdout
    assert "late: the earlier run is kept in runs/.kept/late/" in done.stdout
    assert "changed while it trained" not in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    "edit",
    [f"{PART}|{PLUGIN}# a comment\n", f"{LATE}|VALUE = 1\n", "numbers.txt|1"],
    ids=["a comment", "the same", "the same data"],
)
def test_what_ends_under_edits_that_count_for_nothing_says_nothing(root: Path, edit: str) -> None:
    (root / "edit").write_text(edit)
    assert "changed" not in run_experiment("configs/experiments/late.yaml").summary


def test_code_that_no_longer_parses_when_a_run_ends_takes_nothing_from_it(root: Path) -> None:
    (root / "edit").write_text(f"{PART}|def (\n")
    assert "The code of `cb.late` changed while it trained" in run_experiment("configs/experiments/late.yaml").summary
    assert state(root)[0] == "complete"


@pytest.mark.parametrize("edit", ["2", "gone"])
def test_what_ends_over_other_data_is_of_no_definition_also_once_they_are_back(root: Path, edit: str) -> None:
    """Some of it may have been read before the change, and some after."""
    (root / "edit").write_text(f"numbers.txt|{edit}")
    told = run_experiment("configs/experiments/late.yaml").summary
    assert "\n  `numbers.txt` changed while it trained, and may have been read before and after." in told
    assert state(root)[0] == "complete"

    (root / "numbers.txt").write_text("1")
    verdicts, _ = explain(find_experiment("late", root), root)
    assert verdicts["fit"].word == RUNS
    assert verdicts["fit"].reasons == ("Its definition changed.",)
