"""A run folder keeps how it came about: every fact of run.json, the config for people, and the plugin sources."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from incremental.steps import edit, write
from trained import BASE, A, ask, copy, inside, train

from otrainer.config import SourceMap
from otrainer.errors import ConfigError
from otrainer.stages.definition import fingerprints
from otrainer.stages.failures import ComponentError
from otrainer.stages.fit.git_state import git_state
from otrainer.stages.fit.provenance import leave_provenance, place_of
from otrainer.stages.plan import Plan
from otrainer.storage.atomic import TEMP_PREFIX
from otrainer.storage.runs.run_json import KEYS

RUN, LAST = "runs/a/run.json", "runs/a/checkpoints/last.pt"


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    folder = copy(original, tmp_path / "project")
    with inside(folder):
        yield folder


def run_of(root: Path) -> dict[str, Any]:
    return json.loads((root / RUN).read_text())


def git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_run_json_holds_every_fact(original: Path) -> None:
    run = run_of(original)

    assert set(KEYS) <= run.keys()
    assert re.fullmatch("[0-9a-f]{64}", run["definition"])
    assert (run["name"], run["experiment"], run["state"]) == ("a", A, "complete")
    assert (run["global_step"], run["epoch"], run["lineage"]) == (3, 1, {})
    assert run["started"] <= run["ended"]
    assert run["wall_s"] > 0
    assert (run["host"], run["device"], run["pid"]) == (platform.node(), "cpu", os.getpid())
    assert run["git"] is None
    assert run["versions"]["python"] == sys.version.split()[0]
    assert run["versions"]["torch"] == torch.__version__
    assert {"doit", "PyYAML", "otrainer"} <= run["versions"].keys()
    assert run["config"]["loss"] == {"_type_": "loss.counted", "scale": 1.0}
    assert {row["key"] for row in run["code"]} >= {"otrainer", "loss.counted", "data.listed", "trainer.default"}
    assert list(run["outputs"]) == ["checkpoints/last.pt"]


def test_run_json_holds_the_hashes_of_the_data(original: Path) -> None:
    data = run_of(original)["data"]

    assert data["numbers.txt"] == {"sha256": sha256(b"1 2 3").hexdigest(), "size": 5}
    assert data["folder"]["size"] == 1
    assert list(data) == ["numbers.txt", "folder"]


def test_metrics_are_the_last_validation_values(root: Path) -> None:
    """What a loss logs on validation data stands in run.json."""
    validated = "        return [{'x': torch.ones(2, 4), 'y': torch.zeros(2, 4)}]\n"
    edit("extensions/parts.py", "        return []\n", validated)(root)
    train(root)

    assert list(run_of(root)["metrics"]) == ["val_loss"]


def test_a_child_names_its_parent_and_the_wall_time_goes_on(root: Path) -> None:
    parent = run_of(root)
    edit(A, "run:", "trainer: {max_epochs: 2}\nrun:")(root)
    train(root, stages="resolve manifest validate resume")
    child = run_of(root)

    assert child["lineage"] == {"parent": parent["definition"], "global_step": 3, "before": {}}
    assert (child["global_step"], child["epoch"]) == (6, 2)


FAILING = """\
class Failing:
    def on_train_step_end(self, ctx):
        if ctx.state.global_step == 3:
            raise RuntimeError("no more")


def register(registry):
    registry.register_module("cb.failing", Failing)
