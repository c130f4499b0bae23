"""`doit schema` is about all experiments: made again when their keys changed, and also while some are broken."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def two(project):
    """Two experiments, of which `b` has a plugin."""
    (project.root / "mine.py").write_text("one key\nand its code\n")
    project.write("b", "plugin: mine.py\n")
    return project


def schema(project):
    return json.loads((project.root / "build" / "schema.json").read_text())


def test_it_is_made_of_all_experiments_and_only_when_their_keys_changed(two):
    assert two.doit("schema").code == 0
    assert schema(two) == {"build/a/keys.json": [], "build/b/keys.json": ["one key"]}
    assert two.executed()[-1] == "schema all experiments"

    (two.root / "mine.py").write_text("one key\nand other code\n")
    two.write("a", "lr: 2\n")
    assert two.doit("schema").lines[-1] == "-- schema"
    assert two.executed() == ["resolve a", "manifest b"]

    (two.root / "mine.py").write_text("another key\n")
    assert "`build/b/keys.json` changed." in two.doit("schema").out
    assert schema(two)["build/b/keys.json"] == ["another key"]


def test_a_broken_experiment_does_not_keep_the_others_from_it_and_those_that_come_and_go_are_noticed(two):
    two.write("a", "wrong: manifest\n")
    ran = two.doit("schema")
    assert ran.code == 1
    assert "`wrong` is not right." in ran.err
    assert schema(two) == {"build/b/keys.json": ["one key"]}

    (two.root / "configs" / "experiments" / "b.yaml").unlink()
    two.write("a")
    two.write("sub/c")
    assert two.doit("schema").code == 0
    assert list(schema(two)) == ["build/a/keys.json", "build/sub/c/keys.json"]

    (two.root / "configs" / "experiments" / "sub" / "c.yaml").unlink()
    assert "There are other experiments than those that it was made of." in two.doit("schema").out


@pytest.mark.parametrize("words", [("schema", "EXP=a"), ("schema:a",), ("schema", "train:a")])
def test_no_single_experiment_can_be_named(two, words):
    ran = two.doit(*words)

    assert ran.code == 1
    assert ran.err == (
        "not about one experiment\n"
        "  `schema` is about all experiments together: no single one can be named.\n"
        "  Write `doit schema`.\n"
        "  while reading the command line\n"
    )
