"""What may stand in the place of any value: `${...}`, a container, a template's use, a spec.

A schema here is a plain mapping. Choices are made by `if` and `then`, not by `oneOf`, so that an editor names the one
keyword that is wrong and not all that might have been; `errorMessage` is what yaml-language-server then says.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from otrainer.config.containers import LIST_MODES, MODES

Schema: TypeAlias = dict[str, Any]

VALUE, PLAIN = "value", "plain"
WHOLE = r"^\$\{[^{}]*(\{[\s\S]*\}[^{}]*)?\}$"
HOLDS = r"\$\{"
RESERVED = "^_(?!(type|target|args|kwargs|merge|value|template)_$).*[^_].*_$"
SPECIAL = ("_type_", "_target_", "_merge_", "_value_", "_template_")
KEYED: Schema = {"properties": {"_merge_": {"const": "keyed"}}, "required": ["_merge_"]}
TEMPLATE_DOC = "The name of a tree under the top-level `templates`; the keys beside it are laid over that tree."
TARGET_DOC = "`package.module.attr`: a Python object by name, where `settings.allow_target` is true."
ARGS_DOC = "Arguments by position."
KWARGS_DOC = "Arguments by name, as an alternative to writing them beside `_type_`."
MERGE_DOC = (
    "How `_value_` is laid over what stands here below: `replace` takes its place, `append` and `prepend` add to a "
    "list, `keyed` matches the elements of a list by the field that `key` names."
)
NO_RESERVED = "Keys of the form `_name_` are otrainer's own, and this is none of them."
NOT_IN_CONTAINER = "A container holds `_merge_` and `_value_`, and `key` where the mode is `keyed`."
KEY_NEEDED = "`_merge_: keyed` needs a `key`: the field that matches."
KEY_ELSEWHERE = "`key` belongs to `_merge_: keyed`."
NOTHING_BUILT = "This is plain data: nothing is built here."
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


def mapping(message: str, properties: Schema, others: Schema | bool = False, **more: Any) -> Schema:
    """Admit mappings with these keys and `others`; `message` is the error for anything else."""
    form = {"type": "object", "errorMessage": message}
    rules = [form, *more.pop("allOf", ())]
    return {"properties": properties, "additionalProperties": others, "allOf": rules, **more}


def offered(schema: Schema, *alternatives: Schema) -> Schema:
    """Add what an editor may complete to `schema`; the last alternative admits anything, since others judge."""
    return {**schema, "anyOf": [*alternatives, {}]}


def place(value: Schema, added: Schema | None = None, matched: Schema | None = None) -> Schema:
    """Admit `value`, a container of it, or one whole `${...}`.

    A list there may gain elements that are `added`, or `matched` with one that it has and may complete.
    """
    anything = ref("value")
    held = container(value, added or anything, matched or added or anything)
    return offered(choice(has("_merge_", "_value_"), held, choice(ref("expression"), True, value)))


def container(value: Schema, added: Schema, matched: Schema) -> Schema:
    """`{_merge_: MODE, _value_: V}` in the place of `value`."""
    to_list = {"properties": {"_merge_": {"pattern": f"^({'|'.join(LIST_MODES)})$"}}, "required": ["_merge_"]}
    gained = choice(KEYED, holding(matched), holding(added))
    return {**ref("container"), **choice(to_list, gained, {"properties": {"_value_": value}})}


def holding(items: Schema) -> Schema:
    return {"properties": {"_value_": {"type": "array", "items": items}}}


def container_form() -> Schema:
    """Admit a container, whatever it holds."""
    with_key = {"required": ["key"], "errorMessage": KEY_NEEDED}
    without_key = {"properties": {"key": False}, "errorMessage": KEY_ELSEWHERE}
    return {
        "properties": {
            "_merge_": {"enum": list(MODES), "description": MERGE_DOC},
            "_value_": {"description": "What is laid over."},
            "key": {"type": "string", "description": "The field by which `keyed` matches the elements."},
        },
        "required": ["_merge_", "_value_"],
        "additionalProperties": False,
        "errorMessage": NOT_IN_CONTAINER,
        "allOf": [choice(KEYED, with_key, without_key)],
    }


def argument(values: Schema, inside: str = VALUE) -> Schema:
    """Admit such values, and what may stand for one: `${...}`, a container, a template's use, a spec.

    `inside` is what holds of those: any value, or plain data that builds nothing.
    """
    if inside == PLAIN:
        values = without_built(values)
    if not values:
        return offered(ref(inside))
    stand_in = "text-stand-in" if "string" in values["type"] else "stand-in"
    return offered(choice(ref(stand_in), ref(inside), nested(values, inside)), *completions(values))


def without_built(values: Schema) -> Schema:
    """Leave out what only a spec can build, where there is anything else."""
    others = [kind for kind in values.get("type", []) if kind != "object"]
    return {**values, "type": others} if others and "additionalProperties" not in values else values


def completions(values: Schema) -> list[Schema]:
    if "enum" in values:
        return [{"enum": values["enum"]}]
    return [{"type": "boolean"}] if "boolean" in values["type"] else []


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


def definitions() -> Schema:
    """Return the definitions that the other schemas refer to."""
    held = container(ref(VALUE), ref(VALUE), ref(VALUE))
    inside = choice(has("_merge_", "_value_"), held, ref("mapping"))
    return {
        "expression": {"type": "string", "pattern": WHOLE},
        "stand-in": {"anyOf": [ref("expression"), has(*SPECIAL)]},
        "text-stand-in": {"anyOf": [{"type": "string", "pattern": HOLDS}, has(*SPECIAL)]},
        "value": choice(has("_type_"), ref("spec"), inside),
        "plain": plain(),
        "container": container_form(),
        "mapping": {
            "items": ref("value"),
            "properties": special_words(),
            "patternProperties": {RESERVED: False},
            "additionalProperties": ref("value"),
            "errorMessage": NO_RESERVED,
        },
        "_template_": {"type": "string", "description": TEMPLATE_DOC},
        "_target_": {"type": "string", "description": TARGET_DOC},
        "_args_": {**argument({"type": ["array"]}), "description": ARGS_DOC},
        "_kwargs_": {**argument({"type": ["object"]}), "description": KWARGS_DOC},
    }


def plain() -> Schema:
    """Admit data of any depth in which nothing is built."""
    data = {
        "items": ref(PLAIN),
        "properties": {"_type_": False, "_target_": False, "_template_": ref("_template_")},
        "additionalProperties": ref(PLAIN),
        "errorMessage": NOTHING_BUILT,
    }
    return choice(has("_merge_", "_value_"), container(ref(PLAIN), ref(PLAIN), ref(PLAIN)), data)


def special_words() -> Schema:
    """Return what any mapping may have that builds something."""
    return {name: ref(name) for name in ("_template_", "_target_", "_args_", "_kwargs_")}
