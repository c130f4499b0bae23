"""Specs: what they build, and what is wrong with them before they do."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass, field
from typing import Any

import pytest

from otrainer.config import Settings, resolve_config
from otrainer.diagnostics.drawing import draw_error
from otrainer.errors import ConfigError
from otrainer.registry import Registry, build_registry, check_value, instantiate_value


@dataclass
class Part:
    size: int = 1
    inner: Any = None
    options: dict = field(default_factory=dict)


def fail(text: str, error: type[Exception] = ValueError) -> None:
    raise error(text)


def refuse() -> None:
    raise ConfigError("not like this", hint="otherwise")


def refuse_there() -> None:
    raise ConfigError("not like this", config_path=("elsewhere",))


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.register_module("part", Part)
    registry.register_module("pair", lambda *args, **kwargs: (args, kwargs))
    registry.register_module("fail", fail)
    registry.register_module("refuse", refuse)
    registry.register_module("refuse_there", refuse_there)
    return registry


def findings_of(value, registry, **settings):
    found = check_value(value, registry=registry, settings=Settings(**settings), config_path=("top",))
    if found:
        with pytest.raises(ConfigError) as caught:
            instantiate_value(value, registry=registry, settings=Settings(**settings), config_path=("top",))
        assert set(caught.value.findings) == set(found)
    return found


def test_plain_data_comes_back_as_a_copy(registry):
    data = {"a": [1, {"b": None}], "c": (1.5, "x")}
    built = instantiate_value(data, registry=registry)
    assert built == data
    assert built is not data
    assert built["a"] is not data["a"]


def test_specs_are_built_wherever_they_nest(registry):
    value = [{"k": {"_type_": "part", "size": 2, "inner": [{"_type_": "part", "size": 3}]}}]
    (outer,) = instantiate_value(value, registry=registry)
    assert outer["k"] == Part(2, [Part(3)])


def test_arguments_come_from_args_kwargs_and_the_other_keys(registry):
    spec = {"_type_": "pair", "_args_": [1, {"_type_": "part"}], "a": 2, "_kwargs_": {"b": {"_type_": "part"}}}
    assert instantiate_value(spec, registry=registry) == ((1, Part()), {"a": 2, "b": Part()})


def test_a_factory_gets_containers_of_its_own(registry):
    spec = {"_type_": "part", "options": {"a": 1}}
    instantiate_value(spec, registry=registry).options["b"] = 2
    assert spec["options"] == {"a": 1}


@pytest.mark.parametrize(
    ("spec", "path", "on_key", "message", "near"),
    [
        ({"_type_": "prat"}, ("_type_",), False, "No component is registered as `prat`", ("part",)),
        ({"_type_": 3}, ("_type_",), False, "`_type_` is a name, not an integer", ()),
        ({"_type_": None}, ("_type_",), False, "`_type_` is a name, not null", ()),
        ({"_type_": "part", "_target_": "a.b"}, ("_target_",), True, "exclude each other", ()),
        ({"_type_": "part", "size": 1, "_kwargs_": {"size": 2}}, ("_kwargs_", "size"), True, "given twice", ()),
        ({"_type_": "part", "_args_": 1}, ("_args_",), False, "`_args_` is a list, not an integer", ()),
        ({"_type_": "part", "_kwargs_": [1]}, ("_kwargs_",), False, "`_kwargs_` is a mapping, not a list", ()),
        ({"_type_": "part", "_arg_": [1]}, ("_arg_",), True, "no reserved key `_arg_`", ("_args_",)),
        ({"_tpye_": "part"}, ("_tpye_",), True, "no reserved key `_tpye_`", ("_type_",)),
        ({"_args_": [1]}, ("_args_",), True, "needs a `_type_` beside it", ()),
        ({"_type_": "part", "sizes": 1}, ("sizes",), True, "`part` has no argument `sizes`", ("size",)),
        ({"_type_": "part", "_kwargs_": {"sizes": 1}}, ("_kwargs_", "sizes"), True, "no argument `sizes`", ("size",)),
        ({"_type_": "part", "_args_": [1], "size": 2}, ("size",), True, "given by position already", ()),
        ({"_type_": "part", "_args_": [1, 2, 3, 4]}, ("_args_", 3), False, "at most 3 positional", ()),
        ({"_type_": "fail"}, (), False, "needs the argument `text`", ()),
        ({"_target_": "os.system"}, ("_target_",), False, "switched off by the settings", ()),
    ],
)
def test_a_wrong_spec_is_told_at_its_place(registry, spec, path, on_key, message, near):
    (finding,) = findings_of([spec], registry)
    assert (finding.config_path, finding.on_key) == (("top", 0, *path), on_key)
    assert message in finding.message
    assert finding.suggestions[: len(near)] == near


def test_reserved_looking_keys_are_arguments_where_settings_are_not_strict(registry):
    spec = {"_type_": "pair", "_mine_": 1, "inner": {"_other_": 2}}
    built = instantiate_value(spec, registry=registry, settings=Settings(strict=False))
    assert built == ((), {"_mine_": 1, "inner": {"_other_": 2}})


def test_everything_wrong_in_a_tree_comes_together(registry):
    value = {"a": {"_type_": "part", "sizes": 1, "inner": {"_type_": "prat"}}, "b": [{"_type_": 1, "x": {"_tipe_": 1}}]}
    assert [finding.config_path[1:] for finding in findings_of(value, registry)] == [
        ("a", "inner", "_type_"),
        ("a", "sizes"),
        ("b", 0, "_type_"),
        ("b", 0, "x", "_tipe_"),
    ]


def test_checking_builds_nothing(registry):
    assert check_value({"_type_": "fail", "text": "x"}, registry=registry) == []


def test_a_failing_factory_is_told_with_key_path_and_cause(registry):
    with pytest.raises(ConfigError) as caught:
        instantiate_value([{"_type_": "fail", "text": "no room"}], registry=registry, config_path=("loss",))
    assert draw_error(caught.value) == (
        "could not build ── loss[0]\n  `fail` raised ValueError: no room\n"
        "  raised in `fail`: tests/registry/build/test_instantiate.py:26:5\n"
        "  Change the arguments of `fail` in the config, or mend its code if they are right."
    )
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_config_error_of_a_factory_passes_through_with_a_path(registry):
    for key, path in [("refuse", ("loss",)), ("refuse_there", ("elsewhere",))]:
        with pytest.raises(ConfigError) as caught:
            instantiate_value({"_type_": key}, registry=registry, config_path=("loss",))
        assert (caught.value.findings[0].message, caught.value.config_path) == ("not like this", path)


def test_errors_have_a_location_where_the_source_is_known(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("schema_version: 1\nmodel: {}\nloss:\n  _type_: part\n  sizes: 3\n")
    config = resolve_config("a.yaml")
    with pytest.raises(ConfigError) as caught:
        places = config.source_map
        instantiate_value(config.data["loss"], registry=registry, config_path=("loss",), source_map=places)
    assert str(caught.value.location) == "a.yaml:5:3"
    assert draw_error(caught.value).splitlines()[:4] == [
        "unknown argument ── a.yaml:5:3",
        "  4 |   _type_: part",
        "  5 |   sizes: 3",
        "    |   ^^^^^",
    ]


def test_secrets_are_read_when_the_component_is_built(registry, monkeypatch):
    monkeypatch.setenv("TOKEN", "abcd")
    spec = {"_type_": "part", "inner": ["${secret:TOKEN}", "a${secret:TOKEN}b", "$${secret:TOKEN}", "$$${secret:X}"]}
    assert check_value(spec, registry=registry) == []
    assert instantiate_value(spec, registry=registry).inner == ["abcd", "aabcdb", "${secret:TOKEN}", "$${secret:X}"]


def test_checking_needs_no_secrets_and_building_tells_every_missing_one(registry, monkeypatch):
    monkeypatch.delenv("ONE", raising=False)
    value = {"a": {"_type_": "part", "inner": "${secret:ONE}"}, "b": "${secret:not a name}"}
    assert check_value(value, registry=registry) == []
    with pytest.raises(ConfigError) as caught:
        instantiate_value(value, registry=registry)
    assert [finding.config_path for finding in caught.value.findings] == [("a", "inner"), ("b",)]
    assert "`ONE` is not set" in str(caught.value)


@pytest.mark.parametrize("error", [ValueError, ConfigError])
def test_a_secret_enters_no_error_and_no_traceback(registry, monkeypatch, error):
    monkeypatch.setenv("TOKEN", "hunter2")
    with pytest.raises(ConfigError) as caught:
        spec = {"_type_": "fail", "text": "bad token ${secret:TOKEN}!", "error": error}
        instantiate_value(spec, registry=registry)
    shown = "".join(traceback.format_exception(caught.value)) + draw_error(caught.value) + repr(caught.value)
    assert "hunter2" not in shown
    assert "bad token ${secret:TOKEN}!" in shown
    assert b"hunter2" not in pickle.dumps(caught.value)


def test_built_in_keys_build_torch_objects():
    registry = build_registry()
    layer = instantiate_value(
        {"_type_": "nn.Linear", "in_features": 3, "_kwargs_": {"out_features": 2}}, registry=registry
    )
    assert layer.weight.shape == (2, 3)
