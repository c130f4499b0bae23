"""The section `model`: a sequence of layers, or a graph of modules and calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from otrainer.commands.schema.values import HOLDS, Schema, choice, has, mapping, offered, place, ref

NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
RETURNS = ("single", "tuple", "dict")
NAME_ERROR = "A name consists of letters, digits and `_`, and begins with no digit."
CALL_ERROR = "`call` is `module:NAME` with a name from `modules`, or `op:NAME` with an op: {}."
SPEC_ERROR = "A module is a spec, such as `{_type_: nn.ReLU}`."
OUT_ERROR = "`out` is a name, a list of names, or a mapping of names to keys."
PICK_ERROR = "What a mapping picks is a key: text or a number."
OUTPUT_ERROR = "An output is the name of a value."
BOTH_MODELS = "A model is either `sequential` or `graph`."
BOTH_CALLS = "A graph has either `nodes` or `steps`; `order` belongs to `nodes` as a mapping."
NODES_ERROR = "`nodes` is a list of calls, or a mapping of names to calls."
TEMPLATE = {"_template_": ref("_template_")}


def model_definitions(ops: Mapping[str, list[Any]]) -> Schema:
    """Return the schemas of the model and of the parts that occur in several places of it."""
    return {
        "name": {"type": "string", "pattern": f"{NAME}|{HOLDS}", "errorMessage": NAME_ERROR},
        "module": module(),
        "out": out(),
        "step": call(ops),
        "node": call(ops, name=place(ref("name")) | {"description": "The name of this call."}),
        "sequential": sequential(),
        "graph": graph(),
        "model": model(),
    }


def model() -> Schema:
    parts = {
        "sequential": place(ref("sequential")) | {"description": "One input through a list of layers."},
        "graph": place(ref("graph")) | {"description": "Modules, and calls of them and of ops, in order."},
    }
    message = "A model is `{sequential: ...}` or `{graph: ...}`."
    either = {"sequential": {"properties": {"graph": False}, "errorMessage": BOTH_MODELS}}
    return mapping(message, {**TEMPLATE, **parts}, dependentSchemas=either)


def sequential() -> Schema:
    whole = {"allOf": [ref("module"), ref("whole")]}
    layer = place(whole)
    layers = {"items": layer, "minItems": 1, "allOf": [is_list("`layers` is a list of specs.")]}
    parts = {
        "inputs": names(most=1) | {"description": "The name of the only input; `[x]` where it is left out."},
        "layers": place(layers, layer, ref("value"))
        | {"description": "Specs, each called on what the one before returned."},
        "return": returned(),
    }
    return mapping("`sequential` is `{layers: [...]}`.", {**TEMPLATE, **parts})


def graph() -> Schema:
    legal = {"pattern": NAME, "errorMessage": NAME_ERROR}
    module = {"allOf": [ref("value"), is_mapping(SPEC_ERROR)]}
    modules = mapping("`modules` are specs by name.", TEMPLATE, place(module), propertyNames=legal)
    parts = {
        "inputs": names() | {"description": "The names of the inputs, in order."},
        "modules": place(modules) | {"description": "Specs by name. A module that is called twice shares its weights."},
        "nodes": nodes() | {"description": "Calls: a list with a `name` each, or a mapping by name with an `order`."},
        "order": names() | {"description": "The nodes of a mapping in the order in which they run."},
        "steps": calls("step", ("call", "out")) | {"description": "Calls in their order; each names its `out`."},
        "outputs": outputs() | {"description": "The values that are returned, with or without `$`."},
        "return": returned(),
    }
    either = {"steps": {"properties": {"nodes": False, "order": False}, "errorMessage": BOTH_CALLS}}
    message = "`graph` is `{inputs: ..., modules: ..., steps: ..., outputs: ...}`."
    return mapping(message, {**TEMPLATE, **parts}, dependentSchemas=either)


def module() -> Schema:
    """Admit a spec, also one that a template completes."""
    known = choice(has("_target_", "_template_"), True, {"required": ["_type_"], "errorMessage": SPEC_ERROR})
    return {"allOf": [ref("value"), is_mapping(SPEC_ERROR), known]}


def nodes() -> Schema:
    order = {"type": "array", "items": ref("name")}
    by_name = mapping(
        NODES_ERROR, {**TEMPLATE, "order": choice({"type": "array"}, order, ref("step"))}, place(ref("step"))
    )
    listed = calls("node", ("name", "call"))
    return offered(choice(has("_merge_", "_value_"), listed, choice({"type": "object"}, by_name, listed)))


def calls(kind: str, needed: Iterable[str]) -> Schema:
    """Admit a list of calls; an element is whole unless a template completes it."""
    whole = {"allOf": [ref(kind), choice(has("_template_"), True, {"required": list(needed)})]}
    listed = {"items": place(whole), "allOf": [is_list(f"`{kind}s` is a list of calls.")]}
    return place(listed, place(whole), ref(kind))


def call(ops: Mapping[str, list[Any]], **more: Schema) -> Schema:
    known = [f"op:{name}" for name in ops]
    called = {
        "type": "string",
        "pattern": "^module:" + NAME[1:] + "|^(?:" + "|".join(known).replace(".", r"\.") + f")$|{HOLDS}",
        "errorMessage": CALL_ERROR.format(", ".join(f"`{name}`" for name in ops)),
    }
    args = {"items": ref("plain"), "type": ["array", "null"]}
    kwargs = {"additionalProperties": ref("plain"), "type": ["object", "null"]}
    text = "by position: `$name` is an input or an earlier result, `$$x` the text `$x`."
    parts = {
        "call": place(called)
        | {"description": "What is called: `module:NAME` or `op:NAME`.", "anyOf": [*choices(ops), {}]},
        "args": place(args, ref("plain")) | {"description": f"Arguments {text}"},
        "kwargs": place(kwargs) | {"description": "Arguments by name; `$name` is an input or an earlier result."},
        "out": place(ref("out"))
        | {"description": "What the result is called: a name, a list (unpacks it), or a mapping (picks its keys)."},
    }
    return mapping("A call is `{call: ..., args: [...], out: ...}`.", {**TEMPLATE, **more, **parts})


def choices(ops: Mapping[str, list[Any]]) -> Iterator[Schema]:
    for name, rows in ops.items():
        yield {"const": f"op:{name}", "description": rows[0]["doc"] or f"`{name}`"}


def out() -> Schema:
    return {
        "type": ["string", "array", "object", "null"],
        "pattern": f"{NAME}|{HOLDS}",
        "items": ref("name"),
        "minItems": 1,
        "minProperties": 1,
        "additionalProperties": {"type": ["string", "integer"], "errorMessage": PICK_ERROR},
        "errorMessage": OUT_ERROR,
    }


def outputs() -> Schema:
    value = {"type": "string", "minLength": 1, "errorMessage": OUTPUT_ERROR}
    several = {"type": ["array", "object"], "errorMessage": "`outputs` is a list of values, or a mapping to them."}
    return place({"items": value, "minItems": 1, "additionalProperties": value, "allOf": [several]}, value)


def names(most: int | None = None) -> Schema:
    bound = {} if most is None else {"maxItems": most}
    listed = {"items": ref("name"), "minItems": 1, "allOf": [is_list("This is a list of names.")], **bound}
    return place(listed, ref("name"))


def is_mapping(message: str) -> Schema:
    return {"type": "object", "errorMessage": message}


def is_list(message: str) -> Schema:
    return {"type": "array", "errorMessage": message}


def returned() -> Schema:
    forms = {"enum": [*RETURNS, None]}
    text = "What a call of the model returns; inferred from `outputs` where it is left out."
    return place(forms) | {"description": text, "anyOf": [forms, {}]}
