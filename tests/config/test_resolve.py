"""The door: a file or a dict in, plain data out, or an error that knows what was read and what is left."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otrainer.config import ResolvedConfig, Settings, resolve_config
from otrainer.config.errors import ConfigError, format_error_with_context

from .config_project import HEAD, Project

PLAIN = {"schema_version": 1, "model": {}}


def test_a_dict_means_the_same_as_a_file(project: Project):
    text = """\
templates: {t: {l: [1], s: "${run.name}"}}
run: {name: n, seed: 5, out: "runs/${run.name}"}
x: {_template_: t, l: {_merge_: append, _value_: [2]}, copy: "${run}"}
settings: {strict: false}
"""
    import yaml

    from_file = project.resolve(HEAD + text)
    from_dict = resolve_config(yaml.safe_load(HEAD + text))
    assert json.dumps(from_dict.data) == json.dumps(from_file.data)
    assert (from_dict.settings, from_dict.used) == (from_file.settings, from_file.used)


def test_the_dict_is_not_changed_and_shares_nothing_with_the_result():
    source = {**PLAIN, "a": {"l": [1, {"x": "${b}"}]}, "b": [2], "t": (1, 2)}
    before = copy.deepcopy(source)
    data = resolve_config(source).data
    assert data["t"] == [1, 2]
    data["a"]["l"].append(3)
    data["b"].append(3)
    assert source == before


def test_a_dict_has_no_places():
    config = resolve_config(PLAIN)
    assert config.source_map.locate(("model",)) is None
    assert config.source_map.to_json() == {}
    with pytest.raises(ConfigError) as caught:
        resolve_config({**PLAIN, "a": "${nowhere}"})
    assert (caught.value.location, caught.value.config_path) == (None, ("a",))


def test_what_is_no_plain_data_is_told_with_its_path():
    looped: dict[str, object] = {**PLAIN}
    looped["a"] = looped
    with pytest.raises(ConfigError, match="contain themselves"):
        resolve_config(looped)
    with pytest.raises(ConfigError) as caught:
        resolve_config(
            {**PLAIN, "a": [1, {2, 3}], "p": Path("x"), "k": {1: 2, None: 3}, "defaults": ["x.yaml"], "b": b"x"}
        )
    assert [finding.config_path for finding in caught.value.findings] == [
        ("defaults",), ("a", 1), ("p",), ("k",), ("k",), ("b",),
    ]  # fmt: skip
    assert all(finding.hint for finding in caught.value.findings)


def test_data_is_plain_and_fit_for_json_and_pickle(project: Project):
    config = project.resolve(HEAD + "a: &x {b: [1, 2.5, null, true, text]}\nc: *x\n")
    assert type(config.data) is dict
    assert json.loads(json.dumps(config.data)) == config.data
    assert pickle.loads(pickle.dumps(config.data)) == config.data  # noqa: S301 - its own bytes


def test_the_source_may_be_a_string_or_a_path(project: Project):
    path = project.write("a.yaml", HEAD)
    assert resolve_config(str(path)).data == resolve_config(path).data == resolve_config("a.yaml").data


def test_a_failing_resolve_keeps_what_was_read_and_what_is_left(project: Project):
    error = project.error(
        f"{HEAD}defaults: [base.yaml]\na: ${{nowhere}}\nb: ${{run.name}}\nsettings: {{strct: true}}\n",
        base="run: {name: n}\n",
    )
    assert list(error.reads.files) == ["exp.yaml", "base.yaml"]
    partial = error.partial
    assert isinstance(partial, ResolvedConfig)
    assert (partial.data["a"], partial.data["b"]) == ("${nowhere}", "n")
    assert str(partial.source_map.locate(("run", "name"))) == "base.yaml:1:13"
    assert partial.used == {"nowhere", "run"}
    assert partial.settings == Settings()


def test_without_a_tree_nothing_partial_is_left(project: Project):
    error = project.error("a: [1\n")
    assert error.partial is None
    assert list(error.reads.files) == ["exp.yaml"]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("text", [HEAD, "a: [1\n", "a: ${b}\n"])
def test_the_garbage_collector_is_left_as_it_was(project: Project, text, enabled):
    project.write("exp.yaml", text)
    (gc.enable if enabled else gc.disable)()
    try:
        resolve_config("exp.yaml")
    except ConfigError:
        assert text != HEAD
    finally:
        after = gc.isenabled()
        gc.enable()
    assert after is enabled


def test_other_exceptions_are_drawn_as_their_text():
    assert format_error_with_context(ValueError("just this")) == "just this"


TEXTS = st.sampled_from(
    [
        "${a}",
        "${b.a}",
        "${c[0]}",
        "x${a}",
        "${a",
        "$${a}",
        "${env:X}",
        "${env:json:J}",
        "${secret:S}",
        "a",
        "b",
        "append",
        "keyed",
    ]
)
NAMES = st.sampled_from(["a", "b", "c", "_merge_", "_value_", "key", "_template_"])
ANYTHING = st.recursive(
    TEXTS | st.none() | st.integers(0, 2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.fixed_dictionaries({"_merge_": st.sampled_from(["append", "replace", "keyed"]), "_value_": inner})
        | st.fixed_dictionaries({"_template_": st.sampled_from("abc")}, optional={"a": inner, "b": inner})
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "templates", "settings", "imports", "_template_"]), ANYTHING))
@settings(max_examples=300)
def test_whatever_is_given_resolves_or_is_faulted(tree):
    """No other exception, nothing half-applied, and the same outcome again."""
    source = {"schema_version": 1, "model": {}, **tree}

    def outcome() -> str:
        try:
            return json.dumps(resolve_config(source, env={"J": "[1]"}).data)
        except ConfigError as error:
            assert all(finding.title and finding.message for finding in error.findings)
            return format_error_with_context(error)

    first = outcome()
    assert outcome() == first
    assert first[0] != "{" or ("_merge_" not in first and "_template_" not in first and "_value_" not in first)


SCRIPT = """
import json, sys
from otrainer.config import resolve_config
config = resolve_config("exp.yaml", env={"SEED": "3"})
print(json.dumps(config.data), json.dumps(config.source_map.to_json()), config.settings, sorted(config.used))
try:
    resolve_config("bad.yaml", env={})
