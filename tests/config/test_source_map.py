"""Each value knows where it was written."""

from __future__ import annotations

import json

import pytest

from otrainer.config import SourceMap
from otrainer.errors import Finding, SourceLocation

from .config_project import HEAD, Project

BASE = """\
run: {name: base, seed: 1}
list:
  - one
  - {k: 2}
"""
TEXT = """\
defaults: [base.yaml]
templates: {t: {a: 1, b: 2}}
run:
  name: exp
shared: &x {v: 1}
alias: *x
copy: ${run}
node: {_template_: t, b: 3}
more: {_merge_: append, _value_: [5]}
"""
PLACES = {
    ("run",): ("exp.yaml:6:3", "exp.yaml:5:1"),
    ("run", "name"): ("exp.yaml:6:9", "exp.yaml:6:3"),
    ("run", "seed"): ("base.yaml:1:25", "base.yaml:1:19"),
    ("list",): ("base.yaml:3:3", "base.yaml:2:1"),
    ("list", 0): ("base.yaml:3:5", "base.yaml:3:5"),
    ("list", 1, "k"): ("base.yaml:4:9", "base.yaml:4:6"),
    ("alias",): ("exp.yaml:8:8", "exp.yaml:8:1"),
    ("alias", "v"): ("exp.yaml:7:16", "exp.yaml:7:13"),
    ("copy",): ("exp.yaml:9:7", "exp.yaml:9:1"),
    ("copy", "seed"): ("base.yaml:1:25", "base.yaml:1:19"),
    ("node",): ("exp.yaml:10:7", "exp.yaml:10:1"),
    ("node", "a"): ("exp.yaml:4:20", "exp.yaml:4:17"),
    ("node", "b"): ("exp.yaml:10:26", "exp.yaml:10:23"),
    ("more",): ("exp.yaml:11:34", "exp.yaml:11:1"),
    ("more", 0): ("exp.yaml:11:35", "exp.yaml:11:35"),
    # nearest known parents
    ("run", "gone", "deeper"): ("exp.yaml:6:3", "exp.yaml:5:1"),
    ("list", 7): ("base.yaml:3:3", "base.yaml:2:1"),
    ("run", "name", "x"): ("exp.yaml:6:9", "exp.yaml:6:3"),
    ("gone",): ("exp.yaml:1:1", "exp.yaml:1:1"),
    (): ("exp.yaml:1:1", "exp.yaml:1:1"),
}  # fmt: skip


@pytest.fixture(params=["tree", "json"])
def source_map(project: Project, request) -> SourceMap:
    config = project.resolve(HEAD + TEXT, base=BASE)
    if request.param == "tree":
        return config.source_map
    return SourceMap.from_json(json.loads(json.dumps(config.source_map.to_json())))


@pytest.mark.parametrize("path", PLACES, ids=str)
def test_values_and_keys_are_found_where_they_were_written(source_map: SourceMap, path):
    value, key = PLACES[path]
    assert (str(source_map.locate(path)), str(source_map.locate(path, key=True))) == (value, key)


def test_the_flat_form_has_a_row_for_every_value(project: Project):
    rows = project.resolve("schema_version: 1\nmodel: {l: [a]}\n").source_map.to_json()
    assert rows == {
        "": ["exp.yaml", 1, 1, None, None],
        "schema_version": ["exp.yaml", 1, 17, 1, 1],
        "model": ["exp.yaml", 2, 8, 2, 1],
        "model.l": ["exp.yaml", 2, 12, 2, 9],
        "model.l[0]": ["exp.yaml", 2, 13, None, None],
    }


def test_an_empty_map_knows_no_place():
    assert SourceMap().locate(("a",)) is None
    assert SourceMap.from_json({}).to_json() == {}


def test_columns_count_characters_and_lines_count_as_in_an_editor(project: Project):
    config = project.resolve(HEAD.replace("\n", "\r\n") + "'ä€😀': [x, y]\r\nz: 1\r\n")
    assert str(config.source_map.locate(("ä€😀", 1))) == "exp.yaml:3:12"
    assert str(config.source_map.locate(("z",))) == "exp.yaml:4:4"


def test_every_link_of_the_chain_of_includes_is_known(project: Project):
    """A file that several others include is reached by the first of them, as it was read."""
    project.write("base.yaml", "run: {seed: 1}\n")
    project.write("middle.yaml", "# middle\ndefaults:\n  - base.yaml\n")
    config = project.resolve("schema_version: 1\nmodel: {}\ndefaults: [middle.yaml, base.yaml]\n")
    for places in (config.source_map, SourceMap.from_json({}, json.loads(json.dumps(config.source_map.includes)))):
        chain = places.includes_of("base.yaml")
        assert [str(place) for place in chain] == ["middle.yaml:3:5", "exp.yaml:3:12"]
        assert places.includes_of("exp.yaml") == ()
        finding = Finding("x", location=SourceLocation("base.yaml", 1, 1)).located(places)
        assert finding.includes == chain


def test_a_mistake_in_an_included_file_says_how_it_came_in(project: Project):
    """Whatever stage of reading finds it."""
    chain = "\n  included by middle.yaml:1:12\n  included by exp.yaml:3:12\n"
    middle, exp = "defaults: [base.yaml]\n", "schema_version: 1\nmodel: {}\ndefaults: [middle.yaml]\n"
    for mistake in ("a: [", "a: 1\na: 2", "defaults: [none.yaml]", "a: {_merge_: no}", "a: ${no}", "settings: {a: 1}"):
        drawn = project.drawn(exp, middle=middle, base=f"{mistake}\n")
        assert " ── base.yaml:" in drawn
        assert chain in drawn