"""


def test_a_run_that_fails_says_from_which_step_it_can_go_on(root: Path) -> None:
    """The last whole one, which it saved when it failed."""
    write("extensions/failing.py", FAILING)(root)
    saving = "{_type_: cb.model_checkpoint, save_dir: '${run.out_dir}/checkpoints', every_n_steps: 2}"
    edit(A, "run:", f"callbacks: {{_merge_: replace, _value_: [{{_type_: cb.failing}}, {saving}]}}\nrun:")(root)
    edit(BASE, "[extensions.parts]", "[extensions.parts, extensions.failing]")(root)
    with pytest.raises(ComponentError, match="no more"):
        train(root)

    assert (run_of(root)["state"], run_of(root)["global_step"]) == ("failed", 3)
    assert torch.load(root / LAST, weights_only=True)["train_state"]["global_step"] == 3
    assert "It failed. It continues from step 3." in ask("why", root, "a").report


def test_the_commit_is_kept_and_whether_the_tree_was_dirty(root: Path) -> None:
    git(root, "init", "-q")
    git(root, "add", "configs", "extensions", "dodo.py", "numbers.txt", "folder")
    git(root, "commit", "-qm", "all")
    commit = git(root, "rev-parse", "HEAD")
    write(".git/info/exclude", "trainings.txt\n__pycache__\n")(root)
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    git(root, "commit", "-qam", "more")
    assert git_state(root) == {"commit": git(root, "rev-parse", "HEAD"), "dirty": False} != {"commit": commit}
    edit(BASE, "scale: 2.0", "scale: 3.0")(root)
    train(root)

    assert run_of(root)["git"] == {"commit": git(root, "rev-parse", "HEAD"), "dirty": True}


def test_without_the_git_program_a_run_has_no_commit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(root, "init", "-q")
    monkeypatch.setenv("PATH", "")
    edit(BASE, "scale: 1.0", "scale: 2.0")(root)
    train(root)

    assert (run_of(root)["git"], run_of(root)["state"]) == (None, "complete")


def test_resolved_yaml_reads_back_as_the_config_and_each_value_has_its_place(original: Path) -> None:
    text = (original / "runs/a/resolved.yaml").read_text()
    without = [line for line in text.splitlines() if not re.search(r"  # configs/[\w/]+\.yaml:\d+$", line)]

    assert yaml.safe_load(text) == run_of(original)["config"]
    assert all(line.endswith(":") for line in without)
    assert f"  scale: 1.0                                         # {BASE}:8\n" in text


def test_code_holds_the_plugin_sources_byte_for_byte(original: Path) -> None:
    """With the helpers that they import and the packages around them, and no other plugin."""
    kept = {
        path.relative_to(original / "runs/a/code").as_posix(): path for path in original.glob("runs/a/code/**/*.py")
    }

    assert sorted(kept) == ["extensions/__init__.py", "extensions/helper.py", "extensions/parts.py"]
    assert all(path.read_bytes() == (original / name).read_bytes() for name, path in kept.items())


def test_the_code_of_an_earlier_run_is_kept_with_it(root: Path) -> None:
    before = (root / "extensions/helper.py").read_bytes()
    edit("extensions/helper.py", "OFFSET = 1.0", "OFFSET = 2.0")(root)
    train(root)
    (kept,) = (root / "runs/.kept/a").iterdir()

    assert (kept / "code/extensions/helper.py").read_bytes() == before
    assert b"OFFSET = 2.0" in (root / "runs/a/code/extensions/helper.py").read_bytes()


def test_a_source_outside_of_the_project_is_kept_under_its_whole_path() -> None:
    assert place_of(Path("/far/lib/part.py"), Path("/project")) == Path("outside/far/lib/part.py")
    assert place_of(Path("/project/extensions/part.py"), Path("/project")) == Path("extensions/part.py")


def test_a_stretch_replaces_the_sources_that_the_one_before_kept_and_nothing_else(root: Path) -> None:
    """The folder of a run that goes on may hold what people put there."""
    write("runs/a/code/notes.md", "mine")(root)
    write("runs/a/code/extensions/gone.py", "of an earlier stretch")(root)
    kept = json.loads((root / "runs/a/code/fingerprints.json").read_text())
    kept["files"].append("extensions/gone.py")
    (root / "runs/a/code/fingerprints.json").write_text(json.dumps(kept))
    plan = Plan.from_json(json.loads((root / "build/a/validated.json").read_text()))
    leave_provenance(root / "runs/a", plan, None, fingerprints(root), root)
    names = sorted(path.name for path in (root / "runs/a/code").rglob("*") if path.is_file())

    assert names == ["__init__.py", "fingerprints.json", "helper.py", "notes.md", "parts.py", "sources.json"]


def test_a_stretch_replaces_what_the_one_before_left_torn_or_half_written(root: Path) -> None:
    """A power cut leaves zeros and temporary files of processes that are gone."""
    folder = root / "runs/a"
    names = ["resolved.yaml", "code/sources.json", "code/extensions/parts.py"]
    before = {name: (folder / name).read_bytes() for name in names[::2]}
    for name in names:
        (folder / name).write_bytes(b"\0" * 40)
    for name in ("", "code/"):
        (folder / f"{name}{TEMP_PREFIX}{2**22 + 1}-aa").write_bytes(b"half")
    plan = Plan.from_json(json.loads((root / "build/a/validated.json").read_text()))
    places = SourceMap.from_json(json.loads((root / "build/a/sources.json").read_text())["places"])
    leave_provenance(folder, plan, places, fingerprints(root), root)

    assert {name: (folder / name).read_bytes() for name in before} == before
    assert json.loads((folder / "code/sources.json").read_text())
    assert not [path for path in folder.rglob("*") if path.name.startswith(TEMP_PREFIX)]


@pytest.mark.parametrize("link", ["resolved.yaml", "code", "code/extensions", "code/extensions/parts.py"])
def test_no_keepsake_is_written_through_a_link_or_over_what_people_put_there(root: Path, link: str) -> None:
    place, mine = root / "runs/a" / link, root / "mine"
    mine.mkdir()
    place.rename(root / "was")
    place.symlink_to(mine)
    plan = Plan.from_json(json.loads((root / "build/a/validated.json").read_text()))
    with pytest.raises(ConfigError):
        leave_provenance(root / "runs/a", plan, None, fingerprints(root), root)

    assert place.is_symlink()
    assert list(mine.iterdir()) == []


def test_run_json_lists_what_training_wrote_and_not_what_was_there_before(root: Path) -> None:
    assert {"run.json", "resolved.yaml", LAST[7:], "code/extensions/parts.py"} <= set(run_of(root)["files"])
    write("runs/a/notes.md", "mine")(root)
    write("runs/a/checkpoints/mine.pt", "mine")(root)
    edit(RUN, '"state": "complete"', '"state": "interrupted"')(root)
    train(root, stages="fit")

    assert run_of(root)["state"] == "complete"
    assert not {"notes.md", "checkpoints/mine.pt"} & set(run_of(root)["files"])
