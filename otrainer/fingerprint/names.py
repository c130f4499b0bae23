"""What the names of a module stand for, by statements, by imports, by `*`, and by the modules in a package."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache, partial
from typing import TYPE_CHECKING, Generic, TypeVar

from otrainer.fingerprint.known_names import BUILTIN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otrainer.fingerprint.sources import Sources
    from otrainer.fingerprint.summary import Alias, Statement

IMPORTING = "<import>"
WHOLE = "<module>"
ATTEMPT = "<attempt>"
# A module, and a name in it, or one of these: what its import does, all of it, and whether its import succeeds.
Symbol = tuple[str, str]

Owner = TypeVar("Owner")
Asked = TypeVar("Asked", bound=Hashable)
Answer = TypeVar("Answer")


def reachable(start: Iterable[Asked], following: Callable[[Asked], Iterable[Asked]]) -> Iterator[Asked]:
    """Yield what `start` leads to, itself included, each once."""
    seen = dict.fromkeys(start)
    waiting = list(seen)
    while waiting:
        yield (here := waiting.pop())
        fresh = dict.fromkeys(each for each in following(here) if each not in seen)
        seen |= fresh
        waiting += fresh


class Remembered(Generic[Owner, Asked, Answer]):
    """A method of one argument whose answers an object keeps as long as it lives."""

    def __init__(self, compute: Callable[[Owner, Asked], Answer]) -> None:
        self.compute = compute

    def __get__(self, owner: Owner, _kind: type[Owner]) -> Callable[[Asked], Answer]:
        """Return the method with a memory, which takes the place of this descriptor in the object."""
        remembered = cache(partial(self.compute, owner))
        owner.__dict__[self.compute.__name__] = remembered
        return remembered


class Meanings:
    """The names of local modules; what is asked of a module often is remembered."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._asked: set[tuple[str, str | None, tuple[str, ...], bool]] = set()

    def statements(self, module: str) -> tuple[Statement, ...]:
        summary = self.sources.summary(module)
        return summary.statements if summary else ()

    @Remembered
    def bindings(self, module: str) -> dict[str, list[int]]:
        """Return for each name of a module the statements that bind it, in order."""
        found: dict[str, list[int]] = {}
        for number, statement in enumerate(self.statements(module)):
            for name in statement.binds:
                found.setdefault(name, []).append(number)
        return found

    @Remembered
    def stars(self, module: str) -> list[tuple[int, str]]:
        """Return the modules whose names a module takes by `*`, each with the number of the statement that does."""
        return [(number, star) for number, each in enumerate(self.statements(module)) for star in each.stars]

    @Remembered
    def imports(self, module: str) -> list[str]:
        """Return what a module imports at any time."""
        every = ((*self.modules_of(each), *each.later) for each in self.statements(module))
        return list(dict.fromkeys(name for names in every for name in names))

    @Remembered
    def imported(self, module: str) -> list[str]:
        """Return what a module imports when it is imported."""
        return list(dict.fromkeys(name for each in self.statements(module) for name in self.modules_of(each)))

    def modules_of(self, statement: Statement) -> tuple[str, ...]:
        """Return the modules that a statement imports when it runs; with a `*` also those that `__all__` lists."""
        listed = (name for star in statement.stars for name in self.listed(star))
        return (*statement.modules, *listed) if statement.stars else statement.modules

    def listed(self, package: str) -> Iterator[str]:
        """Yield the modules in a package that its `__all__` names, or may where it is computed."""
        statements = self.statements(package)
        for number in self.bindings(package).get("__all__", ()):
            if statements[number].acts:
                yield from self.sources.locator.modules_in(package)
            else:
                shows = statements[number].shows
                yield from (f"{package}.{name}" for name in shows if self.is_submodule(package, name))

    def followed(self, module: str, statement: Statement, chains: Iterable[str]) -> Iterator[Symbol]:
        """Yield the symbols that dotted chains of names in a statement lead to."""
        for chain in chains:
            yield from self.follow(module, statement, chain)
        for name in statement.later:
            yield name, IMPORTING

    def follow(self, module: str, statement: Statement, chain: str, *, outside: bool = False) -> Iterator[Symbol]:
        """Follow one chain as `followed` does, with `outside` also to what is not local."""
        name, *rest = chain.split(".")
        for inner, alias in statement.inner:
            if inner == name:
                yield from self.shown(module, alias, rest, outside=outside)
        yield from self.in_module(module, name, rest, outside=outside)

    def in_module(self, module: str, name: str, rest: Sequence[str], *, outside: bool = False) -> Iterator[Symbol]:
        """Yield what `name.rest` means at the top of a module."""
        if self.sources.summary(module) is None:
            return
        places, given = self.bindings(module).get(name, ()), False
        for alias in dict.fromkeys(self.statements(module)[number].aliases.get(name) for number in places):
            if alias is not None and rest and self.is_module(*alias):
                # The name itself stands for no more than the way to what it is asked for.
                yield from self.shown(module, alias, rest, outside=outside)
                continue
            if alias is not None and outside:
                yield from self.named(*alias, rest, outside=True)
            yield module, name
        for _, star in self.stars(module):
            if self.gives(star, name):
                given = True
                yield module, name
                yield from self.named(star, name, rest, outside=outside)
        if self.may_be_module(module, name):
            yield from self.shown(module, (f"{module}.{name}", None), rest, outside=outside)
        elif outside and not places and not given and name in BUILTIN_NAMES:
            yield "builtins", name

    def gives(self, module: str, name: str, seen: tuple[str, ...] = ()) -> bool:
        """Return whether a module may have a name for whoever takes all of them by `*`."""
        bindings = self.bindings(module)
        return (
            name in bindings
            or ("__getattr__" in bindings and "__all__" in bindings)
            or self.may_be_module(module, name)
            or any(self.gives(star, name, (*seen, module)) for _, star in self.stars(module) if star not in seen)
        )

    def may_be_module(self, package: str, name: str) -> bool:
        """Return whether a name of a package may be a module in it, which its import makes an attribute.

        It is not where the package binds the name itself after it has imported the module.
        """
        if not self.sources.locator.is_package(package) or not self.is_submodule(package, name):
            return False
        last = max(self.bindings(package).get(name, ()), default=-1)
        return not any(f"{package}.{name}" in each.modules for each in self.statements(package)[: last + 1])

    def is_module(self, module: str, attribute: str | None) -> bool:
        """Return whether an imported name is a module: then what is read of it counts, and not all of it."""
        if attribute is None:
            return True
        return self.left_to_modules(module, attribute) and self.is_submodule(module, attribute)

    def bound_by_imports(self, statement: Statement) -> list[Alias]:
        """Return what the imports of a statement bind in its module."""
        return [*statement.aliases.values(), *(alias for name, alias in statement.inner if name in statement.binds)]

    def is_computed(self, alias: Alias) -> bool:
        """Return whether a module runs its `__getattr__` when a name is imported of it."""
        module, attribute = alias
        bindings = self.bindings(module)
        return attribute is not None and attribute not in bindings and "__getattr__" in bindings

    def left_to_modules(self, package: str, name: str) -> bool:
        """Return whether only a module in it can give a package this name: it is not bound, or by its own import."""
        statements, itself = self.statements(package), (f"{package}.{name}", None)
        return all(statements[each].aliases.get(name) == itself for each in self.bindings(package).get(name, ()))

    def shown(self, module: str, alias: Alias, rest: Sequence[str], *, outside: bool = False) -> Iterator[Symbol]:
        """Follow as `named` what `module` imports: a package that is handed on has the modules imported there."""
        for symbol in self.named(*alias, rest, outside=outside):
            yield symbol
            if symbol[1] == WHOLE:
                yield from ((name, WHOLE) for name in self.imports(module) if name.startswith(f"{symbol[0]}."))

    def named(
        self, module: str, attribute: str | None, rest: Sequence[str], *, outside: bool = False
    ) -> Iterator[Symbol]:
        """Yield what an imported name means, with the attributes that are read of it; names may lead in circles."""
        asked = (module, attribute, tuple(rest), outside)
        if asked not in self._asked:
            self._asked.add(asked)
            yield from self.meaning(module, attribute, rest, outside=outside)
            self._asked.discard(asked)

    def meaning(self, module: str, attribute: str | None, rest: Sequence[str], *, outside: bool) -> Iterator[Symbol]:
        parts = [*([attribute] if attribute is not None else []), *rest]
        while parts and self.left_to_modules(module, parts[0]) and self.is_submodule(module, parts[0]):
            if "__getattr__" in self.bindings(module):
                yield module, "__getattr__"  # it is asked before the module is looked for
            module = f"{module}.{parts.pop(0)}"
        if self.sources.summary(module) is None:
            if outside:
                yield module, ".".join(parts)
            return
        yield module, IMPORTING
        if not parts:
            yield module, WHOLE
            return
        yield from self.in_module(module, parts[0], parts[1:], outside=outside)
        if parts[0] in self.bindings(module):
            yield module, parts[0]
            return
        if "__getattr__" in self.bindings(module):
            yield module, "__getattr__"
        if parts[0].startswith("__"):
            yield module, WHOLE  # such as `__dict__`

    def is_submodule(self, module: str, name: str) -> bool:
        return self.sources.locator.source(f"{module}.{name}") is not None or (
            self.sources.summary(module) is None and self.sources.locator.holds(f"{module}.{name}")
        )
