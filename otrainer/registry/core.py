"""The registry: a key names a factory, which is imported when it is first needed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from types import ModuleType
from typing import Any, Literal, TypeAlias, get_args

from otrainer.errors import ConfigError, Finding, SourceLocation, nearest
from otrainer.registry.checks import check_factory, check_module, check_name, check_taken, doc_of, refuse
from otrainer.registry.contracts import PLUGIN_PREFIXES
from otrainer.registry.entries import Entries
from otrainer.registry.locations import origin_of, shown_origin

Policy: TypeAlias = Literal["strict", "best_effort", "runtime_only"]
Factory: TypeAlias = Callable[..., Any] | str

POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class ModuleEntry:
    """A registered factory and what is known about it; `at` and `plugin` are None for what comes with otrainer."""

    name: str
    factory: Factory
    signature_policy: Policy = "strict"
    tags: tuple[str, ...] = ()
    doc: str = ""
    at: SourceLocation | None = None
    plugin: str | None = None

    @property
    def origin(self) -> str:
        """`file:line` of the registration, or "built in"."""
        return shown_origin(self.at)

    @property
    def target(self) -> Callable[..., Any]:
        """The factory itself, imported now if it is given as "package.module:attr"; a failure is a ConfigError."""
        return import_factory(self.name, self.factory)


@dataclass(frozen=True, slots=True)
class OpEntry:
    """A registered op: a function of values that a model's graph may call."""

    name: str
    fn: Factory
    doc: str = ""
    at: SourceLocation | None = None
    plugin: str | None = None

    @property
    def origin(self) -> str:
        """`file:line` of the registration, or "built in"."""
        return shown_origin(self.at)

    @property
    def target(self) -> Callable[..., Any]:
        """The function itself, imported now if it is given as "package.module:attr"; a failure is a ConfigError."""
        return import_factory(self.name, self.fn)


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
    ) -> None:
        """Let `_type_: name` build what `factory` returns.

        Raises:
            ConfigError: a malformed or taken key, an unknown policy, a factory that cannot be called, or a class
                that lacks what components under this prefix need; all of them at once.
        """
        at = origin_of(sys._getframe(1))
        findings = [*check_taken(name, self._modules, "key"), *check_module(name, factory, signature_policy, POLICIES)]
        refuse(findings, at)
        known = next(policy for policy in POLICIES if policy == signature_policy)
        doc = doc_of(factory, doc)
        self._modules.add(ModuleEntry(name, factory, known, tuple(tags), doc, at, self.registering))

    def register_op(self, name: str, fn: Factory, *, doc: str | None = None) -> None:
        """Let a graph's `call: op:name` call `fn`.

        Raises:
            ConfigError: a malformed or taken name, or something that cannot be called.
        """
        at = origin_of(sys._getframe(1))
        refuse([*check_name(name, "op"), *check_factory(fn, name), *check_taken(name, self._ops, "op")], at)
        self._ops.add(OpEntry(name, fn, doc_of(fn, doc), at, self.registering))

    def get_module(self, name: str) -> ModuleEntry:
        """The entry under `name`; an unknown key is a ConfigError that knows the nearest ones."""
        if name not in self._modules:
            raise ConfigError.of([self.unknown_module(name)])
        return self._modules[name]

    def get_op(self, name: str) -> Callable[..., Any]:
        """The function under `name`; an unknown op is a ConfigError that knows the nearest ones."""
        return self.op_entry(name).target

    def op_entry(self, name: str) -> OpEntry:
        """The entry of the op `name`; an unknown op is a ConfigError that knows the nearest ones."""
        if name not in self._ops:
            raise ConfigError.of([self.unknown_op(name)])
        return self._ops[name]

    def __contains__(self, name: str) -> bool:
        """Whether a component is registered under `name`."""
        return name in self._modules

    def list_modules(self) -> list[str]:
        """All keys, sorted."""
        return sorted(self._modules)

    def list_ops(self) -> list[str]:
        """All ops, sorted."""
        return sorted(self._ops)

    def unknown_module(self, name: str) -> Finding:
        """What to say where `name` is used but not registered."""
        from_plugins = name.startswith(PLUGIN_PREFIXES) or "." not in name
        return Finding(
            f"No component is registered as `{name}`.",
            "unknown component",
            suggestions=nearest(name, self._modules),
            hint=where_keys_come_from(self.plugins) if from_plugins else "",
        )

    def unknown_op(self, name: str) -> Finding:
        """What to say where the op `name` is called but not registered."""
        near = nearest(name, self._ops)
        hint = f"Known ops are {', '.join(self.list_ops())}." if not near else ""
        return Finding(f"There is no op `{name}`.", "unknown op", suggestions=near, hint=hint)


def where_keys_come_from(plugins: Mapping[str, ModuleType]) -> str:
    """Return the next step where a plugin's key is missing: a module may be listed, and yet register nothing."""
    silent = [f"`{name}`" for name, module in plugins.items() if not hasattr(module, "register")]
    if silent:
        return f"{', '.join(silent)}, listed under `imports`, has no `register(registry)`: it registers nothing."
    return "Keys of a plugin exist once its module is listed under `imports`."


def import_factory(name: str, factory: Factory) -> Callable[..., Any]:
    """The callable that `factory` is or names.

    Raises:
        ConfigError: its module cannot be imported, lacks the attribute, or holds something that cannot be called.
    """
    if not isinstance(factory, str):
        return factory
    module_name, _, attribute = factory.partition(":")
    try:
        found = reduce(getattr, attribute.split("."), importlib.import_module(module_name))
    except Exception as cause:
        message = f"`{name}` stands for `{factory}`, which cannot be imported: {type(cause).__name__}: {cause}"
        raise ConfigError(message, title="component not available", hint=import_hint(factory, cause)) from cause
    if not callable(found):
        message, hint = f"`{name}` stands for `{factory}`, which cannot be called.", "Register a class or a function."
        raise ConfigError(message, title="component not available", hint=hint)
    target: Callable[..., Any] = found
    return target


def import_hint(factory: str, cause: Exception) -> str:
    if factory.startswith("torch.") and isinstance(cause, AttributeError | ModuleNotFoundError):
        return "The installed torch does not have it; a newer one may."
    return "Check that the module is installed, and has that name."
