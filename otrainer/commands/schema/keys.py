"""The registered keys as choices: what each may have beside `_type_`, and which belong to a kind of component."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from otrainer.commands.schema.values import (
    HOLDS,
    VALUE,
    Schema,
    argument,
    choice,
    has,
    other_keys,
    ref,
    says,
    special_words,
)
from otrainer.registry.describe.annotations import united

Row: TypeAlias = Mapping[str, Any]
Keys: TypeAlias = Mapping[str, list[Row]]

DEFAULT = re.compile(r"\bdefaults?\b", re.IGNORECASE)
WORDS = {"boolean": "true or false", "string": "text", "object": "mapping or spec"}  # the others are plain English
NEW_KEYS = "A plugin's come here once an experiment imports it and `doit schema` has run."
FEW = 12
# Names under which a value is never passed on.
UNNAMED = ("_merge_", "_value_", "_template_")


def key_definitions(keys: Keys) -> Schema:
    """Return a schema for each key; several where plugins give one key to things that exclude each other."""
    return {name: key_schema(key, row) for key, rows in keys.items() for name, row in named(key, rows)}


def named(key: str, rows: list[Row]) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(rows, start=1):
        yield f"key:{key}:{number}" if len(rows) > 1 else f"key:{key}", row


def key_ref(key: str, rows: list[Row]) -> Schema:
    several = [ref(name) for name, _ in named(key, rows)]
    return several[0] if len(several) == 1 else {"anyOf": several}


def key_schema(key: str, row: Row) -> Schema:
    """Return the schema of a spec with `_type_: key`."""
    arguments = {name: argument_schema(each) for name, each in row["arguments"].items()}
    words = special_words() | {"_target_": False}
    if not row["open"]:
        words["_kwargs_"] |= {"propertyNames": one_of([*arguments, *UNNAMED], f"`{key}` has no such argument.")}
    named_key = {"const": key, "description": row["doc"] or f"`{key}`"}
    return {"properties": {"_type_": named_key, **words, **arguments}, **other_keys(is_open=row["open"])}


def argument_schema(row: Row, inside: str = VALUE) -> Schema:
    about = {"description": text} if (text := described(row)) else {}
    given = {"default": row["default"]} if "default" in row else {}
    return argument(row["values"], inside, **about, **given)


def described(row: Row) -> str:
    """Return an argument's documentation, its types, and its default where the text does not give it."""
    text: str = row["doc"]
    facts = [f"Type: {in_words(row['values'])}."] if "type" in row["values"] else []
    if row.get("default") is not None and not DEFAULT.search(text):
        facts.append(f"Default: `{json.dumps(row['default'])}`.")
    return "\n\n".join(filter(None, [text, " ".join(facts)]))


def in_words(values: Schema) -> str:
    """Return the types of an argument in words."""
    if values["type"] == ["object"] and "additionalProperties" not in values:
        return "what a spec builds"
    number = f" of {values['minItems']}" if "minItems" in values else ""
    items = f" ({in_words(values['items'])})" if values.get("items") else ""
    words = {**WORDS, "array": f"list{number}{items}"}
    return " or ".join(words.get(kind, kind) for kind in values["type"])


def whole(keys: Keys) -> Schema:
    """Require the arguments of a spec that no base or template completes and that gives none in another way."""
    needed = {key: [name for name in rows[0]["arguments"] if is_needed(name, rows)] for key, rows in keys.items()}
    required: dict[str, Schema] = {key: {"required": names} for key, names in needed.items() if names}
    return choice(has("_args_", "_kwargs_", "_template_"), True, {"allOf": list(each_by("_type_", required))})


def is_needed(name: str, rows: list[Row]) -> bool:
    return all(name in row["arguments"] and row["arguments"][name]["required"] for row in rows)


def specs_of(keys: Keys, no_spec: str, no_key: str, partial: Schema | bool = True) -> Schema:
    """Admit mappings whose `_type_` is one of `keys`; those without one, which a base may give, are `partial`."""
    chosen = each_by("_type_", {key: key_ref(key, rows) for key, rows in keys.items()})
    unnamed = choice(has("_target_"), ref("mapping"), partial)
    return {
        "properties": {"_type_": one_of(keys, no_key)},
        "allOf": [{"type": "object", "errorMessage": no_spec}, *chosen, choice(has("_type_"), True, unnamed)],
    }


def each_by(word: str, schemas: Mapping[str, Schema]) -> Iterator[Schema]:
    """Yield what holds for each name that may stand under `word`.

    Many are asked in groups, or a language server that notes each schema that it asks runs out of stack over a large
    config; by `not`, which keeps it from showing a group's names as values that are allowed.
    """
    names = list(schemas)
    size = max(FEW, math.isqrt(len(names)))
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    for group in groups:
        single = [choice(says(word, {"const": name}), schemas[name]) for name in group]
        if len(groups) == 1:
            yield from single
        else:
            yield choice({"not": says(word, {"enum": group})}, True, {"allOf": single})


def one_of(names: Iterable[str], message: str) -> Schema:
    """Admit these names and text with a `${...}` in it, by a pattern: editors list all of an `enum` each time."""
    alternatives = "|".join(name.replace(".", r"\.") for name in names)
    return {"type": "string", "pattern": f"^(?:{alternatives})$|{HOLDS}", "errorMessage": message}


def partial_of(keys: Keys) -> Schema:
    """Admit mappings without `_type_`, with any argument that one of `keys` takes."""
    rows = [row for several in keys.values() for row in several]
    is_open = any(row["open"] for row in rows)
    return {"properties": {**special_words(), **merged_arguments(rows)}, **other_keys(is_open=is_open)}


def merged_arguments(rows: Iterable[Row], inside: str = VALUE) -> Schema:
    """Return the arguments of several keys, each with all that any of them takes there."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        for name, each in row["arguments"].items():
            found.setdefault(name, []).append(each)
    return {name: argument_schema(merged(several), inside) for name, several in found.items()}


def merged(several: list[Row]) -> Row:
    if all(each == several[0] for each in several):
        return several[0]
    docs = filter(None, dict.fromkeys(each["doc"] for each in several))
    return {"values": united([each["values"] for each in several]), "doc": "\n\n".join(docs)}
