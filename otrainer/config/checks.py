"""Check what an experiment must hold besides being well-formed: its sections, the families of their keys, and `run`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from otrainer.config import names
from otrainer.config.kinds import kind_of, value_or_kind
from otrainer.config.secrets import holds_secret, mentions, out_of_place, secret_keys
from otrainer.config.sections import KNOWN_SECTIONS, RUN_KEYS, SECTIONS, RunKey, Section
from otrainer.config.walk import walk
from otrainer.errors import ConfigPath, Finding, nearest

# What a trainer with steps of its own over several models need not have.
OF_ONE_MODEL = ("io", "loss")
SPEC_KEYS = ("_type_", "_target_")
TRUTHS = ("true", "false", "yes", "no", "on", "off")
NOTHING = ("none", "nil", "null")
EXPONENT = re.compile(r"(\de)\+(?=\d)")
# Other words for precisions.
SHORT = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "16": "fp16", "16-mixed": "fp16", "32": "fp32"}


def check_sections(data: Mapping[str, Any], *, strict: bool, used: Collection[str] = ()) -> Iterator[Finding]:
    """Yield everything wrong that shows without a registry; `used` are the sections that some `${...}` reads."""
    if strict:
        yield from unknown_sections(data, used)
    if mentions(data):
        yield from secret_keys(data)
    yield from check_run(data.get("run"))
    model = data.get("model")
    several = isinstance(model, Mapping) and "components" in model
    for section in SECTIONS:
        if not (several and section.name in OF_ONE_MODEL and data.get(section.name) is None):
            yield from check_section(section, data.get(section.name))


def unknown_sections(data: Mapping[str, Any], used: Collection[str]) -> Iterator[Finding]:
    for name in data:
        if name not in KNOWN_SECTIONS and name not in used:
            near = nearest(name, KNOWN_SECTIONS)
            hint = "" if near else "Values of your own go under `params`, or are read by some `${...}`."
            yield Finding(
                f"There is no section `{name}`.", "unknown section", (name,), on_key=True, suggestions=near, hint=hint
            )


def check_section(section: Section, value: Any) -> Iterator[Finding]:
    path: ConfigPath = (section.name,)
    if value is None:
        if section.required:
            yield missing_section(section.name, f"{{_type_: {section.prefix}NAME}}")
        return
    if not section.many:
        for name, each in section.members(value).items():
            yield from check_component(section, each, (*path, name) if name else path)
    elif not isinstance(value, list):
        hint = f"Write `{section.name}: [{{_type_: {section.prefix}NAME}}]`."
        hint = f"Write `{section.name}: []` for none." if is_nothing(value) else hint
        yield Finding(
            f"`{section.name}` is a list of specs, not {value_or_kind(value)}.", "not a list", path, hint=hint
        )
    else:
        for index, item in enumerate(value):
            yield from check_component(section, item, (*path, index))


def check_component(section: Section, value: Any, path: ConfigPath) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        example = f"`{{_type_: {section.prefix}NAME}}`"
        message = f"A component is a mapping such as {example}, not {value_or_kind(value)}."
        hint = "Write the key under `_type_`, its arguments beside it."
        if is_nothing(value):
            hint = f"Write `{section.name}: null` for none." if section.optional else hint
        yield Finding(message, "not a component", path, hint=hint)
        return
    key = value.get("_type_")
    if key is None and "_target_" not in value:
        near = nearest(
            "_type_", [name for name in value if name.startswith("_") or (name == "type" and not section.cls)]
        )
        yield Finding(
            f"This component does not say what it is: `_type_` names a key `{section.prefix}*`.",
            "`_type_` is needed",
            path,
            hint=f"Write `_type_` where it says `{near[0]}`." if near else f"Add `_type_: {section.prefix}NAME`.",
        )
    elif isinstance(key, str) and not key.startswith(section.prefix) and not holds_secret(key):
        message = f"`{section.name}` takes keys `{section.prefix}*`, and `{key}` is not one."
        meant = () if "." in key else (f"{section.prefix}{key}",)
        hint = f"Name a component whose key begins with `{section.prefix}`."
        yield Finding(message, "wrong kind of component", (*path, "_type_"), suggestions=meant, hint=hint)
    if section.cls:
        yield from check_factory(section, value, path)


def check_factory(section: Section, value: Mapping[str, Any], path: ConfigPath) -> Iterator[Finding]:
    """Check that a factory names a class by its key, and hands it plain data; one of a plugin's may need no class."""
    cls = value.get("type")
    if "type" not in value:
        if value.get("_type_") != f"{section.prefix}torch":
            return
        message = f"`{section.name}.type` names a class by its key `{section.cls}*`."
        yield Finding(message, "`type` is needed", path, hint=f"Add `type: {section.cls}NAME`.")
    elif holds_secret(cls):
        yield out_of_place((*path, "type"), why="it names a class")
    elif not isinstance(cls, str) or not cls.startswith(section.cls):
        message = f"`{section.name}.type` takes keys `{section.cls}*`, and `{cls}` is not one."
        meant = (f"{section.cls}{cls}",) if isinstance(cls, str) and "." not in cls else ()
        hint = f"Name a class whose key begins with `{section.cls}`."
        yield Finding(message, "wrong kind of class", (*path, "type"), suggestions=meant, hint=hint)
    for name, form, words in (("args", list, "a list"), ("kwargs", Mapping, "a mapping")):
        if value.get(name) is not None and not isinstance(value[name], form):
            message = f"`{section.name}.{name}` is {words}, not {value_or_kind(value[name])}."
            title, hint = (
                ("not a list", "Write `args: [...]`.") if form is list else ("not a mapping", "Write `kwargs: {...}`.")
            )
            yield Finding(message, title, (*path, name), hint=hint)
        for place in (at for at, _ in walk(value.get(name), (*path, name)) if at[-1] in SPEC_KEYS):
            yield Finding(
                f"`{section.name}.{name}` is plain data: no spec can be nested in it.",
                "spec where plain data belongs",
                place,
                on_key=True,
                hint="Write a factory of your own in a plugin for what needs objects.",
            )


