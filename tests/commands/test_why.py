"""`doit why` says of each stage whether it would run, and everything that makes it, in words that lead to the place."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from incremental.steps import edit, write
from trained import BASE, REPO, A, ask, listing, train

from otrainer.fingerprint import Fingerprints
from otrainer.registry.usage import code_of
from otrainer.stages.freshness.code import code_sentences, symbol_changes
from otrainer.storage.runs.lock import lock_run

from .reasons import LOGGERS, LOSS, RUN, RUNS, TABLE, in_json, says, value


def said(root: Path) -> str:
    """What is said of experiment `a` but for stages of which nothing is; asking leaves no trace."""
    before = listing(root)
    outcome = ask("why", root, "a")
    assert outcome.status == "ok", outcome.report
    assert listing(root) == before
    lines = [line for line in outcome.report.splitlines() if not line.endswith("up to date")]
    return "\n".join([*lines, ""])


def test_nothing_changed(root: Path) -> None:
    assert ask("why", root, "a").report == (
        "a:\n  resolve   up to date\n  manifest  up to date\n  validate  up to date\n  fit       up to date"
    )


def test_several_experiments_are_answered_one_after_the_other(root: Path) -> None:
    write("configs/experiments/b.yaml", "defaults: [a.yaml]\nrun: {name: b}\n")(root)

    assert ask("why", root, "a", "b").report == (
        "a:\n  resolve   up to date\n  manifest  up to date\n  validate  up to date\n  fit       up to date\n\n"
        "b:\n"
        "  resolve   would run\n              It has not run yet.\n"
        "  manifest  would run\n              It has not run yet.\n"
        "  validate  would run\n              It has not run yet.\n"
        "  fit       would run\n              It was not trained yet."
    )


@pytest.mark.parametrize("what", TABLE)
def test_each_change_is_named_with_its_place(root: Path, what: str) -> None:
    change, answer = TABLE[what]
    change(root)

    assert said(root) == answer


def test_the_sections_in_another_order_are_validated_again_and_train_nothing(root: Path) -> None:
    edit(BASE, f"{LOSS}\n{LOGGERS}\n", f"{LOGGERS}\n{LOSS}\n")(root)
    runtime = (root / "configs/base/runtime.yaml").read_text()
    top, _, rest = runtime.partition("\nrun:")
    (root / "configs/base/runtime.yaml").write_text(f"run:{rest}{top}\n")

    assert says(validate=[RUNS, "The sections come in another order."]).partition("\n")[2] in said(root)
    assert "  fit " not in said(root)


def test_an_environment_variable_is_named_and_not_its_value(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "5")
    answer = value(f"`run.seed` was 0, is 5 ({A}:3).")

    assert said(root) == answer.replace(f"`{BASE}` changed.", "The environment variable `SEED` is set now.")


def test_other_versions_of_packages_are_told_and_do_not_count(root: Path) -> None:
    in_json(RUN, versions={"python": "3.0", "pytest": "1.0", "torch": "2.0", "left-pad": "1.3"})(root)
    text = said(root).replace(platform.python_version(), "NOW")

    assert re.sub(r"is \d[\w.+]*", "is NOW", text) == (
        "a:\n              Other versions: python was 3.0, is NOW; torch was 2.0, is NOW; pytest was 1.0, is NOW; "
        "left-pad was 1.3, is gone. These alone do not retrain.\n"
    )
    in_json(RUN, versions=dict.fromkeys("abcdefg", "1"))(root)
    assert "d was 1, is gone; 3 more. These alone" in said(root)


def test_a_tracked_package_of_another_version_counts() -> None:
    old, new = (
        [{"key": "package:numpy", "target": f"numpy {each}", "plugin": None, "fingerprint": each}] for each in "12"
    )

    assert list(code_sentences(old, new, None, Fingerprints())) == ["The tracked package `numpy` was 1, is 2."]
    assert list(code_sentences(old, [], None, Fingerprints())) == ["The package `numpy` is not tracked any more."]


def test_a_finished_run_of_before_comes_back(root: Path) -> None:
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root)
    edit(BASE, "scale: 2.0", "scale: 1.0")(root)
    (kept,) = (root / "runs/.kept/a").iterdir()
    back = f"`loss.scale` was 2.0, is 1.0 ({BASE}:8)."

    note = f"Nothing would be trained: the finished run in `runs/.kept/a/{kept.name}` comes back."
    assert said(root).endswith(says(fit=[RUNS, back, note]).partition("\n")[2])
    in_json(f"runs/.kept/a/{kept.name}/run.json", state="interrupted", global_step=2)(root)
    note = f"The run in `runs/.kept/a/{kept.name}` comes back, and continues from step 2."
    assert said(root).endswith(says(fit=[RUNS, back, note]).partition("\n")[2])


def test_a_run_that_is_being_trained_is_left_alone(root: Path) -> None:
    in_json(RUN, state="running")(root)
    with lock_run(root / "runs/a"):
        answer = ask("why", root, "a").report

    assert "  fit       would fail\n              `runs/a` is being written by process " in answer
    assert f"process {os.getpid()} on {platform.node()}.\n              Wait until it has ended, or" in answer


def test_what_only_resolve_has_seen_is_still_to_be_validated(root: Path) -> None:
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root, stages="resolve")
    text = f"`loss.scale` was 1.0, is 2.0 ({BASE}:8)."

    assert said(root) == says(validate=[RUNS, text], fit=[RUNS, text])


def test_reasons_without_end_are_counted(root: Path) -> None:
    many = ", ".join(f"p{number}: {number}" for number in range(20))
    edit(BASE, "scale: 1.0", f"scale: 1.0, {many}")(root)
    lines = said(root).splitlines()

    assert lines.count("              And 8 more: `doit diff EXP=a WITH=runs/a` shows all.") == 1
    assert sum("`loss.p" in line for line in lines) == 11 + 12 + 12


def test_built_in_code_is_named_by_its_place_in_the_package(root: Path, tmp_path: Path) -> None:
    """Asked by a copy of otrainer in which a built-in component was changed."""
    shutil.copytree(REPO / "otrainer", tmp_path / "own/otrainer", ignore=shutil.ignore_patterns("__pycache__"))
    io = tmp_path / "own/otrainer/components/io.py"
    source = io.read_text()
    assert source.count("        return get_path(tree, path)\n") == 1
    io.write_text(source.replace("return get_path(tree, path)\n", "return get_path(tree, path) or 0\n"))
    asking = (
        "import sys; from pathlib import Path; sys.path.insert(0, str(Path.cwd()))\n"
        "from otrainer.commands import answer; from otrainer.storage.experiments import find_experiment\n"
        "from otrainer.commands import Question; root = Path.cwd()\n"
        "print(answer('why', Question(root, (find_experiment('a', root),), {}, None)).report)"
    )
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "own")}
    done = subprocess.run([sys.executable, "-c", asking], cwd=root, env=environ, capture_output=True, text=True)

    assert done.stderr == ""
    reason = "`otrainer/components/io.py: pick` changed (`io.mapping` -> MappingIO -> pick)."
    assert done.stdout.endswith(says(fit=[RUNS, reason]).partition("\n")[2])


def test_a_record_of_runs_that_lacks_things_is_told_as_damaged(root: Path) -> None:
    data = json.loads((root / RUN).read_text())
    del data["git"]
    (root / RUN).write_text(json.dumps(data))

    assert "`runs/a/run.json` does not read as a run's file: it lacks `git`." in said(root)


def test_a_definition_of_ours_that_moved_is_not_told() -> None:
    """Only what it holds is: of a run that was trained when its module had another name."""
    row = {"key": "loss.torch", "plugin": None, "target": "otrainer.components.loss:TorchLoss"}
    prints = Fingerprints()
    code = code_of(row, prints)

    def before(name: str) -> str:
        return name.replace("otrainer.components.loss:", "otrainer.losses:")

    symbols = {before(name): "another" if name.endswith(":pick_one") else each for name, each in code.symbols.items()}
    uses = {before(name): list(map(before, names)) for name, names in code.uses.items()}
    detail = {"roots": {"loss.torch": list(map(before, code.roots))}, "symbols": symbols, "uses": uses}

    assert [each.symbol for each in symbol_changes(row, detail, prints)] == ["otrainer.components.io:pick_one"]
