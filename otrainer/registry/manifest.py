"""The manifest: everything that a registry holds, as plain data that is the same in every process."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.registry.fingerprint import Fingerprints, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from otrainer.registry.core import ModuleEntry, OpEntry, Registry

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
COMPOSITION_ROOT = "otrainer.experiment:train"


def manifest_of(registry: Registry) -> dict[str, Any]:
    """Every key with its target, signature, policy, tags, doc and code fingerprint; ops likewise."""
    prints = Fingerprints()
    return {
        "modules": {name: module_row(registry.get_module(name), prints) for name in registry.list_modules()},
        "ops": {name: op_row(registry.op_entry(name), prints) for name in registry.list_ops()},
        "composition_root": prints.of(COMPOSITION_ROOT),
    }


def module_row(entry: ModuleEntry, prints: Fingerprints) -> dict[str, Any]:
    return {
        "target": ":".join(named(entry.factory)),
        "signature": signature_of(entry),
        "policy": entry.signature_policy,
        "tags": list(entry.tags),
        "doc": entry.doc or doc_behind(entry),
        "fingerprint": prints.of(entry.factory),
    }


def op_row(entry: OpEntry, prints: Fingerprints) -> dict[str, Any]:
    return {"target": ":".join(named(entry.fn)), "doc": entry.doc, "fingerprint": prints.of(entry.fn)}


def signature_of(entry: ModuleEntry) -> str | None:
    """Names and defaults of a factory's arguments; None where it cannot be imported or read."""
    try:
        return without_addresses(entry.target)
    except (ConfigError, ValueError, TypeError):
        return None


def doc_behind(entry: ModuleEntry) -> str:
    """The first line of the docstring of what an entry stands for."""
    try:
        return next(iter((inspect.getdoc(entry.target) or "").splitlines()), "")
    except ConfigError:
        return ""


def without_addresses(target: Callable[..., Any]) -> str:
    bare = [part.replace(annotation=part.empty) for part in inspect.signature(target).parameters.values()]
    return ADDRESS.sub("", str(inspect.Signature(bare)))
