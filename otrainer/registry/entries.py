"""The entries of a registry: one is added by registering it, and none is replaced or taken away, by whatever way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeVar

from otrainer.errors import Finding, SourceLocation
from otrainer.registry.checks import check_taken, refuse
from otrainer.registry.locations import origin_of, place_of_function, shown_origin

if TYPE_CHECKING:
    from otrainer.registry.core import Registry


class Entry(Protocol):
    """What is registered under a name."""

    @property
    def name(self) -> str: ...
    @property
    def at(self) -> SourceLocation | None: ...
    @property
    def plugin(self) -> str | None: ...


E = TypeVar("E", bound=Entry)
OF_KEY = attrgetter("name", "factory", "signature_policy", "tags", "doc", "at", "plugin")
OF_OP = attrgetter("name", "fn", "doc", "at", "plugin")


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


def held_in(registry: Registry) -> dict[tuple[str, str], Held]:
    """Everything that a registry holds now, by kind and name."""
    found: dict[tuple[str, str], Held] = {}
    for kind, entries, facts in (("key", registry._modules, OF_KEY), ("op", registry._ops, OF_OP)):
        found |= {(kind, name): Held(entry, facts(entry)) for name, entry in entries.items()}
    return found


def meddling(before: dict[tuple[str, str], Held], registry: Registry, plugin: str, register: Any) -> Iterator[Finding]:
    """What `register` of a plugin did to entries of others, as findings at its place.

    Python keeps nobody from reaching into objects; this finds out.
    """
    now, at = held_in(registry), place_of_function(register)
    for (kind, name), (entry, facts) in before.items():
        held = now.get((kind, name))
        if held is None or held.entry is not entry or not all(map(is_, held.facts, facts)):
            first = "is built in" if entry.at is None else f"was registered at {shown_origin(entry.at)}"
            what = "removed" if held is None else "replaced"
            message = f"The plugin `{plugin}` {what} the {kind} `{name}`, which {first}."
            yield Finding(
                message, "duplicate registration", location=at, hint="Register what is yours under a name of its own."
            )
    for (kind, name), (entry, _) in now.items():
        if (kind, name) not in before and entry.plugin != plugin:
            message = f"The plugin `{plugin}` registered the {kind} `{name}` in the name of `{entry.plugin}`."
            hint = "Leave `registry.registering` as it is."
            yield Finding(message, "invalid registration", location=at, hint=hint)
