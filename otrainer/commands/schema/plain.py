"""The sections that hold no components: the run, the settings, and what a file says of itself."""

from __future__ import annotations

from otrainer.commands.schema.values import HOLDS, Schema, mapping, offered, place, ref
from otrainer.config.sections import RUN_KEYS, RunKey
from otrainer.config.settings import MODULE, SCHEMA_VERSION, SETTINGS

FLAG = {"type": "boolean"}


def plain_sections() -> Schema:
    version, paths = {"const": SCHEMA_VERSION}, {"type": "string", "minLength": 1}
    files = {"type": ["array", "null"], "items": paths, "errorMessage": "`defaults` is a list of paths."}
    trees = {"type": ["object", "null"], "additionalProperties": ref("value")}
    return {
        "schema_version": offered(place(version), version) | {"description": "The version of the contract."},
        "defaults": files
        | {"description": "Files that lie below this one, relative to it: each is laid over the earlier ones."},
        "templates": offered(trees)
        | {"description": "Trees by name; `_template_: NAME` anywhere lays a mapping over one."},
        "params": offered(ref("value")) | {"description": "Values of your own, to be read by `${params.NAME}`."},
        "imports": modules() | {"description": "Plugins: modules with a `register(registry)`, in their order."},
        "settings": place(settings(), description="How strictly a config is read, and what it may import."),
        "run": place(run(), description="What the run is called, where it goes, and on what it runs."),
        "_template_": ref("_template_"),
    }


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
