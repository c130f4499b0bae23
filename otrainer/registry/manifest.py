"""The manifest: everything that a registry holds, as plain data that is the same in every process."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.redaction.values import masked
from otrainer.errors import ConfigError
from otrainer.fingerprint import Code, Fingerprints, named
from otrainer.registry.effects import is_read_by_index

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from otrainer.registry.core import Registry
    from otrainer.registry.entries import Factory, ModuleEntry, OpEntry

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def manifest_of(registry: Registry, prints: Fingerprints, seen: Collection[str] = ()) -> dict[str, Any]:
    """Return every key with its target, plugin, signature, policy, tags, doc and code fingerprint; ops likewise.

    A row also says of which arguments it was promised that they are `without_effect`, and whether it is `indexed`.

    `plugins` says of each plugin by which code it registers its keys; `notes` where a fingerprint had to take in more
    than a component reaches, and `not_followed` what the plugins' code uses that does not count. What was `seen` while
    they were imported, by its place, does.
    """
    modules = {name: module_row(registry.get_module(name), prints) for name in registry.list_modules()}
    ops = {name: op_row(registry.op_entry(name), prints) for name in registry.list_ops()}
    plugins = {name: prints.register_of(name).digest for name in registry.plugins}
    codes, marks = codes_of(registry, prints), set(seen)
    unfollowed = dict.fromkeys(each for code in codes for each in code.unfollowed)
    return {
        "modules": modules,
        "ops": ops,
        "plugins": plugins,
        "notes": list(dict.fromkeys(note for code in codes for note in code.notes)),
        "not_followed": [each.text for each in unfollowed if not each.counts(seen)],
        "seen": sorted(marks & {mark for each in unfollowed if each.counts(seen) for mark in (each.place, each.what)}),
    }


def codes_of(registry: Registry, prints: Fingerprints) -> list[Code]:
    """Return the code of all plugins."""
    entries = [registry.get_module(name) for name in registry.list_modules()]
    ops = [registry.op_entry(name) for name in registry.list_ops()]
    codes = [prints.plugin(name) for name in registry.plugins]
    codes += [code_of(entry.name, entry.factory, entry.plugin, prints) for entry in entries if entry.plugin]
    return [*codes, *(code_of(f"op:{op.name}", op.factory, op.plugin, prints) for op in ops if op.plugin)]


def code_of(key: str, factory: Factory, plugin: str | None, prints: Fingerprints) -> Code:
    return prints.registered(plugin, key, ":".join(named(factory)))


def module_row(entry: ModuleEntry, prints: Fingerprints) -> dict[str, Any]:
    row = described(entry) if entry.at else described_once(entry)
    return {**row, "fingerprint": code_of(entry.name, entry.factory, entry.plugin, prints).digest}


def described(entry: ModuleEntry) -> dict[str, Any]:
    """Return all of a row but the fingerprint."""
    row: dict[str, Any] = {
        "target": ":".join(named(entry.factory)),
        "plugin": entry.plugin,
        "signature": signature_of(entry),
        "policy": entry.signature_policy,
        "tags": list(entry.tags),
        "doc": entry.doc or doc_behind(entry),
    }
    if entry.without_effect:
        row["without_effect"] = {name: list(needed) for name, needed in entry.without_effect}
    if is_indexed(entry):
        row["indexed"] = True
    # A default may be read from the environment.
    return row | {name: masked(text) for name, text in row.items() if entry.at and isinstance(text, str)}


# What comes with otrainer is the same as long as the process lives.
described_once = cache(described)


def op_row(entry: OpEntry, prints: Fingerprints) -> dict[str, Any]:
    code = code_of(f"op:{entry.name}", entry.factory, entry.plugin, prints)
    return {
        "target": ":".join(named(entry.factory)),
        "plugin": entry.plugin,
        "doc": entry.doc,
        "fingerprint": code.digest,
    }


def signature_of(entry: ModuleEntry) -> str | None:
    """Return names and defaults of a factory's arguments; None where it cannot be imported or read."""
    try:
        return without_addresses(entry.target)
    except (ConfigError, ValueError, TypeError):
        return None


def is_indexed(entry: ModuleEntry) -> bool:
    """Return whether an entry stands for a map-style data set, as far as its class says it."""
    if isinstance(entry.factory, str) and entry.factory.startswith("torch."):
        return False
    try:
        return is_read_by_index(entry.target)
    except ConfigError:
        return False


def doc_behind(entry: ModuleEntry) -> str:
    """Return the first line of the docstring of what an entry stands for."""
    try:
        return next(iter((inspect.getdoc(entry.target) or "").splitlines()), "")
    except ConfigError:
        return ""


def without_addresses(target: Callable[..., Any]) -> str:
    bare = [part.replace(annotation=part.empty) for part in inspect.signature(target).parameters.values()]
    return ADDRESS.sub("", str(inspect.Signature(bare)))
