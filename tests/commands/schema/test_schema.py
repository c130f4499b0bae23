"""The schema admits what the contract does, and finds what a single file shows to be wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from otrainer.commands.schema import schema_of
from otrainer.config.containers import LIST_MODES, MODES
from otrainer.config.nodes import Mapping, Node, Scalar, Sequence
from otrainer.config.parse import parse_tree
from otrainer.config.sections import KNOWN_SECTIONS, RUN_KEYS
from otrainer.config.settings import Settings
from otrainer.model import graph, order, sequential
from otrainer.model.section import RETURNS
from otrainer.registry import Registry, build_registry, check_call
from otrainer.registry.build.signature import WRONG, values_of_all
from otrainer.registry.describe.annotations import united
from otrainer.registry.describe.interface import interface_of

from .broken import BROKEN, FINE

ROOT = Path(__file__).parents[3]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -3, 2.5, 1e4),
    *("no", "2.0", "0,5", "x", "None", "mean", "(1, 2)"),
    *([], [1], [1, 2], [1, "2"], ["a", "b"], [0.5, None], [[1, 2], [3]]),
    *({}, {"a": 1}, {"a": [1, "b"]}, {"_type_": "nn.ReLU"}),
)


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema)


def plain(node: Node) -> Any:
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return node.value


def read(text: str) -> Any:
    return plain(parse_tree(text.encode(), "x.yaml"))


def places(validator: Draft202012Validator, text: str) -> set[str]:
    """Where the config is wrong, as dotted paths."""
    return {".".join(map(str, error.absolute_path)) for error in validator.iter_errors(read(text))}


def test_it_is_a_schema_of_draft_2020_12(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


def test_every_reference_leads_to_a_definition(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    named = {part.partition('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}

    assert named <= set(schema["$defs"])


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/**/*.yaml")), ids=lambda path: path.name)
def test_the_shipped_configs_are_valid_and_name_the_schema(validator: Draft202012Validator, path: Path) -> None:
    text = path.read_text()
    header = text.splitlines()[0]

    assert places(validator, text) == set()
    assert header.startswith("# yaml-language-server: $schema=")
    assert (path.parent / header.partition("=")[2]).resolve() == ROOT / "build" / "schema.json"


def test_the_readmes_experiments_are_valid_once_their_plugin_is_imported(validator: Draft202012Validator) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    assert [places(validator, text) for text in blocks] == [set(), {"loss._value_._type_"}]


@pytest.mark.parametrize("name", FINE)
def test_what_the_contract_admits_is_valid(validator: Draft202012Validator, name: str) -> None:
    assert places(validator, FINE[name]) == set()


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_found_where_it_is_and_nowhere_else(validator: Draft202012Validator, name: str) -> None:
    text, place = BROKEN[name]

    assert places(validator, text) == {place}


def test_every_key_is_a_choice_with_its_keywords_defaults_and_docs(
    schema: dict[str, Any], interfaces: list[dict[str, Any]]
) -> None:
    for interface in interfaces:
        for key, row in interface["modules"].items():
            properties = schema["$defs"][f"key:{key}"]["properties"]
            assert properties["_type_"]["const"] == key
            assert properties["_type_"]["description"] == (row["doc"] or f"`{key}`")
            for name, argument in row["arguments"].items():
                assert properties[name].get("default") == argument.get("default")
                assert properties[name].get("description", "").startswith(argument["doc"])


def test_what_two_plugins_register_under_one_key_are_both_choices(interfaces: list[dict[str, Any]]) -> None:
    def one(width: int) -> None: ...

    def other(height: str) -> None: ...

    several = [*interfaces, *(interface_with("loss.mine", factory) for factory in (one, other, one))]
    validator = Draft202012Validator(schema_of(several))

    assert places(validator, "loss: {_type_: loss.mine, width: 3}") == set()
    assert places(validator, "loss: {_type_: loss.mine, height: x}") == set()
    assert places(validator, "loss: {_type_: loss.mine, width: 3, height: x}") == {"loss"}
    assert "key:loss.mine:3" not in schema_of(several)["$defs"]


def test_the_order_of_experiments_does_not_matter_to_what_is_said(interfaces: list[dict[str, Any]]) -> None:
    assert json.dumps(schema_of(interfaces)) == json.dumps(schema_of([interfaces[1], interfaces[0], interfaces[1]]))


def interface_with(key: str, factory: Any) -> dict[str, Any]:
    registry = Registry()
    registry.registering = "extensions.mine"
    registry.register_module(key, factory)
    return interface_of(registry, built_in=False)


def test_it_knows_the_sections_the_settings_and_the_keys_of_a_run_as_validation_does(schema: dict[str, Any]) -> None:
    def words(section: str) -> set[str]:
        return set(schema["properties"][section]["else"]["else"]["properties"]) - {"_template_"}

    assert set(schema["properties"]) == {*KNOWN_SECTIONS, "defaults", "templates", "_template_"}
    assert words("settings") == {field.name for field in fields(Settings)}
    assert words("run") == set(RUN_KEYS)


def test_it_knows_the_modes_of_containers(schema: dict[str, Any]) -> None:
    modes = schema["$defs"]["container"]["properties"]["_merge_"]["enum"]

    assert tuple(modes) == MODES
    assert all(mode in json.dumps(schema["$defs"]["value"]) for mode in LIST_MODES)


def test_it_knows_the_words_of_models_as_the_compiler_does(schema: dict[str, Any]) -> None:
    def words(name: str) -> set[str]:
        return set(schema["$defs"][name]["properties"]) - {"_template_"}

    assert words("graph") == set(graph.KEYS)
    assert words("sequential") == set(sequential.KEYS)
    assert words("step") == set(order.CALL_KEYS)
    assert words("node") == {"name", *order.CALL_KEYS}
    returned = schema["$defs"]["graph"]["properties"]["return"]["anyOf"][0]["enum"]
    assert set(returned) == {*RETURNS, None}


def arguments(registry: Registry) -> Iterator[tuple[str, str, Any]]:
    """Yield the arguments of built-in keys with what each takes, one of all that take the same."""
    seen = set()
    for key in registry.list_modules():
        entry = registry.get_module(key)
        for name, values in united_values(values_of_all(entry.target)):
            if entry.signature_policy != "runtime_only" and (mark := json.dumps(values)) not in seen:
                seen.add(mark)
                yield key, name, values


def united_values(several: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name in several[0] if several else ():
        if all(name in each for each in several):
            yield name, united([each[name] for each in several])


def test_the_schema_and_the_check_agree_on_every_kind_of_argument(schema: dict[str, Any]) -> None:
    registry, checked = build_registry(), 0
    for key, name, _ in arguments(registry):
        if name in ("self", "params", "optimizer", "args", "kwargs"):
            continue  # what a factory gives, and what stands for any number of arguments
        judge = Draft202012Validator({"$ref": f"#/$defs/key:{key}", "$defs": schema["$defs"]})
        entry = registry.get_module(key)
        for value in VALUES:
            by_schema = judge.is_valid({"_type_": key, name: value})
            found = check_call(entry.target, (), {name: value}, entry.signature_policy, ())
            by_check = not any(finding.title == WRONG for finding in found)
            assert by_schema == by_check, (key, name, value)
            checked += 1
    assert checked > 500


def test_a_name_that_is_imported_for_type_checkers_means_what_it_means_there() -> None:
    registry = build_registry()
    for key in ("loss.torch", "metric.torchmetrics"):
        (values,) = values_of_all(registry.get_module(key).target)
        assert values["pred_path"] == {"type": ["array", "null"], "items": {"type": ["integer", "string"]}}, key
