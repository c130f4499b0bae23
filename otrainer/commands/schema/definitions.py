"""The definitions that no key decides, from `definitions.yaml`, and in them the ops that a model may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from otrainer.commands.schema.values import (
    HOLDS,
    VALUE,
    Schema,
    argument,
    container,
    has,
    mapping,
    other_keys,
    place,
    ref,
    special_words,
)

FILE = Path(__file__).with_name("definitions.yaml")
CALL_ERROR = "`call` is `module:NAME` with a name from `modules`, or `op:NAME` with an op: {}."
CALLED = "What is called: `module:NAME` or `op:NAME`."


class Loader(yaml.SafeLoader):
    """Reads a tag as a call of the function of that name."""


def construct(function: Callable[..., Schema]) -> Callable[[Loader, yaml.Node], Schema]:
    def called(loader: Loader, node: yaml.Node) -> Schema:
        if isinstance(node, yaml.MappingNode):
            return function(**{str(name): value for name, value in loader.construct_mapping(node, deep=True).items()})
        if isinstance(node, yaml.SequenceNode):
            return function(*loader.construct_sequence(node, deep=True))
        return function(node.value)

    return called


for each in (ref, has, place, container, mapping, argument):
    Loader.add_constructor(f"!{each.__name__}", construct(each))


def definitions(ops: Mapping[str, list[Any]]) -> Schema:
    """Return the definitions, in which calls may name `ops`."""
    found: Schema = Loader(FILE.read_bytes()).get_single_data()
    found["mapping"] = {"items": ref(VALUE), "properties": special_words(), **other_keys(is_open=True)}
    for kind in ("step", "node"):
        found[kind]["properties"]["call"] = call(ops)
    return found


def call(ops: Mapping[str, list[Any]]) -> Schema:
    names = "|".join(f"op:{name}" for name in ops).replace(".", r"\.")
    called = {
        "type": "string",
        "pattern": rf"^module:[A-Za-z_][A-Za-z0-9_]*$|^(?:{names})$|{HOLDS}",
        "errorMessage": CALL_ERROR.format(", ".join(f"`{name}`" for name in ops)),
    }
    known = [{"const": f"op:{name}", "description": rows[0]["doc"] or f"`{name}`"} for name, rows in ops.items()]
    return place(called, description=CALLED, anyOf=[*known, {}])
