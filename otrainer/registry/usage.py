"""Which code a config names: components, targets and ops, what its plugins do besides, and what puts them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from otrainer.config.walk import walk
from otrainer.fingerprint import Code, Fingerprints, named
from otrainer.fingerprint.locate import is_own
from otrainer.registry.dotted_names import named_in
from otrainer.registry.effects import Known, null_arguments, promises_of
from otrainer.registry.manifest import is_indexed, signature_of
from otrainer.registry.plugins.packages import PREFIX as PACKAGE
from otrainer.registry.plugins.packages import package_code, package_rows
from otrainer.registry.static_source import said_in

if TYPE_CHECKING:
    from otrainer.errors import ConfigPath
    from otrainer.registry.core import Registry

PLAIN = len(("key", "target", "plugin"))
COMPOSITION_ROOT = "otrainer.stages.fit.compose:composed"
ROOT_KEY = "otrainer"
# Words that name what is called, and those that do so with names of some families alone.
SPECS = ("_type_", "_target_")
FAMILIES: Mapping[str | int, tuple[str, ...]] = {
    "type": ("optim_cls.", "sched_cls."), "call": ("op:",), "function": ("op:",),
}  # fmt: skip
# From a key or an op (`op:NAME`) to what is known of it.
Lookup: TypeAlias = Callable[[str], Known]


def code_behind(config: Mapping[str, Any], lookup: Lookup, prints: Fingerprints) -> list[dict[str, Any]]:
    """Return a row for all code that decides what a config trains, in a fixed order.

    Each has its `key`, its `target` ("package.module:name"), the `plugin` that registered it, and its `fingerprint`.
    A plugin has a row for what it does whichever of its keys are used, where it does anything, and so have each package
    whose version counts, and what dotted names in the config name. Where there is something to say, a row says what
    `effects` wants to know of it: whether arguments are `without_effect` or `nullable`, whether it is `indexed`, what
    its code `reads`.
    """
    rows = [{"key": ROOT_KEY, "target": COMPOSITION_ROOT, "plugin": None}]
    rows += [{"key": name, "target": f"{name}:", "plugin": name} for name in dict.fromkeys(config.get("imports") or ())]
    found = list(walk(config))
    nulls = null_arguments(value for _, value in found)
    named_keys = {(form == "_target_", key) for _, form, key in keys_among(found)}
    for is_target, key in sorted(named_keys):
        known = Known(":".join(key.rpartition(".")[::2]), None) if is_target else lookup(key)
        facts = known.facts(nulls.get(key, ()))
        rows.append({"key": key, "target": known.target, "plugin": known.plugin, **facts})
    named_so = {key for _, key in named_keys}
    dotted = {name: target for name, target in named_in(found, prints).items() if name not in named_so}
    rows += [{"key": name, "target": target, "plugin": None} for name, target in dotted.items()]
    rows += package_rows(config)
    printed = ((row, code_of(row, prints)) for row in rows)
    return [
        {**row, **words_in(row, prints), "fingerprint": code.digest}
        for row, code in printed
        if code.symbols or len(row) > PLAIN
    ]


def words_in(row: Mapping[str, Any], prints: Fingerprints) -> dict[str, list[str]]:
    """Return which of the words that `effects` looks for stand in the project's modules that code reaches."""
    found = () if row["key"].startswith(PACKAGE) else words_behind(row["key"], row["target"], row["plugin"], prints)
    return {"reads": list(found)} if found else {}


@cache
def words_behind(key: str, target: str, plugin: str | None, prints: Fingerprints) -> tuple[str, ...]:
    """Return the words that the code behind a key says, as the sources were when this look at them was taken."""
    symbols = code_at(key, target, plugin, prints).symbols
    modules = dict.fromkeys(symbol.partition(":")[0] for symbol in symbols)
    files = [prints.file_of(name) for name in modules if not is_own(name)]
    return tuple(sorted({word for file in files if file is not None for word in said_in(file)}))


def code_of(row: Mapping[str, Any], prints: Fingerprints) -> Code:
    """Return the code behind a row of `code_behind`, as the sources are now."""
    if row["key"].startswith(PACKAGE):
        return package_code(row["key"])
    return code_at(row["key"], row["target"], row["plugin"], prints)


@cache
def code_at(key: str, target: str, plugin: str | None, prints: Fingerprints) -> Code:
    """Return the code behind a key, as the sources were when this look at them was taken."""
    if plugin is not None and target == f"{plugin}:":
        return prints.plugin(plugin)
    return prints.registered(plugin, key, target)


def registered_in(registry: Registry) -> Lookup:
    """Return a lookup in a registry whose plugins are loaded."""

    def lookup(key: str) -> Known:
        if key.startswith("op:"):
            op = registry.op_entry(key.removeprefix("op:"))
            return Known(":".join(named(op.factory)), op.plugin)
        entry = registry.get_module(key)
        target, signature = ":".join(named(entry.factory)), partial(signature_of, entry)
        return Known(target, entry.plugin, entry.without_effect, is_indexed(entry), signature)

    return lookup


def listed_in(manifest: Mapping[str, Any]) -> Lookup:
    """Return a lookup in a manifest; a key that is not there is a KeyError."""

    def lookup(key: str) -> Known:
        row = manifest["ops"][key.removeprefix("op:")] if key.startswith("op:") else manifest["modules"][key]
        promises = promises_of(row.get("without_effect", ()))
        return Known(row["target"], row["plugin"], promises, "indexed" in row, lambda: row.get("signature"))

    return lookup


def keys_in(config: Mapping[str, Any]) -> Iterator[tuple[ConfigPath, str, str]]:
    """Yield every registry key, target and op that a config names: where, under which word, and its name."""
    return keys_among(walk(config))


def keys_among(found: Iterable[tuple[ConfigPath, object]]) -> Iterator[tuple[ConfigPath, str, str]]:
    for path, name in found:
        if isinstance(name, str) and path and names_code(path[-1], name) and path[0] not in ("params", "settings"):
            yield path, str(path[-1]), name


def names_code(word: str | int, name: str) -> bool:
    """Return whether a config's entry `word: name` names something to call."""
    return word in SPECS or (word in FAMILIES and name.startswith(FAMILIES[word]))
