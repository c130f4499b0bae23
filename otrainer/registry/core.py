"""The registry: a key names a factory, which is imported when it is first needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from otrainer.errors import ConfigError, Finding, nearest
from otrainer.registry.checks import (
    check_factory,
    check_module,
    check_name,
    check_promises,
    check_taken,
    doc_of,
    refuse,
)
from otrainer.registry.contracts import PLUGIN_PREFIXES
from otrainer.registry.effects import promises_of
from otrainer.registry.entries import POLICIES, Entries, Factory, ModuleEntry, OpEntry, Snapshot, snapshot_of
from otrainer.registry.locations import origin_of
from otrainer.registry.near_keys import near_keys, where_keys_come_from


class Registry:
    """All keys that a config may use. Every registration is checked when it is made.

    `plugins` are the modules that have registered here already, by name, and `registering` is the one that does so
    now; `load_plugins` keeps both.
    """

    def __init__(self, modules: Iterable[ModuleEntry] = (), ops: Iterable[OpEntry] = ()) -> None:
        self.plugins: dict[str, ModuleType] = {}
        self.registering: str | None = None
        self._modules = Entries("key", modules)
        self._ops = Entries("op", ops)

    def register_module(
        self,
        name: str,
        factory: Factory,
        *,
        signature_policy: str = "strict",
        tags: Iterable[str] = (),
        doc: str | None = None,
        without_effect: Mapping[str, Iterable[str]] | Iterable[str] = (),
    ) -> None:
        """Let `_type_: name` build what `factory` returns.

        `without_effect` names the arguments that cannot change what is trained: another value retrains nobody.

        Raises:
            ConfigError: a malformed or taken key, an unknown policy, a factory that cannot be called, a class that
                lacks what components under this prefix need, or a promise about no argument; all of them at once.
        """
        at = origin_of(sys._getframe(1))
        findings = [*check_taken(name, self._modules, "key"), *check_module(name, factory, signature_policy, POLICIES)]
        findings += check_promises(name, factory, without_effect)
        refuse(findings, at)
        known = next(policy for policy in POLICIES if policy == signature_policy)
        doc = doc_of(factory, doc)
        promises = promises_of(without_effect)
        entry = ModuleEntry(name, factory, known, tuple(tags), promises, doc=doc, at=at, plugin=self.registering)
        self._modules.add(entry)

    def register_op(self, name: str, fn: Factory, *, doc: str | None = None) -> None:
        """Let a graph's `call: op:name` call `fn`.

        Raises:
            ConfigError: a malformed or taken name, or something that cannot be called.
        """
        at = origin_of(sys._getframe(1))
        refuse([*check_name(name, "op"), *check_factory(fn, name), *check_taken(name, self._ops, "op")], at)
        self._ops.add(OpEntry(name, fn, doc=doc_of(fn, doc), at=at, plugin=self.registering))

    def get_module(self, name: str) -> ModuleEntry:
        """Return the entry under `name`; an unknown key is a ConfigError that knows the nearest ones."""
        if name not in self._modules:
            raise ConfigError.of([self.unknown_module(name)])
        return self._modules[name]

    def get_op(self, name: str) -> Callable[..., Any]:
        """Return the function under `name`; an unknown op is a ConfigError that knows the nearest ones."""
        return self.op_entry(name).target

    def op_entry(self, name: str) -> OpEntry:
        """Return the entry of the op `name`; an unknown op is a ConfigError that knows the nearest ones."""
        if name not in self._ops:
            raise ConfigError.of([self.unknown_op(name)])
        return self._ops[name]

    def snapshot(self) -> Snapshot:
        """Return every entry as it is now."""
        return snapshot_of("key", self._modules) | snapshot_of("op", self._ops)

    def __contains__(self, name: str) -> bool:
        """Return whether a component is registered under `name`."""
        return name in self._modules

    def list_modules(self) -> list[str]:
        """Return all keys, sorted."""
        return sorted(self._modules)

    def list_ops(self) -> list[str]:
        """Return all ops, sorted."""
        return sorted(self._ops)

    def unknown_module(self, name: str) -> Finding:
        """Return the finding for a `name` that is used but not registered."""
        from_plugins = name.startswith(PLUGIN_PREFIXES) or "." not in name
        return Finding(
            f"No component is registered as `{name}`.",
            "unknown component",
            suggestions=near_keys(name, self._modules),
            hint=where_keys_come_from(self.plugins) if from_plugins else "",
        )

    def unknown_op(self, name: str) -> Finding:
        """Return the finding for an op `name` that is called but not registered."""
        near = nearest(name, self._ops)
        hint = f"Known ops are {', '.join(self.list_ops())}." if not near else ""
        return Finding(f"There is no op `{name}`.", "unknown op", suggestions=near, hint=hint)
