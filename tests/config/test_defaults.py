"""Files under `defaults` lie below the file that lists them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from otrainer.config import resolve_config
from otrainer.storage.records import Record, reasons

from .config_project import HEAD, Project


def test_later_defaults_lie_over_earlier_ones_and_the_file_over_all(project: Project):
    data = project.data(
        "defaults: [one.yaml, two.yaml]\nc: 3\n", one="a: 1\nb: 1\nc: 1\n", two="b: 2\nc: 2\nd: {x: 1}\n"
    )
    assert data == {"a": 1, "b": 2, "c": 3, "d": {"x": 1}}


def test_keys_come_in_the_order_of_the_lowest_file(project: Project):
    config = project.resolve(
        HEAD + "defaults: [one.yaml, two.yaml]\nz: 3\nb: 3\n", one="b: 1\na: 1\n", two="c: 2\nb: 2\n"
    )
    assert list(config.data) == ["b", "a", "c", "schema_version", "model", "z"]


def test_paths_are_relative_to_the_file_that_lists_them(project: Project):
    project.write("base/low/deep.yaml", "deep: 1\n")
    project.write("base/mid.yaml", "defaults: [low/deep.yaml, ../side.yaml]\n")
    project.write("side.yaml", "side: 1\n")
    project.write("configs/exp.yaml", f"{HEAD}defaults: [../base/mid.yaml]\n")
    assert resolve_config("configs/exp.yaml", env={}).data["deep"] == 1


def test_a_path_may_be_absolute(project: Project):
    path = project.write("elsewhere/base.yaml", "a: 1\n")
    assert project.data(f"defaults: ['{path}']\n") == {"a": 1}


def test_no_entries_and_null_are_an_empty_list(project: Project):
    assert project.data("defaults: []\na: 1\n") == {"a": 1}
    assert project.data("defaults:\na: 1\n") == {"a": 1}


def test_a_container_of_an_included_file_acts_on_what_earlier_entries_have(project: Project):
    """It says the same as if it were written into the including file."""
    data = project.data(
        "defaults: [one.yaml, two.yaml]\n",
        one="l: [1]\nm: {_merge_: append, _value_: [1]}\n",
        two="l: {_merge_: append, _value_: [2]}\nm: {_merge_: prepend, _value_: [0]}\n",
    )
    assert data == {"l": [1, 2], "m": [0, 1]}
    nested = project.data(
        "defaults: [two.yaml]\n", one="l: [1]\n", two="defaults: [one.yaml]\nl: {_merge_: append, _value_: [2]}\n"
    )
    assert nested == {"l": [1, 2]}


MIXINS = {
    "append": ("l: {_merge_: append, _value_: [9]}\n", {"l": [1, 2, 9], "m": {"a": 1, "n": {"b": 2}}}),
    "prepend": ("l: {_merge_: prepend, _value_: [9]}\n", {"l": [9, 1, 2], "m": {"a": 1, "n": {"b": 2}}}),
    "replace": ("m: {_merge_: replace, _value_: {c: 3}}\n", {"l": [1, 2], "m": {"c": 3}}),
    "below": ("m: {n: {_merge_: replace, _value_: {c: 3}}}\n", {"l": [1, 2], "m": {"a": 1, "n": {"c": 3}}}),
    "to nothing": ("o: {_merge_: append, _value_: [9]}\n", {"l": [1, 2], "m": {"a": 1, "n": {"b": 2}}, "o": [9]}),
    "keyed": (
        "k: {_merge_: keyed, key: id, _value_: [{id: 1, x: 2}, {id: 3}]}\n",
        {"l": [1, 2], "m": {"a": 1, "n": {"b": 2}}, "k": [{"id": 1, "y": 0, "x": 2}, {"id": 3}]},
    ),
}


@pytest.mark.parametrize("way", ["listed behind it", "included by another", "two steps up", "written into it"])
@pytest.mark.parametrize("kind", MIXINS)
def test_a_small_file_with_a_container_changes_what_the_base_has_by_any_way(project: Project, kind: str, way: str):
    mixin, expected = MIXINS[kind]
    base = "l: [1, 2]\nm: {a: 1, n: {b: 2}}\n" + ("k: [{id: 1, y: 0}]\n" if kind == "keyed" else "")
    files = {"base": base, "mixin": mixin, "around": "defaults: [mixin.yaml]\n", "far": "defaults: [around.yaml]\n"}
    entry = {"listed behind it": "mixin", "included by another": "around", "two steps up": "far"}.get(way)
    own = f"defaults: [base.yaml, {entry}.yaml]\n" if entry else f"defaults: [base.yaml]\n{mixin}"

    assert project.data(own, **files) == expected


def test_what_a_file_lists_below_its_own_container_comes_first(project: Project):
    """A list of its own base replaces the earlier one, and its mapping merges with it, before the container acts."""
    files = {"base": "l: [1]\nm: {a: 1}\n", "own": "l: [5]\nm: {b: 2}\n"}
    mixin = "defaults: [own.yaml]\nl: {_merge_: append, _value_: [6]}\nm: {_merge_: replace, _value_: {c: 3}}\n"
    data = project.data("defaults: [base.yaml, mixin.yaml]\nm: {d: 4}\n", mixin=mixin, **files)

    assert data == {"l": [5, 6], "m": {"c": 3, "d": 4}}


def test_a_diamond_is_fine_and_reads_its_foot_once(project: Project):
    config = project.resolve(
        HEAD + "defaults: [left.yaml, right.yaml]\n",
        left="defaults: [foot.yaml]\na: left\n",
        right="defaults: [foot.yaml]\nb: right\n",
        foot="a: foot\nb: foot\nc: foot\n",
    )
    assert [config.data[key] for key in "abc"] == ["foot", "right", "foot"]
    assert list(config.reads.files) == ["exp.yaml", "left.yaml", "foot.yaml", "right.yaml"]


def test_one_file_by_two_names_is_read_once(project: Project):
    (project.folder / "sub").mkdir()
    config = project.resolve(HEAD + "defaults: [base.yaml, sub/../base.yaml, ./base.yaml]\n", base="a: 1\n")
    assert list(config.reads.files) == ["exp.yaml", "base.yaml"]


def test_a_linked_folder_is_followed_before_its_parent_is_taken(project: Project):
    project.write("real/deep/inner.yaml", "defaults: [../base.yaml]\n")
    project.write("real/base.yaml", "a: real\n")
    project.write("base.yaml", "a: wrong\n")
    (project.folder / "link").symlink_to(project.folder / "real" / "deep")
    assert project.data("defaults: [link/inner.yaml]\n") == {"a": "real"}


def test_a_chain_of_files_may_be_longer_than_the_stack(project: Project):
    for number in range(1_200):
        project.write(f"f{number}.yaml", f"defaults: [f{number + 1}.yaml]\nk{number}: 1\n")
    project.write("f1200.yaml", "a: 1\n")
    assert len(project.data("defaults: [f0.yaml]\n")) == 1_201


def test_reads_tell_what_was_read_in_the_order_of_reading(project: Project):
    text = HEAD + "defaults: [base.yaml]\n"
    config = project.resolve(text, base="a: 1\n")
    (name, first), (_, second) = config.reads.files.items()
    assert (name, first.sha256, first.size) == ("exp.yaml", hashlib.sha256(text.encode()).hexdigest(), len(text))
    assert second.mtime_ns == (project.folder / "base.yaml").stat().st_mtime_ns
    assert config.reads.missing == ()


def test_files_inside_the_root_are_named_relative_to_it_and_others_absolutely(project: Project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "base.yaml"
    outside.write_text("a: 1\n")
    path = project.write("configs/exp.yaml", f"{HEAD}defaults: ['{outside}']\n")
    config = resolve_config(path, env={}, root=project.folder / "configs")
    assert list(config.reads.files) == ["exp.yaml", outside.as_posix()]
    assert str(config.source_map.locate(("a",))) == f"{outside.as_posix()}:1:4"


def test_several_files_that_cannot_be_read_are_reported_together(project: Project):
    error = project.error(
        HEAD + "defaults: [gone.yaml, two.yaml, broken.yaml]\n",
        two="defaults:\n  - also_gone.yaml\n",
        broken="a: [1\n",
    )
    assert [finding.title for finding in error.findings] == ["invalid YAML", "missing file", "missing file"]
    assert [str(finding.location) for finding in error.findings] == ["broken.yaml:1:4", "exp.yaml:3:12", "two.yaml:2:5"]
    assert error.reads.missing == ("gone.yaml", "also_gone.yaml")
    assert list(error.reads.files) == ["exp.yaml", "two.yaml", "broken.yaml"]
    assert error.partial is None


def test_a_missing_file_is_told_at_each_entry_that_names_it(project: Project):
    error = project.error(HEAD + "defaults: [gone.yaml, two.yaml]\n", two="defaults: [gone.yaml]\n")
    assert [finding.location.file for finding in error.findings] == ["exp.yaml", "two.yaml"]


def test_a_broken_file_that_two_others_list_is_told_once(project: Project):
    error = project.error(
        "defaults: [a.yaml, b.yaml]\n", a="defaults: [c.yaml]\n", b="defaults: [c.yaml]\n", c="x: 1\nx: 2\n"
    )
    assert [finding.title for finding in error.findings] == ["duplicate key"]


@pytest.mark.parametrize(
    ("defaults", "title", "path"),
    [
        ("base.yaml", "defaults is no list", ("defaults",)),
        ("{a: base.yaml}", "defaults is no list", ("defaults",)),
        ("{_merge_: append, _value_: [base.yaml]}", "defaults is no list", ("defaults",)),
        ("[3]", "entry is no path", ("defaults", 0)),
        ("[base.yaml, '']", "entry is no path", ("defaults", 1)),
        ("[[base.yaml]]", "entry is no path", ("defaults", 0)),
        ("[.]", "not a file", ("defaults", 0)),
        ('["a\\0b"]', "entry is no path", ("defaults", 0)),
        ("[nowhere/base.yaml]", "missing file", ("defaults", 0)),
        ("[base.yaml/base.yaml]", "missing file", ("defaults", 0)),
    ],
)
def test_defaults_that_mean_no_file(project: Project, defaults, title, path):
    error = project.error(f"{HEAD}defaults: {defaults}\n", base="a: 1\n")
    assert [(finding.title, finding.config_path) for finding in error.findings] == [(title, path)]
    assert error.location.file == "exp.yaml"
    assert error.location.line == 3
    assert error.findings[0].hint


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_an_error(project: Project):
    project.write("base.yaml", "a: 1\n").chmod(0)
    assert project.error(f"{HEAD}defaults: [base.yaml]\n").findings[0].title == "unreadable file"


def test_a_pipe_is_refused_and_not_waited_for(project: Project):
    os.mkfifo(project.folder / "pipe.yaml")
    assert project.error(f"{HEAD}defaults: [pipe.yaml]\n").findings[0].title == "not a file"


def test_a_missing_experiment_has_no_place_but_a_suggestion(project: Project):
    project.write("configs/baseline.yaml", HEAD)
    with pytest.raises(Exception, match=r"There is no file `configs/baselin\.yaml`") as caught:
        resolve_config(Path("configs/baselin.yaml"))
    assert caught.value.suggestions == ["configs/baseline.yaml"]
    assert caught.value.location is None
    assert caught.value.reads.missing == ("configs/baselin.yaml",)


def test_a_way_through_a_link_is_told_once_it_leads_elsewhere(tmp_path: Path) -> None:
    """Be the link the last folder, one on the way, or one from which the way goes up again."""
    for version in ("v1", "v2"):
        (tmp_path / version / "deep").mkdir(parents=True)
        for name in ("p.yaml", "deep/q.yaml"):
            (tmp_path / version / name).write_text(f"params: {{v: {version}}}\n")
    for link in ("last", "middle", "up", "start"):
        (tmp_path / link).symlink_to("v1/deep" if link == "up" else "v1")
    top = "schema_version: 1\nmodel: {}\n"
    (tmp_path / "v1/a.yaml").write_text(f"defaults: [p.yaml]\n{top}")
    (tmp_path / "plain.yaml").write_text(f"defaults: [v1/p.yaml, ./v1/../v1/deep/q.yaml]\n{top}")
    (tmp_path / "linked.yaml").write_text(f"defaults: [last/p.yaml, middle/deep/q.yaml, up/../p.yaml]\n{top}")
    reads = {name: resolve_config(tmp_path / name, root=tmp_path).reads for name in ("plain.yaml", "linked.yaml")}
    started = resolve_config(tmp_path / "start/a.yaml", root=tmp_path).reads
    records = [Record(each.files, links=each.links) for each in (*reads.values(), started)]
    assert [list(reasons(each, {}, root=tmp_path)) for each in records] == [[], [], []]
    assert reads["plain.yaml"].links == {}
    for link in ("last", "middle", "up", "start"):
        (tmp_path / link).unlink()
        (tmp_path / link).symlink_to("v2/deep" if link == "up" else "v2")

    assert [list(reasons(each, {}, root=tmp_path)) for each in records] == [
        [],
        [f"`{way}` leads elsewhere now." for way in ("last", "middle/deep", "up/..")],
        ["`start` leads elsewhere now."],
    ]
