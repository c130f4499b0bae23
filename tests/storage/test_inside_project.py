"""A relative path that a config writes to stays in the project, when it is validated and when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otrainer.config import resolve_config
from otrainer.errors import ConfigError
from otrainer.registry import build_registry
from otrainer.stages.definition import fingerprints
from otrainer.stages.fit.start import first_start, folders_elsewhere, last_checkpoint
from otrainer.stages.fit.train import train
from otrainer.stages.plan import Plan, make_plan
from otrainer.storage.inside_project import all_outside, refuse_outside, way_out


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("path", ["runs/a", "a", "./a", "a/../b", "new/deep/path", "..a", "a/..b", "/tmp/a"])  # noqa: S108
def test_what_lies_below_the_project_or_is_absolute_is_fine(root: Path, path: str) -> None:
    assert way_out(path, root) is None


@pytest.mark.parametrize("path", ["..", "../a", "a/../../b", "runs/../../project2", "../project-evil/a"])
def test_dots_do_not_lead_out(root: Path, path: str) -> None:
    assert way_out(path, root) == f"`{path}` leads out of the project."


@pytest.mark.parametrize("path", ["", ".", "a/..", "./", "self"])
def test_the_project_itself_is_no_folder_to_write_to(root: Path, path: str) -> None:
    (root / "self").symlink_to(".")

    assert way_out(path, root) == f"`{path}` is the project's own folder."


def test_a_link_that_leads_out_is_named_wherever_it_stands_on_the_way(root: Path) -> None:
    (root / "disk").symlink_to(root.parent / "far")
    (root / "in").mkdir()
    (root / "in/up").symlink_to("../..")
    (root / "hop").symlink_to("disk")
    (root / "loop").symlink_to("loop")
    (root / "home").symlink_to("in")
    far = root.parent / "far"

    assert way_out("disk/a", root) == f"`disk/a` leads out of the project: `disk` is a link to `{far}`."
    assert way_out("hop/a", root) == f"`hop/a` leads out of the project: `hop` is a link to `{far}`."
    assert way_out("in/up/a", root) == f"`in/up/a` leads out of the project: `in/up` is a link to `{root.parent}`."
    assert way_out("home/a", root) is None
    assert way_out("in/up/project/runs", root) is None
    assert way_out("loop/a", root) is None  # making a folder there fails


def test_a_project_that_is_reached_by_a_link_is_no_other(root: Path) -> None:
    (root.parent / "link").symlink_to("project")

    assert way_out("runs/a", root.parent / "link") is None


def test_the_error_says_what_to_write_if_the_place_is_meant(root: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_outside("../a", root, ("run", "out_dir"))
    (finding,) = caught.value.findings

    assert (finding.title, finding.config_path) == ("path leads out of the project", ("run", "out_dir"))
    assert finding.hint == "Name a folder in the project; if the place outside is meant, write its absolute path."


SAVE = {"_type_": "cb.model_checkpoint"}
LOG = {"_type_": "log.json_lines"}


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"run": {"out_dir": "../x"}}, ("run", "out_dir")),
        ({"callbacks": [{**SAVE, "save_dir": "../x"}]}, ("callbacks", 0, "save_dir")),
        ({"callbacks": [{**SAVE, "_kwargs_": {"save_dir": "../x"}}]}, ("callbacks", 0, "_kwargs_", "save_dir")),
        ({"callbacks": [{**SAVE, "_args_": ["../x", True]}]}, ("callbacks", 0, "_args_", 0)),
        ({"loggers": [{**LOG, "path": "../x"}]}, ("loggers", 0, "path")),
        ({"trainer": {"_type_": "trainer.mine", "deep": [{"er": {**LOG, "path": "../x"}}]}},
         ("trainer", "deep", 0, "er", "path")),
        ({"loggers": [{**LOG, "path": "a\0b"}]}, ("loggers", 0, "path")),
        ({"loggers": [{**LOG, "path": "a\x1b[0m"}]}, ("loggers", 0, "path")),
        ({"run": {"out_dir": "\ud800"}}, ("run", "out_dir")),
        ({"run": {"out_dir": "runs/" + "x" * 256}}, ("run", "out_dir")),
    ],
)  # fmt: skip
def test_every_path_that_built_in_components_write_to_is_looked_at(
    root: Path, config: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    assert [finding.config_path for finding in all_outside(config, root)] == [place]


def test_what_is_not_written_to_may_lie_anywhere(root: Path) -> None:
    config = {
        "run": {"out_dir": "runs/a", "resume_from": "../x/last.pt"},
        "data": {"_type_": "data.dataset", "train": {"_type_": "dataset.arrays", "path": "../data.npy"}},
        "callbacks": [{"_type_": "cb.mine", "save_dir": "../theirs-to-say"}],
        "params": {**LOG, "path": "../x"},
    }

    assert list(all_outside(config, root)) == []


@pytest.mark.parametrize("how", [{"save_dir": "w"}, {"_args_": ["w"]}, {"_kwargs_": {"save_dir": "w"}}])
def test_checkpoints_are_found_in_whichever_way_their_folder_is_given(root: Path, how: dict[str, Any]) -> None:
    config = {"callbacks": [{**SAVE, **how}]}

    assert last_checkpoint(config, "runs/a", root) == root / "w/last.pt"
    assert [folder for folder, _ in folders_elsewhere(config, "runs/a", root)] == [root / "w"]


def plan_of(project: Path, text: str) -> Plan:
    path = project / "configs/experiments/probe.yaml"
    path.write_text(f"defaults: [baseline.yaml]\n{text}\n")
    config = resolve_config(path, root=project)
    return make_plan(config, build_registry(), fingerprints(project), experiment="probe", root=project)


def test_validation_tells_them_all_at_their_places(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(project, "run: {name: ../x}\nloggers: [{_type_: log.json_lines, path: ../rows.jsonl}]")
    places = [str(finding.location) for finding in caught.value.findings if finding.title.startswith("path leads out")]

    # `runs/${run.name}` and `${run.out_dir}/checkpoints` stay inside; the name itself is an error of its own.
    assert places == ["configs/experiments/probe.yaml:3:42"]
    assert caught.value.findings[0].config_path == ("run", "name")


@pytest.mark.parametrize("path", ["~/runs/a", "~me/runs", "$HOME/runs/a", "$${HOME}/runs"])
def test_what_only_a_shell_understands_is_told_with_what_to_write(project: Path, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(project, f"run: {{name: probe, out_dir: '{path}'}}")

    (finding,) = [each for each in caught.value.findings if each.title == "invalid path"]
    assert finding.config_path == ("run", "out_dir")
    assert "${env:HOME}" in finding.hint


def test_a_tilde_inside_a_name_is_one_of_its_characters(project: Path) -> None:
    assert plan_of(project, "run: {name: probe, out_dir: runs/a~b}").run_dir == "runs/a~b"


def test_what_is_written_below_a_folder_that_is_told_is_not_told_again(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(project, "run: {name: probe, out_dir: ../x}\nloggers: [{_type_: log.json_lines, path: ../y.jsonl}]")
    paths = [finding.config_path for finding in caught.value.findings if finding.title.startswith("path leads out")]

    assert paths == [("run", "out_dir"), ("loggers", 0, "path")]


@pytest.mark.parametrize("link", ["runs", "runs/probe"])
def test_a_link_that_appeared_after_validation_is_met_before_anything_is_written(project: Path, link: str) -> None:
    plan = plan_of(project, "run: {name: probe}")
    outside = project.parent / f"{project.name}-outside"
    outside.mkdir()
    (project / link).parent.mkdir(exist_ok=True)
    (project / link).symlink_to(outside)
    with pytest.raises(ConfigError) as caught:
        train(plan, root=project, start=first_start)

    assert caught.value.findings[0].config_path == ("run", "out_dir")
    assert f"`{link}` is a link to" in str(caught.value)
    assert list(outside.iterdir()) == []


def test_a_link_that_appears_while_it_trains_is_met_by_the_next_checkpoint(project: Path) -> None:
    (project / "extensions/swap.py").write_text(
        "import os\n"
        "class Swap:\n"
        "    def on_train_step_end(self, ctx):\n"
        "        if not os.path.islink('weights'):\n"
        "            os.rename('weights', 'was')\n"
        "            os.symlink('../OUTSIDE', 'weights')\n"
        "def register(registry):\n    registry.register_module('cb.swap', Swap)\n".replace(
            "OUTSIDE", f"{project.name}-outside"
        )
    )
    outside = project.parent / f"{project.name}-outside"
    outside.mkdir()
    plan = plan_of(
        project,
        "run: {name: probe}\nimports: [extensions.swap]\n"
        "callbacks: {_merge_: replace, _value_: [{_type_: cb.swap}, {_type_: cb.model_checkpoint, save_dir: weights}]}",
    )
    with pytest.raises(ConfigError, match="`weights` is a link to"):
        train(plan, root=project, start=first_start)

    assert list(outside.iterdir()) == []
