"""The sections of a file: those of components, restricted to the keys of their kind, and those that hold none."""

from __future__ import annotations

from otrainer.commands.schema.keys import NEW_KEYS, Keys, Row, each_by, merged_arguments, one_of, partial_of, specs_of
from otrainer.commands.schema.values import (
    HOLDS,
    PLAIN,
    Schema,
    argument,
    choice,
    has,
    mapping,
    offered,
    other_keys,
    place,
    ref,
)
from otrainer.config.checks import OF_ONE_MODEL
from otrainer.config.sections import RUN_KEYS, SECTIONS, RunKey, Section
from otrainer.config.settings import MODULE, SCHEMA_VERSION, SETTINGS
from otrainer.protocols import AUTO, LENGTHS

FLAG = {"type": "boolean"}
FILES = "Files that lie below this one, relative to it: each is laid over the earlier ones."
TEMPLATES = "Trees by name; `_template_: NAME` anywhere lays a mapping over one."
# Components under names of their own: none of the values could be an argument of a single one.
SEVERAL = {"minProperties": 1, "additionalProperties": has("_type_", "_template_")}
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
    known = {name: or_auto(name, each) for name, each in merged_arguments(given, PLAIN).items()}
    return {"properties": known, **other_keys(is_open=any(row["open"] for row in given))}


def or_auto(name: str, schema: Schema) -> Schema:
    """Admit `auto` for an argument of a scheduler that is a length."""
    if name not in LENGTHS:
        return schema
    told = {"description": schema["description"]} if "description" in schema else {}
    return offered(choice({"const": AUTO}, True, schema), {"const": AUTO}) | told


def section_schema(section: Section) -> Schema:
    own = ref(f"section:{section.name}")
    if section.named:
        own = choice(SEVERAL, {"additionalProperties": own}, own)
    if not section.many:
        may_lack = not section.required or section.name in OF_ONE_MODEL
        return place(nullable(own) if may_lack else own, description=section.doc)
    message = f"`{section.name}` is a list of specs: `[{{_type_: {section.prefix}*}}, ...]`."
    listed = {"items": element(own), "allOf": [{"type": "array", "errorMessage": message}]}
    return place(nullable(listed), element(own), own, description=section.doc)


def nullable(schema: Schema) -> Schema:
    return choice({"type": "null"}, True, schema)


def element(spec: Schema) -> Schema:
    """Admit an element of a list, which no base completes."""
    named = choice(has("_target_", "_template_"), True, {"required": ["_type_"], "errorMessage": NO_TYPE})
    return place({"allOf": [spec, ref("whole"), choice({"type": "object"}, named)]})


def plain_sections() -> Schema:
    version, paths = {"const": SCHEMA_VERSION}, {"type": "string", "minLength": 1}
    files = {"type": ["array", "null"], "items": paths, "errorMessage": "`defaults` is a list of paths."}
    trees = {"type": ["object", "null"], "additionalProperties": ref("value")}
    return {
        "schema_version": offered(place(version), version) | {"description": "The version of the contract."},
        "defaults": files | {"description": FILES},
        "templates": offered(trees) | {"description": TEMPLATES},
        "params": offered(ref("value")) | {"description": "Values of your own, to be read by `${params.NAME}`."},
        "imports": modules() | {"description": "Plugins: modules with a `register(registry)`, in their order."},
        "settings": place(settings(), description="How strictly a config is read, and what it may import."),
        "run": place(run(), description="What the run is called, where it goes, and on what it runs."),
        "weights": weights() | {"description": "Files of weights that the model starts from, later ones over earlier."},
        "_template_": ref("_template_"),
    }


def weights() -> Schema:
    """Return the keys of a source of weights, or of a list of them."""
    text, pattern = {"type": "string", "minLength": 1}, {"type": ["string", "array", "null"]}
    told = {
        "from": place(text) | {"description": "The path of a checkpoint, a `.safetensors` file or a state dict."},
        "only": place(pattern) | {"description": "Patterns of names of the model: what is to be taken."},
        "rename": ref("value") | {"description": "Names or prefixes in the file, and what they are in the model."},
        "strict": offered(place(FLAG), FLAG) | {"description": "Whether all has to fit: true, unless said otherwise."},
    }
    source = mapping("A source is a mapping such as `{from: PATH}`.", {"_template_": ref("_template_"), **told})
    return place(choice({"type": "null"}, True, choice({"type": "array"}, {"items": place(source)}, source)))


def run() -> Schema:
    """Return the keys of `run`; null counts as left out."""
    keys = {name: run_key(key) for name, key in RUN_KEYS.items()}
    return mapping("`run` is a mapping such as `{name: ..., out_dir: ...}`.", {"_template_": ref("_template_"), **keys})


def run_key(key: RunKey) -> Schema:
    """Return what a key of `run` takes: itself, null, a container, or text with a `${...}` in it."""
    form = dict(key.form.schema)
    about = {"description": key.doc}
    if "pattern" in form:
        rule = {"type": ["string", "null"], "pattern": f"{form['pattern']}|{HOLDS}", "errorMessage": key.doc}
        return offered(rule) | about
    if "enum" in form:
        return offered(place({"enum": [*key.choices, None]}), {"enum": list(key.choices)}) | about
    value = place({**form, "type": [*form["type"], "null"]})
    return (offered(value, FLAG) if "boolean" in form["type"] else value) | about


def settings() -> Schema:
    flag = offered(place(FLAG), FLAG)
    keys = {
        name: (words(setting.pattern) if setting.pattern else flag) | {"description": setting.doc}
        for name, setting in SETTINGS.items()
    }
    whole = mapping("`settings` is a mapping.", {"_template_": ref("_template_"), **keys})
    whole["allOf"] = [{"type": ["object", "null"], "errorMessage": "`settings` is a mapping."}]
    return whole


def words(pattern: str) -> Schema:
    element = {"type": "string", "pattern": f"{pattern}|{HOLDS}", "errorMessage": "This is a package's name."}
    return place({"type": "array", "items": element}, element)


def modules() -> Schema:
    message = "A module's name, such as `extensions.mine`."
    element = {"type": "string", "pattern": f"^{MODULE}$|{HOLDS}", "errorMessage": message}
    form = {"type": ["array", "null"], "errorMessage": "`imports` is a list of modules."}
    return place({"items": element, "allOf": [form]}, element)
