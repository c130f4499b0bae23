"""Whoever runs otrainer says how much a config may take; the config has no say in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from otrainer.config import Limits, resolve_config
from otrainer.config.limits import limits_in_force
from otrainer.errors import ConfigError

from .config_project import HEAD, Project

REACHED = {
    "depth": ("a: [[[[1]]]]\n", Limits(depth=4), "nested too deep", 7),
    "nodes": ("a: [1, 2, 3]\n", Limits(nodes=5), "config too large", 4),
    "aliases": ("a: &x 1\nb: [*x, *x, *x]\n", Limits(aliases=2), "config too large", 13),
    "file_size": ("# a comment\n", Limits(file_size=30), "file too large", None),
    "includes": ("defaults: [b.yaml, b.yaml]\n", Limits(includes=1), "config too large", 20),
    "string": ("a: text\nb: ${a}${a}\n", Limits(string=7), "string too long", 4),
    "text": ("a: text\nb: ['${a}', '${a}', '${a}']\n", Limits(text=30), "config too large", 1),
    "mistakes": ("a: [!x 1, !x 2]\n", Limits(mistakes=1), "unknown tag", 5),
}


@pytest.mark.parametrize("name", REACHED)
def test_each_limit_stops_at_the_place_where_it_is_reached(project: Project, name):
    text, limits, title, column = REACHED[name]
    project.write("b.yaml", "c: 1\n")
    project.write("exp.yaml", HEAD + text)
    assert resolve_config("exp.yaml", env={}).data if name != "mistakes" else True
    with pytest.raises(ConfigError) as caught:
        resolve_config("exp.yaml", env={}, limits=limits)
    first = caught.value.findings[0]
    assert (first.title, first.location and first.location.col) == (title, column)
    assert name == "mistakes" or f"raise `{name}` in OTRAINER_LIMITS" in first.hint


def test_mistakes_beyond_the_limit_are_not_told_one_by_one(project: Project):
    project.write("exp.yaml", HEAD + "a: [!x 1, !x 2, !x 3]\n")
    with pytest.raises(ConfigError) as caught:
        resolve_config("exp.yaml", limits=Limits(mistakes=1))
    assert [finding.title for finding in caught.value.findings] == ["unknown tag", "too many mistakes"]


def test_the_variable_sets_limits_by_name():
    assert limits_in_force({}) == limits_in_force({"OTRAINER_LIMITS": " "}) == Limits()
    assert limits_in_force({"OTRAINER_LIMITS": "nodes=2_000_000, depth = 100"}) == Limits(nodes=2_000_000, depth=100)


REFUSED = {
    "nods=5": "In OTRAINER_LIMITS: There is no limit `nods`. Did you mean `nodes`?",
    "nodes": "In OTRAINER_LIMITS: `nodes` is a whole number such as `nodes=200000`.",
    "nodes=": "In OTRAINER_LIMITS: `nodes` is a whole number such as `nodes=200000`.",
    "nodes=1e6": "In OTRAINER_LIMITS: `nodes` is a whole number such as `nodes=200000`.",
    "nodes=-5": "In OTRAINER_LIMITS: `nodes` is a whole number such as `nodes=200000`.",
    "nodes=5,nodes=6": "In OTRAINER_LIMITS: `nodes` is given twice.",
    "nodes=5,": "In OTRAINER_LIMITS: There is no limit ``.",
    "nodes=0": "In OTRAINER_LIMITS: `nodes` is a whole number from 1 to 1,000,000,000,000, not 0.",
    "depth=2000": "In OTRAINER_LIMITS: `depth` is a whole number from 1 to 1,000, not 2000.",
    f"nodes={'9' * 5000}": "In OTRAINER_LIMITS: `nodes` is a whole number such as `nodes=200000`.",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_what_the_variable_cannot_mean_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        limits_in_force({"OTRAINER_LIMITS": text})
    assert str(caught.value) == REFUSED[text]


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", 10**13])
def test_a_limit_is_a_whole_number(value):
    with pytest.raises(ValueError, match="`nodes` is a whole number from 1"):
        Limits(nodes=value)


def test_the_variable_holds_for_every_config_and_the_keyword_before_it(project: Project, monkeypatch):
    project.write("exp.yaml", HEAD + "a: [[[1]]]\n")
    monkeypatch.setenv("OTRAINER_LIMITS", "depth=3")
    with pytest.raises(ConfigError, match="more than 3 deep"):
        resolve_config("exp.yaml", env={})
    assert resolve_config("exp.yaml", env={}, limits=Limits()).data["a"] == [[[1]]]
    assert resolve_config({"schema_version": 1, "model": {}, "a": [[1]]}).data["a"] == [[1]]
    with pytest.raises(ConfigError, match="more than 3 deep"):
        resolve_config({"schema_version": 1, "model": {}, "a": [[[1]]]})


DEEP = """
import sys
from otrainer.config import resolve_config
from otrainer.stages.resolve import resolved_artifacts
before = sys.getrecursionlimit()
config = resolve_config("exp.yaml", env={})
assert sys.getrecursionlimit() == before
from otrainer.config.limits import limits_in_force, room_for
with room_for(limits_in_force().depth):
    print(len(resolved_artifacts(config)["resolved.json"]))
"""


def test_a_thousand_levels_are_gone_down_where_they_are_allowed(project: Project):
    inner = "{_merge_: append, _value_: [" * 480 + "'${b}'" + "]}" * 480
    project.write("exp.yaml", f"{HEAD}b: {'[' * 990}1{']' * 990}\na: {inner.replace('${b}', '1')}\nc: ${{b}}\n")
    done = subprocess.run(
        [sys.executable, "-c", DEEP], env={"OTRAINER_LIMITS": "depth=1000", "PYTHONPATH": ":".join(sys.path)},
        cwd=project.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert int(done.stdout) > 4 * 990


def test_lists_that_a_dict_shares_are_counted_before_they_are_copied():
    with pytest.raises(ConfigError) as caught:
        resolve_config({"schema_version": 1, "model": {}, "a": [[1] * 100_000] * 100_000})
    assert (caught.value.findings[0].title, caught.value.config_path) == ("config too large", ("a", 18))
