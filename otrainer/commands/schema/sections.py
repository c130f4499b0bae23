"""The sections of components, each restricted to the keys of its kind."""

from __future__ import annotations

from otrainer.commands.schema.keys import NEW_KEYS, Keys, Row, each_by, merged_arguments, one_of, partial_of, specs_of
from otrainer.commands.schema.values import PLAIN, Schema, argument, choice, has, other_keys, place, ref
from otrainer.config.sections import SECTIONS, Section

NO_TYPE = "A component says what it is: `_type_` names its key."


def section_definitions(keys: Keys) -> Schema:
    """Return a schema for the specs of each section, and for the arguments of the classes that factories build."""
    found: Schema = {}
    for section in SECTIONS:
        classes = of_kind(keys, section.cls) if section.cls else {}
        found |= {f"arguments:{key}": class_arguments(rows) for key, rows in classes.items()}
        found[f"section:{section.name}"] = component(section, of_kind(keys, section.prefix), classes)
    return found


def of_kind(keys: Keys, prefix: str) -> dict[str, list[Row]]:
    return {key: rows for key, rows in keys.items() if key.startswith(prefix)}


def component(section: Section, keys: Keys, classes: Keys) -> Schema:
    """Return the schema of a section's specs."""
    no_spec = f"A component is a mapping such as `{{_type_: {next(iter(keys))}}}`."
    schema = specs_of(keys, no_spec, wrong_key(section.prefix, keys), partial_of(keys))
    if section.cls:
        schema["properties"]["type"] = one_of(classes, wrong_key(section.cls, classes))
        schema["properties"]["args"] = argument({"type": ["array", "null"]}, PLAIN)
        by_class = {key: of_class(key, rows) for key, rows in classes.items()}
        any_class = class_arguments([row for rows in classes.values() for row in rows])
        unknown = {"properties": {"kwargs": arguments_in_place(any_class)}}
        schema["allOf"] += [*each_by("type", by_class), choice(has("type"), True, unknown)]
    return schema


def wrong_key(prefix: str, keys: Keys) -> str:
    return f"There is no such key. Under `{prefix}*` there are {', '.join(keys)}. {NEW_KEYS}"


def of_class(key: str, rows: list[Row]) -> Schema:
    """Return what holds of a factory's keywords once its class is known."""
    named = {"const": key, "description": rows[0]["doc"] or f"`{key}`"}
    return {"properties": {"type": named, "kwargs": arguments_in_place(ref(f"arguments:{key}"))}}


def arguments_in_place(arguments: Schema) -> Schema:
    return choice(ref("stand-in"), ref(PLAIN), arguments)


def class_arguments(rows: list[Row]) -> Schema:
    """Admit the keywords of a class, without its first argument, which the factory gives."""
    given = [{**row, "arguments": dict(list(row["arguments"].items())[1:])} for row in rows]
    known = merged_arguments(given, PLAIN)
    return {"properties": known, **other_keys(is_open=any(row["open"] for row in given))}


def section_schema(section: Section) -> Schema:
    own = ref(f"section:{section.name}")
    if not section.many:
        return place(own if section.required else nullable(own), description=section.doc)
    message = f"`{section.name}` is a list of specs: `[{{_type_: {section.prefix}*}}, ...]`."
    listed = {"items": element(own), "allOf": [{"type": "array", "errorMessage": message}]}
    return place(nullable(listed), element(own), own, description=section.doc)


def nullable(schema: Schema) -> Schema:
    return choice({"type": "null"}, True, schema)


def element(spec: Schema) -> Schema:
    """Admit an element of a list, which no base completes."""
    named = choice(has("_target_", "_template_"), True, {"required": ["_type_"], "errorMessage": NO_TYPE})
    return place({"allOf": [spec, ref("whole"), choice({"type": "object"}, named)]})
