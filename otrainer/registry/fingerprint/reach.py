"""From a symbol to all that it reaches: names are followed through modules, with what these do when imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otrainer.registry.fingerprint.aside import is_aside
from otrainer.registry.fingerprint.builtin_names import BUILTIN_NAMES
from otrainer.registry.fingerprint.form import digest_of
from otrainer.registry.fingerprint.inert import KNOWN_PACKAGES
from otrainer.registry.fingerprint.locate import OWN, parents
from otrainer.registry.fingerprint.opaque import IMPORT, MODULE, PACKAGE
from otrainer.registry.fingerprint.registering import REGISTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otrainer.registry.fingerprint.sources import Sources
    from otrainer.registry.fingerprint.summary import Statement, Summary

IMPORTING = "<import>"
WHOLE = "<module>"
Symbol = tuple[str, str]


class Node(NamedTuple):
    """A symbol: digests of its own form, what it uses, and in which ways its reach is hidden.

    `digest` is None for one that only leads on, such as a module whose import does nothing.
    """

    digest: str | None
    documented: str
    uses: tuple[Symbol, ...]
    opaque: tuple[tuple[str, str, int], ...] = ()


class Graph:
    """The symbols of local modules, each made when it is first reached."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.nodes: dict[Symbol, Node] = {}
        self._bindings: dict[str, dict[str, list[int]]] = {}
        self._acting: dict[str, list[tuple[list[str], int]]] = {}
        self._earlier: dict[str, list[int]] = {}
        self._asked: set[tuple[str, str | None, tuple[str, ...], bool]] = set()

    def node(self, symbol: Symbol) -> Node:
        if symbol not in self.nodes:
            self.nodes[symbol] = self.make(*symbol)
        return self.nodes[symbol]

    def make(self, module: str, name: str) -> Node:
        summary = self.sources.summary(module)
        if summary is None:
            return Node(None, "", ())
        if name == IMPORTING:
            return self.importing(module, summary)
        if name == WHOLE:
            return self.whole(module, summary)
        if name.startswith(f"{REGISTER}["):
            return self.registration(module, summary, name[len(REGISTER) + 1 : -1])
        return self.binding(module, summary, name)

    def bindings(self, module: str) -> dict[str, list[int]]:
        """For each name of a module the statements that bind it, in order."""
        if module not in self._bindings:
            found: dict[str, list[int]] = {}
            summary = self.sources.summary(module)
            for number, statement in enumerate(summary.statements if summary else ()):
                for name in statement.binds:
                    found.setdefault(name, []).append(number)
            self._bindings[module] = found
        return self._bindings[module]

    def binding(self, module: str, summary: Summary, name: str) -> Node:
        """A name of a module: all statements that bind it, in their order."""
        uses: dict[Symbol, None] = {(module, IMPORTING): None}
        digests: list[str] = []
        documented: list[str] = []
        opaque: list[tuple[str, str, int]] = []
        for number in self.bindings(module).get(name, ()):
            statement = summary.statements[number]
            uses |= dict.fromkeys(self.following_opaque(module, statement))
            opaque += statement.opaque
            # What acts before it may have changed the values that it takes.
            taken = f"after {self.acts_before(module, number)}" if statement.takes_values else ""
            if name in statement.aliases:
                target = ":".join(part or "" for part in statement.aliases[name]) + taken
                digests.append(target)
                documented.append(target)
                uses |= dict.fromkeys(self.named(*statement.aliases[name], ()))
                continue
            digests.append(statement.digest)
            documented.append(statement.digest_with_docs)
            reached = list(self.followed(module, statement, statement.reads))
            digests.append(meant(reached) + taken)
            documented.append(digests[-1])
            uses |= dict.fromkeys(reached)
            uses |= dict.fromkeys(
                each for own, alias in statement.inner if own == name for each in self.named(*alias, ())
            )
        uses.pop((module, name), None)
        return Node(digest_of("\n".join(digests)), digest_of("\n".join(documented)), tuple(uses), tuple(opaque))

    def whole(self, module: str, summary: Summary) -> Node:
        """All of a module, for one that is used in ways which names do not show."""
        uses: dict[Symbol, None] = {(module, IMPORTING): None}
        opaque: list[tuple[str, str, int]] = []
        for statement in summary.statements:
            uses |= dict.fromkeys((module, name) for name in statement.binds)
            uses |= dict.fromkeys(self.followed(module, statement, statement.reads))
            uses |= dict.fromkeys(self.following_opaque(module, statement))
            opaque += statement.opaque
        for star in summary.stars:
            uses[star, WHOLE] = None
        plain = digest_of("\n".join(statement.digest for statement in summary.statements))
        documented = digest_of("\n".join(statement.digest_with_docs for statement in summary.statements))
        return Node(plain, documented, tuple(uses), tuple(opaque))

    def registration(self, module: str, summary: Summary, key: str) -> Node:
        """What a straight-line `register` does for `key`; all of it where it is not so simple."""
        found = summary.registration
        if found is None or key not in found.rows:
            return Node(None, "", ((module, REGISTER),))
        row = found.rows[key]
        uses: dict[Symbol, None] = {(module, IMPORTING): None}
        for number in self.bindings(module)[REGISTER]:
            uses |= dict.fromkeys(self.followed(module, summary.statements[number], row.reads))
        digest = digest_of(f"{row.digest}\n{meant(uses)}")
        uses |= dict.fromkeys((name, IMPORTING) for name in found.modules)
        return Node(digest, digest, tuple(uses))

    def importing(self, module: str, summary: Summary) -> Node:
        """What importing a module does: its parents, the modules that it imports, and its statements that act."""
        uses: dict[Symbol, None] = {(parent, IMPORTING): None for parent in parents(module)}
        entries: list[str] = []
        opaque: list[tuple[str, str, int]] = []
        for number, statement in enumerate(summary.statements):
            imported, how = self.acting(module)[number]
            entries += [f"import {name}" for name in imported]
            uses |= dict.fromkeys((name, IMPORTING) for name in statement.modules)
            if how == 0:
                continue
            reads = statement.reads if how == 2 else statement.residue_reads
            reached = list(self.followed(module, statement, reads))
            uses |= dict.fromkeys(reached)
            uses |= dict.fromkeys(self.following_opaque(module, statement))
            opaque += statement.opaque if how == 2 else ()
            entries += [statement.digest if how == 2 else statement.residue, meant(reached)]
            entries += self.order(module, number, reached)
        digest = digest_of("\n".join(entries)) if entries else None
        return Node(digest, digest or "", tuple(uses), tuple(opaque))

    def acting(self, module: str) -> list[tuple[list[str], int]]:
        """For each statement of a module the modules that act when it imports them, and how it acts itself."""
        if module not in self._acting:
            summary = self.sources.summary(module)
            seen = set(parents(module))
            found = self._acting[module] = []
            for statement in summary.statements if summary else ():
                fresh = [name for name in statement.modules if name not in seen]  # importing again does nothing
                seen.update(fresh)
                found.append(([name for name in fresh if self.acts(name)], self.how_it_acts(module, statement)))
        return self._acting[module]

    def acts_before(self, module: str, number: int) -> int:
        """How many things a module's import does before a statement."""
        if module not in self._earlier:
            done = self._earlier[module] = [0]
            for imported, how in self.acting(module):
                done.append(done[-1] + len(imported) + (how > 0))
        return self._earlier[module][number]

    def acts(self, module: str) -> bool:
        """Whether importing a module, with all that it imports, does anything: then the order of imports counts."""
        seen, waiting = {module}, [module]
        while waiting:
            name = waiting.pop()
            summary = self.sources.summary(name)
            if summary is None or is_aside(name, IMPORTING):
                continue
            for statement in summary.statements:
                if self.how_it_acts(name, statement):
                    return True
                fresh = [each for each in (*statement.modules, *parents(name)) if each not in seen]
                seen.update(fresh)
                waiting += fresh
        return False

    def how_it_acts(self, module: str, statement: Statement) -> int:
        """2 where all of a statement may act at import, 1 where its residue may, 0 where nothing does."""
        if statement.acts < 2 and any(self.is_hooked(module, statement, base) for base in statement.bases):
            return 2
        return statement.acts

    def is_hooked(self, module: str, statement: Statement, base: str) -> bool:
        """Whether a base or metaclass may run code when a class is made of it."""
        if base == "?":
            return True
        seen: set[Symbol] = set()
        waiting = list(self.resolved(module, statement, base)) or [("?", base)]
        while waiting:
            symbol = waiting.pop()
            if symbol in seen or symbol[1] in (IMPORTING, WHOLE):
                continue
            seen.add(symbol)
            summary = self.sources.summary(symbol[0])
            if summary is None:
                if symbol[0].partition(".")[0] not in KNOWN_PACKAGES:
                    return True
                continue
            for number in self.bindings(symbol[0]).get(symbol[1], ()):
                each = summary.statements[number]
                if each.hooks_subclasses or "?" in each.bases:
                    return True
                aliases = [*each.aliases.items(), *each.inner]
                for alias in (alias for name, alias in aliases if name == symbol[1]):
                    waiting += self.named(*alias, (), outside=True)
                if not each.bases and not each.reads and each.acts:
                    return True
                for above in each.bases:
                    waiting += list(self.resolved(symbol[0], each, above)) or [("?", above)]
                if each.acts == 2 and not each.bases and not aliases:
                    return True  # a class that comes out of a call
        return False

    def resolved(self, module: str, statement: Statement, chain: str) -> Iterator[Symbol]:
        """As `followed` for one chain, symbols outside included."""
        yield from self.follow(module, statement, chain, outside=True)

    def order(self, module: str, number: int, reached: Iterable[Symbol]) -> list[str]:
        """Where names that an acting statement reads are bound after it as well: how many bindings it sees."""
        seen: dict[Symbol, None] = dict.fromkeys(symbol for symbol in reached if symbol[0] == module)
        for symbol in seen_closure(self, module, seen):
            seen[symbol] = None
        entries = []
        for _, name in sorted(seen):
            places = self.bindings(module).get(name, [])
            before = sum(place < number for place in places)
            if before != len(places) and places != [number]:
                entries.append(f"{name} {before}")
        return entries

    def followed(self, module: str, statement: Statement, chains: Iterable[str]) -> Iterator[Symbol]:
        """The symbols that dotted chains of names in a statement lead to."""
        for chain in chains:
            yield from self.follow(module, statement, chain)
        for name in statement.later:
            yield name, IMPORTING

    def follow(self, module: str, statement: Statement, chain: str, *, outside: bool = False) -> Iterator[Symbol]:
        name, *rest = chain.split(".")
        for inner, alias in statement.inner:
            if inner == name:
                yield from self.named(*alias, rest, outside=outside)
        yield from self.in_module(module, name, rest, outside=outside)

    def in_module(self, module: str, name: str, rest: Sequence[str], *, outside: bool = False) -> Iterator[Symbol]:
        """What `name.rest` means at the top of a module."""
        summary = self.sources.summary(module)
        if summary is None:
            return
        places = self.bindings(module).get(name, ())
        for number in places:
            statement = summary.statements[number]
            if name in statement.aliases:
                target, attribute = statement.aliases[name]
                if rest and self.is_module(target, attribute):
                    # The name itself stands for no more than the way to what it is asked for.
                    yield from self.named(target, attribute, rest, outside=outside)
                    if len(places) == 1:
                        continue
                if outside:
                    yield from self.named(target, attribute, rest, outside=True)
            yield module, name
        if not places:
            if outside and name in BUILTIN_NAMES:
                yield "builtins", name
            for star in summary.stars:
                yield star, "__all__"
                yield from self.in_module(star, name, rest, outside=outside)

    def is_module(self, module: str, attribute: str | None) -> bool:
        """Whether an imported name is a module: then what is read of it counts, and not all of it."""
        if attribute is None:
            return True
        return self.left_to_modules(module, attribute) and self.sources.summary(f"{module}.{attribute}") is not None

    def left_to_modules(self, package: str, name: str) -> bool:
        """Whether nothing but a module in it can give a package this name: it is not bound, or by its own import."""
        summary, places = self.sources.summary(package), self.bindings(package).get(name, ())
        itself = (f"{package}.{name}", None)
        return all(summary.statements[each].aliases.get(name) == itself for each in places) if summary else True

    def named(
        self, module: str, attribute: str | None, rest: Sequence[str], *, outside: bool = False
    ) -> Iterator[Symbol]:
        """What an imported name means, with the attributes that are read of it; names may lead in circles."""
        asked = (module, attribute, tuple(rest), outside)
        if asked not in self._asked:
            self._asked.add(asked)
            yield from self.meaning(module, attribute, rest, outside=outside)
            self._asked.discard(asked)

    def meaning(self, module: str, attribute: str | None, rest: Sequence[str], *, outside: bool) -> Iterator[Symbol]:
        parts = [*([attribute] if attribute is not None else []), *rest]
        while parts and self.left_to_modules(module, parts[0]) and self.is_submodule(module, parts[0]):
            module = f"{module}.{parts.pop(0)}"
        if self.sources.summary(module) is None:
            if outside:
                yield module, ".".join(parts)
            return
        yield module, IMPORTING
        if not parts:
            yield module, WHOLE
        elif parts[0] in self.bindings(module):
            yield from self.in_module(module, parts[0], parts[1:], outside=outside)
            yield module, parts[0]
        else:
            summary = self.sources.summary(module)
            for star in summary.stars if summary else ():
                yield star, "__all__"
                yield from self.in_module(star, parts[0], parts[1:], outside=outside)
            if "__getattr__" in self.bindings(module):
                yield module, "__getattr__"
            if parts[0].startswith("__"):
                yield module, WHOLE  # such as `__dict__`

    def is_submodule(self, module: str, name: str) -> bool:
        return self.sources.locator.source(f"{module}.{name}") is not None or (
            self.sources.summary(module) is None and self.sources.locator.holds(f"{module}.{name}")
        )

    def following_opaque(self, module: str, statement: Statement) -> Iterator[Symbol]:
        """What counts besides where a statement hides what it reaches."""
        for kind, what, _ in statement.opaque:
            if kind == MODULE:
                yield module, WHOLE
            elif kind == IMPORT:
                yield from self.named(what, None, ())
            elif kind == PACKAGE and not module.startswith(f"{OWN}."):
                # What otrainer looks for at run time are components, each of which counts on its own.
                yield from ((name, WHOLE) for name in self.sources.locator.all_modules(module.partition(".")[0]))


def meant(symbols: Iterable[Symbol]) -> str:
    """What the names of a statement stand for, in words: it counts also where each of these is reached anyhow."""
    return " ".join(":".join(each) for each in symbols if each[1] != IMPORTING and not is_aside(*each))


def seen_closure(graph: Graph, module: str, start: Iterable[Symbol]) -> list[Symbol]:
    """The symbols of one module that others of it reach."""
    seen: dict[Symbol, None] = dict.fromkeys(start)
    waiting = list(seen)
    while waiting:
        symbol = waiting.pop()
        if symbol[1] in (IMPORTING, WHOLE) or symbol[0] != module:
            continue
        for each in graph.node(symbol).uses:
            if each[0] == module and each not in seen:
                seen[each] = None
                waiting.append(each)
    return list(seen)
