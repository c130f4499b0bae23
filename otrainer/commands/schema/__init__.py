"""The JSON Schema of a project's configs, for editors: from the interface of its keys to one document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from otrainer.commands.schema.keys import NEW_KEYS, key_definitions, specs_of, whole
from otrainer.commands.schema.sections import plain_sections, section_definitions, section_schema
from otrainer.commands.schema.values import Schema, choice, definitions, place, ref, says
from otrainer.config.sections import SECTIONS
from otrainer.storage.canonical_json import digest

Interface: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]

ABOUT = """\
An experiment of otrainer, or a file that lies below experiments by `defaults`.

A file may be partial, since its bases supply the rest: no section and no key of a section is required here. Values of
your own go under `params`: a section of another name is right where some `${...}` reads it, but one file does not show
that, so it is marked like a misspelt one. What else a file does not show, `doit validate` says: whether all is there,
whether `${...}` leads somewhere, whether the parts fit each other."""
SECTION_ERROR = (
    "No section has this name. Values of your own go under `params`; a section of another name is right only if some "
    "`${...}` reads it, which an editor cannot tell."
)
SPEC_ERROR = (
    "No component is registered under this key. There are `nn.*` for every class of torch.nn, otrainer's own, and "
    f"those of plugins. {NEW_KEYS}"
)
RULE = ("if", "then", "else", "anyOf")
NOT_STRICT = says("settings", says("strict", {"const": False}))
STAND_INS = (ref("stand-in"), ref("text-stand-in"))


def schema_of(interfaces: Iterable[Interface]) -> Schema:
    """Return the schema of configs that may use the keys of all `interfaces`, which are those of `interface_of`.

    It is of draft 2020-12, with `errorMessage` as yaml-language-server knows it.
    """
    several = list(interfaces)
    keys, ops = joined(several, "modules"), joined(several, "ops")
    sections = {
        **plain_sections(),
        "model": place(
            ref("model"), description="What is trained: `sequential`, `graph`, or several by name under `components`."
        ),
        **{section.name: section_schema(section) for section in SECTIONS},
    }
    known = {"properties": dict.fromkeys(sections, True), "additionalProperties": False, "errorMessage": SECTION_ERROR}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "otrainer",
        "description": ABOUT,
        "type": "object",
        "properties": sections,
        **choice(NOT_STRICT, True, known),
        "$defs": {
            **definitions(ops),
            "spec": specs_of(keys, "A spec is a mapping.", SPEC_ERROR),
            **section_definitions(keys),
            **key_definitions(keys),
            "whole": whole(keys),
        },
    }
    return shared(document)


def joined(interfaces: Iterable[Interface], part: str) -> dict[str, list[Any]]:
    """Return all names in order, each with the different things that it stands for."""
    found: dict[str, list[Any]] = {}
    for interface in interfaces:
        for name, row in interface[part].items():
            if row not in found.setdefault(name, []):
                found[name].append(row)
    return dict(sorted(found.items()))


def shared(document: Schema) -> Schema:
    """Move what many arguments share into the definitions, and refer to it."""
    found: Schema = {}

    def visit(schema: Any) -> Any:
        if isinstance(schema, list):
            return [visit(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        inside = {name: visit(item) for name, item in schema.items()}
        if inside.get("if") not in STAND_INS:
            return inside
        rule = {name: inside.pop(name) for name in RULE if name in inside}
        name = f"values:{digest(rule)[:12]}"
        found[name] = rule
        return {**ref(name), **inside}

    whole: Schema = visit(document)
    whole["$defs"] |= dict(sorted(found.items()))
    return whole
