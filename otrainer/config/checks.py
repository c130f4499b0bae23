"""Check what an experiment must hold besides being well-formed: its sections, the families of their keys, and `run`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from otrainer.config import names
from otrainer.config.kinds import value_or_kind
from otrainer.config.secrets import holds_secret, mentions, out_of_place, secret_keys
from otrainer.config.sections import KNOWN_SECTIONS, RUN_KEYS, SECTIONS, Section
from otrainer.config.walk import walk
from otrainer.errors import ConfigPath, Finding, nearest

SPEC_KEYS = ("_type_", "_target_")


def check_sections(data: Mapping[str, Any], *, strict: bool, used: Collection[str] = ()) -> Iterator[Finding]:
    """Yield everything wrong that shows without a registry; `used` are the sections that some `${...}` reads."""
    if strict:
        yield from unknown_sections(data, used)
    if mentions(data):
        yield from secret_keys(data)
    yield from check_run(data.get("run"))
    for section in SECTIONS:
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
        yield from check_component(section, value, path)
    elif not isinstance(value, list):
        hint = f"Write `{section.name}: [{{_type_: {section.prefix}NAME}}]`."
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
        yield Finding(message, "not a component", path, hint="Write the key under `_type_`, its arguments beside it.")
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
        elif not rule.form.fits(value):
            near = meant_name(value) if key == "name" else nearest(str(value), rule.choices)
            hint = "" if key == "name" and near else f"Write `{key}: {rule.example}`, for example."
            message = f"`run.{key}` is {rule.words}, not {value_or_kind(value)}."
            yield Finding(message, "wrong value", ("run", key), suggestions=near, hint=hint)


def unknown_run_keys(run: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each key that `run` does not have."""
    for key in run:
        if key not in RUN_KEYS:
            near, message = nearest(key, RUN_KEYS), f"`run` has no key `{key}`."
            hint = "" if near else f"It has {', '.join(f'`{known}`' for known in RUN_KEYS)}."
            yield Finding(message, "unknown key", ("run", key), on_key=True, suggestions=near, hint=hint)


def meant_name(value: Any) -> tuple[str, ...]:
    """Return the plain name nearest to what a config gives as a name."""
    plain = names.plain_name(str(value)) if isinstance(value, str | int | float) else ""
    return (plain,) if plain else ()