except Exception as error:
    from otrainer.config.errors import format_error_with_context
    print(format_error_with_context(error))
print(sorted(set(sys.modules) & {"torch", "numpy"}))
"""
RICH = """\
defaults: [one.yaml, two.yaml]
templates: {t: {k: 1, l: [1]}, u: {_template_: t, j: 2}}
x: {_template_: u, l: {_merge_: append, _value_: [2]}, b: 1, a: 2}
seed: ${env:int:SEED}
y: ${x}
"""
BAD = "a: ${aa}\nrun: {naem: 1, nmae: 2, nam: 3}\nb: ${run.name}\nc: ${d}\nd: ${c}\nsettings: {alow: 1, strct: 2}\n"


def test_the_same_input_gives_the_same_bytes_in_every_process(project: Project):
    project.write("exp.yaml", HEAD + RICH)
    project.write("one.yaml", "m: {z: 1, y: 2}\nl: [{n: a}, {n: b}]\n")
    project.write("two.yaml", "m: {x: 3, z: 4}\nk: 1\n")
    project.write("bad.yaml", BAD)
    outputs = set()
    for seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
        outputs.add(run.stdout)
    assert len(outputs) == 1
    assert outputs.pop().endswith("[]\n")


def test_importing_the_package_loads_neither_torch_nor_yaml():
    code = "import sys, otrainer.config, otrainer.config.errors; print(sorted(set(sys.modules) & {'torch', 'yaml'}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_pure_python_parsing_takes_over_where_libyaml_is_missing(project: Project, monkeypatch):
    import yaml

    with_libyaml = project.resolve(HEAD + RICH, env={"SEED": "3"}, one="a: 1\n", two="b: 'x'\n")
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    monkeypatch.delattr(yaml, "CSafeLoader")
    without = project.resolve(env={"SEED": "3"})
    assert json.dumps(without.data) == json.dumps(with_libyaml.data)
    assert without.source_map.to_json() == with_libyaml.source_map.to_json()
