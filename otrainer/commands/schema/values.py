"""What may stand in the place of any value: `${...}`, a container, a template's use, a spec.

A schema here is a plain mapping. Choices are made by `if` and `then`, not by `oneOf`, so that an editor names the one
keyword that is wrong and not all that might have been; `errorMessage` is what yaml-language-server then says. What no
key decides stands in `definitions.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from otrainer.config.containers import LIST_MODES
from otrainer.registry.describe.annotations import plain_only

Schema: TypeAlias = dict[str, Any]

FILE = Path(__file__).with_name("definitions.yaml")
VALUE, PLAIN = "value", "plain"
HOLDS = r"\$\{"
RESERVED = "^_(?!(type|target|args|kwargs|merge|value|template)_$).*[^_].*_$"
NO_RESERVED = "Keys of the form `_name_` are otrainer's own, and this is none of them."
CALL_ERROR = "`call` is `module:NAME` with a name from `modules`, or `op:NAME` with an op: {}."
OF_TORCH = ("torch.", "F.")  # ops that are functions of torch, which are many
CALLED = "What is called: `module:NAME` or `op:NAME`."
ONLY_BUILT = "This is built by a component: a spec such as `{_type_: ...}`."


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def choice(condition: Schema, then: Schema | bool, otherwise: Schema | bool = True) -> Schema:
    """`then` where `condition` holds, else `otherwise`; `True` asks for nothing."""
    branches: tuple[tuple[str, Schema | bool], ...] = (("then", then), ("else", otherwise))
    return {"if": condition, **{word: branch for word, branch in branches if branch is not True}}


def has(*names: str) -> Schema:
    """Match mappings with any of these keys."""
    if len(names) == 1:
        return {"type": "object", "required": list(names)}
    return {"type": "object", "anyOf": [{"required": [name]} for name in names]}


def says(word: str, value: Schema) -> Schema:
    return {"properties": {word: value}, "required": [word]}


def mapping(message: str, properties: Schema, others: Schema | bool = False, **more: Any) -> Schema:
    """Admit mappings with these keys and `others`; `message` is the error for anything else."""
    form = {"type": "object", "errorMessage": message}
    return {"properties": properties, "additionalProperties": others, "allOf": [form], **more}


def offered(schema: Schema, *alternatives: Schema) -> Schema:
    """Add what an editor may complete to `schema`; the last alternative admits anything, since others judge."""
    return {**schema, "anyOf": [*alternatives, {}]}


def place(value: Schema, added: Schema | None = None, matched: Schema | None = None, **more: Any) -> Schema:
    """Admit `value`, a container of it, or one whole `${...}`.

    A list there may gain elements that are `added`, or `matched` with one that it has and may complete.
    """
    anything = ref(VALUE)
    held = container(value, added or anything, matched or added or anything)
    whole = offered(choice(has("_merge_", "_value_"), held, choice(ref("expression"), True, value)))
    return {**whole, **more}


def container(value: Schema, added: Schema, matched: Schema) -> Schema:
    """`{_merge_: MODE, _value_: V}` in the place of `value`."""
    to_list = says("_merge_", {"pattern": f"^({'|'.join(LIST_MODES)})$"})
    by_key, to_end = ({"properties": {"_value_": {"type": "array", "items": items}}} for items in (matched, added))
    gained = choice(says("_merge_", {"const": "keyed"}), by_key, to_end)
    return {**ref("container"), **choice(to_list, gained, {"properties": {"_value_": value}})}


def argument(values: Schema, inside: str = VALUE, **more: Any) -> Schema:
    """Admit such values, and what may stand for one: `${...}`, a container, a template's use, a spec.

    `inside` is what holds of those: any value, or plain data that builds nothing.
    """
    if inside == PLAIN:
        values = plain_only(values)
    if not values:
        return {**offered(ref(inside)), **more}
    if "not" in values:
        return {**offered(spelled_out(values, inside)), **more}
    if "enum" in values:
        completions = [{"enum": values["enum"]}]
    else:
        completions = [{"type": "boolean"}] if "boolean" in values["type"] else []
    stand_in = "text-stand-in" if "string" in values["type"] else "stand-in"
    return {**offered(choice(ref(stand_in), ref(inside), nested(values, inside)), *completions), **more}


def spelled_out(values: Schema, inside: str) -> Schema:
    """Admit anything but texts that spell out a value of another kind."""
    rule = {"not": values["not"], "errorMessage": "This is text: write it as YAML does (`true`, `false`, `0.1`)."}
    return {"allOf": [ref(inside), choice({"type": "string", "pattern": HOLDS}, True, rule)]}


def nested(values: Schema, inside: str) -> Schema:
    """Return the schema of plain values, with whatever may stand in their items' place."""
    found = dict(values)
    if len(found["type"]) == 1:
        found["type"] = found["type"][0]
    if found["type"] == "object":
        found["errorMessage"] = ONLY_BUILT
    if "prefixItems" in found:
        found["prefixItems"] = [argument(each, inside) for each in found["prefixItems"]]
    elif "array" in values["type"]:
        found["items"] = argument(found.get("items", {}), inside)
    if "object" in values["type"]:
        found["additionalProperties"] = argument(found.get("additionalProperties", {}), inside)
    return found


def special_words() -> Schema:
    """Return what any mapping may have that builds something."""
    return {name: ref(name) for name in ("_template_", "_target_", "_args_", "_kwargs_")}


def other_keys(*, is_open: bool) -> Schema:
    """Return what holds for keys that are not named."""
    if not is_open:
        return {"additionalProperties": False}
    return {"patternProperties": {RESERVED: False}, "additionalProperties": ref(VALUE), "errorMessage": NO_RESERVED}


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
    told = [name for name in ops if not name.startswith(OF_TORCH)] + [f"{module}NAME" for module in OF_TORCH]
    called = {
        "type": "string",
        "pattern": rf"^module:[A-Za-z_][A-Za-z0-9_]*(?:\.[0-9]+)?$|^(?:{names})$|{HOLDS}",
        "errorMessage": CALL_ERROR.format(", ".join(f"`{name}`" for name in told)),
    }
    known = [{"const": f"op:{name}", "description": rows[0]["doc"] or f"`{name}`"} for name, rows in ops.items()]
    return place(called, description=CALLED, anyOf=[*known, {}])
