"""An artifact is read deeper only where each byte is as its stage left it; else it is made anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from trained import ask, copy, inside, train

from otrainer.errors import ConfigError
from otrainer.stages.built import MADE_BY, PLUGINS, VALIDATED, as_left, needed, record_path
from otrainer.stages.freshness.decide import decide
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.worker.execute import execute

EDITS: dict[str, Callable[[bytes], bytes]] = {
    "a wrong kind deep inside": lambda content: content.replace(b'"version": ', b'"version": [], "v": ', 1),
    "one byte": lambda content: content[:-2] + b" " + content[-1:],
    "nothing": lambda _: b"",
}


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return copy(original, tmp_path / "project")


@pytest.mark.parametrize("name", list(MADE_BY))
def test_an_artifact_reads_back_as_it_was_left(root: Path, name: str) -> None:
    experiment = find_experiment("a", root)

    assert as_left(experiment, name, root) == json.loads((root / experiment.built(name)).read_bytes())


@pytest.mark.parametrize("edit", EDITS.values(), ids=list(EDITS))
@pytest.mark.parametrize("name", list(MADE_BY))
def test_one_with_another_byte_does_not(root: Path, name: str, edit: Callable[[bytes], bytes]) -> None:
    experiment = find_experiment("a", root)
    path = root / experiment.built(name)
    path.write_bytes(edit(path.read_bytes()))

    assert as_left(experiment, name, root) is None


@pytest.mark.parametrize("query", ["why", "show", "diff"])
def test_questions_are_answered_over_artifacts_of_other_kinds(root: Path, query: str) -> None:
    experiment = find_experiment("a", root)
    for name in MADE_BY:
        content = json.loads((root / experiment.built(name)).read_bytes())
        odd = {key: [{"config": 7, "": [None]}] for key in content}
        (root / experiment.built(name)).write_text(json.dumps(odd))

    outcome = ask(query, root, "a", **({"WITH": "runs/a"} if query == "diff" else {}))
    assert outcome.status == "ok", outcome.drawn


def test_a_stage_that_needs_a_damaged_one_says_so_and_the_next_call_makes_it_anew(root: Path) -> None:
    """As where a disk gives back other bytes under the same times, which `decide` believes."""
    experiment = find_experiment("a", root)
    path = root / experiment.built(VALIDATED)
    record = record_path("validate", experiment, root)
    path.write_bytes(path.read_bytes().replace(b'"run_dir"', b'"run_dip"'))
    facts = path.stat()
    stamps = json.loads(record.read_bytes())
    (stamp,) = stamps["outputs"].values()
    stamp[1:] = facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, 0
    record.write_text(json.dumps(stamps))
    assert decide("validate", experiment, root).is_up_to_date

    with pytest.raises(ConfigError, match=r"`build/a/validated\.json` is not as `validate` left it"):
        needed(experiment, root, VALIDATED)
    assert not decide("validate", experiment, root).is_up_to_date
    train(root, stages="validate fit")
    assert as_left(experiment, VALIDATED, root)["run_dir"] == "runs/a"


@pytest.mark.parametrize("odd", ["a pipe", "a device"])
def test_what_is_no_file_in_the_place_of_an_artifact_keeps_nobody_waiting(root: Path, odd: str) -> None:
    path = root / find_experiment("a", root).built(PLUGINS)
    path.unlink()
    os.mkfifo(path) if odd == "a pipe" else path.symlink_to("/dev/zero")

    train(root)
    assert path.is_file() and not path.is_symlink()


def test_a_folder_in_its_place_is_told(root: Path) -> None:
    path = root / find_experiment("a", root).built(PLUGINS)
    path.unlink()
    path.mkdir()

    with inside(root):
        outcome = execute("resolve", find_experiment("a", root), root)
    (finding,) = outcome.findings
    assert (outcome.status, finding.title) == ("crashed", "cannot write")
    assert finding.message.endswith("build/a/plugins.json` cannot be written: Is a directory.")
    assert finding.hint == "Move away what is in its place."


@pytest.mark.parametrize("query", ["why", "diff", "runs"])
@pytest.mark.parametrize("levels", [150, 900])
def test_questions_are_answered_over_a_run_whose_config_is_nested_deep(root: Path, query: str, levels: int) -> None:
    path = root / "runs/a/run.json"
    run = json.loads(path.read_bytes())
    deep: object = []
    for _ in range(levels):
        deep = [deep]
    run["config"]["model"]["sequential"]["layers"][0]["out_features"] = deep
    path.write_text(json.dumps(run))

    outcome = ask(query, root, *([] if query == "runs" else ["a"]), **({"WITH": "runs/a"} if query == "diff" else {}))
    assert outcome.status == "ok", outcome.drawn
