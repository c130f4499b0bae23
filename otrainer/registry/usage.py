"""Which code a config names: components, targets and ops, what its plugins do besides, and what puts them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from otrainer.config.walk import walk
from otrainer.fingerprint import Code, Fingerprints, named
from otrainer.registry.plugins.packages import PREFIX as PACKAGE
from otrainer.registry.plugins.packages import package_code, package_rows

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.registry.core import Registry

COMPOSITION_ROOT = "otrainer.stages.fit.compose:composed"
ROOT_KEY = "otrainer"
# From a key or an op (`op:NAME`) to its target and the plugin that registered it.
Lookup: TypeAlias = Callable[[str], tuple[str, str | None]]


def code_behind(config: Mapping[str, Any], lookup: Lookup, prints: Fingerprints) -> list[dict[str, Any]]:
    """Return a row for all code that decides what a config trains, in a fixed order.

    Each has its `key`, its `target` ("package.module:name"), the `plugin` that registered it, and its `fingerprint`.
    A plugin has a row for what it does whichever of its keys are used, where it does anything, and so has each package
    whose version counts.
    """
    rows = [{"key": ROOT_KEY, "target": COMPOSITION_ROOT, "plugin": None}]
    rows += [{"key": name, "target": f"{name}:", "plugin": name} for name in dict.fromkeys(config.get("imports") or ())]
    named_keys = {(form == "_target_", key) for _, form, key in keys_in(config)}
    for is_target, key in sorted(named_keys):
        target, plugin = (":".join(key.rpartition(".")[::2]), None) if is_target else lookup(key)
        rows.append({"key": key, "target": target, "plugin": plugin})
    rows += package_rows(config)
    printed = ((row, code_of(row, prints)) for row in rows)
    return [{**row, "fingerprint": code.digest} for row, code in printed if code.symbols]


def code_of(row: Mapping[str, Any], prints: Fingerprints) -> Code:
    """Return the code behind a row of `code_behind`, as the sources are now."""
    if row["key"].startswith(PACKAGE):
        return package_code(row["key"])
    if row["target"] == f"{row['plugin']}:":
        return prints.plugin(row["plugin"])
    return prints.registered(row["plugin"], row["key"], row["target"])


def registered_in(registry: Registry) -> Lookup:
    """Return a lookup in a registry whose plugins are loaded."""

    def lookup(key: str) -> tuple[str, str | None]:
        if key.startswith("op:"):
            op = registry.op_entry(key.removeprefix("op:"))
            return ":".join(named(op.factory)), op.plugin
        entry = registry.get_module(key)
        return ":".join(named(entry.factory)), entry.plugin

    return lookup


def listed_in(manifest: Mapping[str, Any]) -> Lookup:
    """Return a lookup in a manifest; a key that is not there is a KeyError."""

    def lookup(key: str) -> tuple[str, str | None]:
        row = manifest["ops"][key.removeprefix("op:")] if key.startswith("op:") else manifest["modules"][key]
        return row["target"], row["plugin"]

    return lookup


def keys_in(config: Mapping[str, Any]) -> Iterator[tuple[ConfigPath, str, str]]:
    """Yield every registry key, target and op that a config names: where, under which word, and its name."""
    for path, name in walk(config):
        word = path[-1] if path else None
        if path[:1] not in (("params",), ("settings",)) and isinstance(name, str) and names_code(word, name):
            yield path, str(word), name


def names_code(word: str | int | None, name: str) -> bool:
    """Return whether a config's entry `word: name` names something to call."""
    families = {"type": ("optim_cls.", "sched_cls."), "call": ("op:",)}
    return word in ("_type_", "_target_") or name.startswith(families.get(str(word), "\0"))
