"""What can be explained: components and ops of a registry, and the sections of a config, each as one kind of thing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.commands.explain.argument_examples import value_of
from otrainer.commands.explain.examples import example_of, in_a_line_of_yaml, of_op, of_section
from otrainer.commands.schema.keys import in_words
from otrainer.commands.schema.sections import plain_sections
from otrainer.commands.schema.values import Schema, definitions
from otrainer.config.sections import RUN_KEYS, SECTIONS
from otrainer.config.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from otrainer.registry.describe.interface import Row

SECTION, OP, ELSE = "sections of a config", "ops of a model's graph", "modules of a model, and other values"
BUILT_IN = "built in"
KINDS = {
    **{section.prefix: f"{section.name}: {section.doc}" for section in SECTIONS},
    **{section.cls: f"classes for the {section.name}, under its `type`" for section in SECTIONS if section.cls},
    "dataset.": "data sets, for data.dataset",
    "sampler.": "orders of training data, for data.dataset",
    "nn.": "modules of torch.nn",
}
KEYWORDS = {"boolean": "true or false", "string": "text"}


class Argument(NamedTuple):
    """An argument or a key of a section; `kind` is its type in plain words, `default` and `example` are as YAML has it.

    The example is empty where the type says enough.
    """

    name: str
    kind: str
    doc: str
    required: bool = False
    default: str | None = None
    example: str = ""


class Topic(NamedTuple):
    """What one name stands for; `takes_others` says that it passes other arguments on."""

    name: str
    kind: str
    doc: str
    registered: str
    arguments: tuple[Argument, ...] = ()
    takes_others: bool = False
    example: str = ""


def topics_of(interface: Mapping[str, Mapping[str, Row]], places: Mapping[str, str]) -> dict[str, Topic]:
    """Return the components and ops of an interface by their names; `places` say where a plugin registers each."""
    found = {}
    for key, row in interface["modules"].items():
        arguments = tuple(argument_of(key, name, each) for name, each in row["arguments"].items())
        if key.startswith(tuple(section.cls for section in SECTIONS if section.cls)):
            arguments = arguments[1:]  # the factory gives it
        place, example = places.get(key, BUILT_IN), example_of(key, row)
        found[key] = Topic(key, kind_of(key), row["doc"], place, arguments, row["open"], example)
    for key, row in interface["ops"].items():
        name = f"op:{key}"
        found[name] = Topic(name, OP, row["doc"], places.get(name, BUILT_IN), example=of_op(key))
    return found


def kind_of(key: str) -> str:
    return next((kind for prefix, kind in KINDS.items() if key.startswith(prefix)), ELSE)


def argument_of(component: str, name: str, row: Row) -> Argument:
    default = json.dumps(row["default"], ensure_ascii=False) if "default" in row else None
    kind, doc = type_words(row["values"], row.get("default")), row["doc"].removesuffix(";")
    value = value_of(component, name)
    return Argument(name, kind, doc, row["required"], default, "" if value is None else in_a_line_of_yaml(value))


def type_words(values: Schema, default: object = None) -> str:
    """Return what an argument takes; one without an annotation takes what its default is, as far as that says it."""
    if "enum" in values:
        return f"one of {', '.join(json.dumps(each) for each in values['enum'])}"
    if "type" in values:
        return in_words(values)
    if isinstance(default, bool):
        return "true or false"
    return "number" if isinstance(default, int | float) else "any value"


def section_topics() -> dict[str, Topic]:
    """Return the sections that a config may have, by their names."""
    ops: Mapping[str, list[Any]] = {}
    known = definitions(ops)
    plain = {**plain_sections(), "model": {**known["model"], "description": "What is trained, by its modules."}}
    plain.pop("_template_")
    topics = {name: section_topic(name, schema) for name, schema in plain.items()}
    for section in SECTIONS:
        topics[section.name] = Topic(section.name, SECTION, section.doc, BUILT_IN, example=of_section(section.name))
    return topics


def section_topic(name: str, schema: Schema) -> Topic:
    own = {"run": run_arguments, "settings": setting_arguments}.get(name)
    arguments = own() if own else (Argument(key, "", doc) for key, doc in keys_in(schema))
    return Topic(name, SECTION, schema["description"], BUILT_IN, tuple(arguments), example=of_section(name))


def run_arguments() -> Iterator[Argument]:
    for name, key in RUN_KEYS.items():
        default = None if key.required else json.dumps(key.default)
        yield Argument(name, key.words, key.doc, key.required, default)


def setting_arguments() -> Iterator[Argument]:
    defaults = {each.name: each.default for each in fields(Settings)}
    for name, setting in SETTINGS.items():
        kind = "list of names" if setting.fits else "true or false"
        yield Argument(name, kind, setting.doc, default=json.dumps(defaults[name]))


def keys_in(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield the keys that the schema of a section tells about, each with its sentence, wherever it hides them."""
    if isinstance(schema, Mapping):
        told = {
            name: each["description"]
            for name, each in schema.get("properties", {}).items()
            if isinstance(each, Mapping) and "description" in each
        }
        if told:
            yield from told.items()
            return
        for word in ("then", "else", "allOf", "anyOf", "items"):
            found = list(keys_in(schema.get(word)))
            if found:
                yield from found
                return
    elif isinstance(schema, list):
        for each in schema:
            found = list(keys_in(each))
            if found:
                yield from found
                return
