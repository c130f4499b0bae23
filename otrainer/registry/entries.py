"""The entries of a registry: one is added by registering it, and none is replaced or taken away, by whatever way."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import is_
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias, TypeVar, get_args

from otrainer.errors import ConfigError, Finding, SourceLocation
from otrainer.registry.checks import check_taken, first_registration, refuse
from otrainer.registry.locations import display_origin, origin_of, place_of_function

if TYPE_CHECKING:
    from otrainer.registry.effects import Promises

Policy: TypeAlias = Literal["strict", "best_effort", "runtime_only"]
Factory: TypeAlias = Callable[..., Any] | str

POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is registered under a name; `at` and `plugin` are None for what comes with otrainer."""

    name: str
    factory: Factory
    doc: str = field(default="", kw_only=True)
    at: SourceLocation | None = field(default=None, kw_only=True)
    plugin: str | None = field(default=None, kw_only=True)

    @property
    def origin(self) -> str:
        """`file:line` of the registration, or "built in"."""
        return display_origin(self.at)

    @property
    def target(self) -> Callable[..., Any]:
        """The factory itself, imported now if it is given as "package.module:attr"; a failure is a ConfigError."""
        return import_factory(self.name, self.factory)


@dataclass(frozen=True, slots=True)
class ModuleEntry(Entry):
    """A registered component."""

    signature_policy: Policy = "strict"
    tags: tuple[str, ...] = ()
    without_effect: Promises = ()


@dataclass(frozen=True, slots=True)
class OpEntry(Entry):
    """A registered op: a function of values that a model's graph may call."""


E = TypeVar("E", bound=Entry)


class Entries(dict[str, E]):
    """Entries by name, of one `kind` ("key" or "op"); only `add` changes them."""

    def __init__(self, kind: str, entries: Iterable[E]) -> None:
        super().__init__({entry.name: entry for entry in entries})
        self.kind = kind

    def add(self, entry: E) -> None:
        """Keep an entry whose name is not taken."""
        super().__setitem__(entry.name, entry)

    def __setitem__(self, name: str, entry: E) -> None:
        refuse(check_taken(name, self, self.kind) or [self._by_hand()], origin_of(sys._getframe(1)))

    def _refuse(self, *_given: Any, **_named: Any) -> NoReturn:
        refuse([self._by_hand()], origin_of(sys._getframe(1)))
        raise AssertionError

    __delitem__ = pop = popitem = clear = update = setdefault = __ior__ = _refuse

    def _by_hand(self) -> Finding:
        hint = "Call `registry.register_module(name, factory)` or `registry.register_op(name, fn)`."
        return Finding(f"The {self.kind}s of a registry are not changed by hand.", "invalid registration", hint=hint)


class Held(NamedTuple):
    """An entry as it was: itself, and all that it knows."""

    entry: Entry
    facts: tuple[Any, ...]


Snapshot: TypeAlias = dict[tuple[str, str], Held]


def snapshot_of(kind: str, entries: Mapping[str, Entry]) -> Snapshot:
    """Return each entry as it is now, by kind and name."""
    return {
        (kind, name): Held(entry, tuple(getattr(entry, each.name) for each in fields(entry)))
        for name, entry in entries.items()
    }


def meddling(before: Snapshot, now: Snapshot, plugin: str, register: Any) -> Iterator[Finding]:
    """Yield what `register` of a plugin did to entries of others, at its place.

    Python keeps nobody from reaching into objects; comparing what is held before and after finds out.
    """
    at = place_of_function(register)
    for (kind, name), (entry, facts) in before.items():
        held = now.get((kind, name))
        if held is None or held.entry is not entry or not all(map(is_, held.facts, facts)):
            what = "removed" if held is None else "replaced"
            message = f"The plugin `{plugin}` {what} the {kind} `{name}`, which {first_registration(entry.at)}."
            hint = "Register what is yours under a name of its own."
            yield Finding(message, "duplicate registration", location=at, hint=hint)
    for (kind, name), (entry, _) in now.items():
        if (kind, name) not in before and entry.plugin != plugin:
            message = f"The plugin `{plugin}` registered the {kind} `{name}` in the name of `{entry.plugin}`."
            hint = "Leave `registry.registering` as it is."
            yield Finding(message, "invalid registration", location=at, hint=hint)


def import_factory(name: str, factory: Factory) -> Callable[..., Any]:
    """Return the callable that `factory` is or names.

    Raises:
        ConfigError: its module cannot be imported, lacks the attribute, or holds something that cannot be called.
    """
    if not isinstance(factory, str):
        return factory
    module_name, _, attribute = factory.partition(":")
    try:
        module = sys.modules.get(module_name) or importlib.import_module(module_name)
        found = reduce(getattr, attribute.split("."), module)
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