def missing_section(name: str, example: str) -> Finding:
    return Finding(
        f"An experiment needs a section `{name}`.", "missing section", (name,), hint=f"Add `{name}: {example}`."
    )


def check_run(run: Any) -> Iterator[Finding]:
    """Yield everything wrong with `run`."""
    if run is None:
        yield missing_section("run", "{name: ..., out_dir: 'runs/${run.name}'}")
        return
    if not isinstance(run, Mapping):
        hint = "Write `run: {name: ..., out_dir: 'runs/${run.name}'}`."
        yield Finding(f"`run` is a mapping, not {value_or_kind(run)}.", "not a mapping", ("run",), hint=hint)
        return
    yield from unknown_run_keys(run)
    for key, rule in RUN_KEYS.items():
        value = run.get(key)
        if value is None:
            if rule.required:
                hint = f"Add `{key}: ...` under `run`."
                yield Finding(f"`run.{key}` is needed: {rule.words}.", "missing key", ("run", key), hint=hint)
        elif holds_secret(value):
            yield out_of_place(("run", key), why="it is written down with every run")
        elif is_nothing(value) and not rule.required:
            message = f"`run.{key}` is {rule.words}, or null, not the text `{value}`."
            yield Finding(message, "wrong value", ("run", key), hint=f"Write `{key}: null`, or leave it out.")
        elif not rule.form.fits(value):
            yield wrong_run_value(key, value, rule)


def is_nothing(value: object) -> bool:
    """Return whether a value is the word by which other languages call null."""
    return isinstance(value, str) and value.lower() in NOTHING


def wrong_run_value(key: str, value: Any, rule: RunKey) -> Finding:
    """Return the finding for a value that a key of `run` does not take."""
    path, words = ("run", key), f"`run.{key}` is {rule.words}, not "
    if key == "name" and isinstance(value, bool | int | float):
        message = f"{words}{kind_of(value)}, which is what YAML reads here."
        return Finding(message, "wrong value", path, hint='Write the name in quotes: `name: "..."`.')
    if cast := cast_for(value, rule):
        hint = f"Write it without quotes, or, from the environment, with a cast: `${{env:{cast}:NAME,{value}}}`."
        return Finding(f"{words}the text `{value}`.", "wrong value", path, hint=hint)
    near = meant_name(value) if key == "name" else near_choices(str(value), rule.choices)
    hint = "" if key == "name" and near else f"Write `{key}: {rule.example}`, for example."
    return Finding(f"{words}{value_or_kind(value)}.", "wrong value", path, suggestions=near, hint=hint)


def cast_for(value: Any, rule: RunKey) -> str | None:
    """Return the cast by which a text becomes what a key of `run` takes, None where there is none."""
    if not isinstance(value, str):
        return None
    if value.strip().lower() in TRUTHS and rule.form.fits(True):
        return "bool"
    return "int" if value.strip().isdecimal() and rule.form.fits(int(value)) else None


def near_choices(value: str, choices: Collection[str]) -> tuple[str, ...]:
    """Return the choices most like a value; one that it begins, or that is another word for it, is meant."""
    word = SHORT.get(value.lower(), value.lower())
    return tuple(each for each in choices if word and each.startswith(word)) or nearest(value, choices)


def unknown_run_keys(run: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each key that `run` does not have."""
    for key in run:
        if key not in RUN_KEYS:
            near, message = nearest(key, RUN_KEYS), f"`run` has no key `{key}`."
            hint = "" if near else f"It has {', '.join(f'`{known}`' for known in RUN_KEYS)}."
            yield Finding(message, "unknown key", ("run", key), on_key=True, suggestions=near, hint=hint)


def meant_name(value: Any) -> tuple[str, ...]:
    """Return the plain name nearest to what a config gives as a name; the sign of an exponent may be left out."""
    text = EXPONENT.sub(r"\1", str(value))
    plain = names.plain_name(text) if isinstance(value, str | int | float) else ""
    return (plain,) if plain else ()
