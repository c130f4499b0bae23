"""From a symbol to all that it reaches: names are followed through modules, with what these do when imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otrainer.fingerprint.dynamic import BELOW, IMPORT, MODULE, PACKAGE
from otrainer.fingerprint.excluded import is_excluded
from otrainer.fingerprint.known_names import KNOWN_PACKAGES
from otrainer.fingerprint.locate import OWN, is_own, parents
from otrainer.fingerprint.names import ATTEMPT, IMPORTING, WHOLE, Meanings, Symbol
from otrainer.fingerprint.normal_form import digest_of
from otrainer.fingerprint.registrations import REGISTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otrainer.fingerprint.sources import Sources
    from otrainer.fingerprint.summary import Statement, Summary


class Node(NamedTuple):
    """A symbol: digests of its own form, what it uses, and in which ways its reach is hidden.

    `digest` is None for one that only leads on, such as a module whose import does nothing. One of otrainer's own
    has in `meanings` what each name in it stands for, so that its digest need not say where that is.
    """

    digest: str | None
    documented: str
    uses: tuple[Symbol, ...]
    opaque: tuple[tuple[str, str, int], ...] = ()
    meanings: tuple[tuple[str, tuple[Symbol, ...]], ...] = ()


class Graph(Meanings):
    """The symbols of local modules, each made when it is first reached."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self.nodes: dict[Symbol, Node] = {}
        self._acting: dict[str, list[tuple[list[str], int]]] = {}
        self._earlier: dict[str, list[int]] = {}
        self._circles: dict[str, list[int]] = {}
        self._misled: dict[str, bool] = {}
        self._acts: dict[str, bool] = {}

    def node(self, symbol: Symbol) -> Node:
        if symbol not in self.nodes:
            self.nodes[symbol] = self.make(*symbol)
        return self.nodes[symbol]

    def make(self, module: str, name: str) -> Node:
        summary = self.sources.summary(module)
        if summary is None:
            return Node(None, "", ())
        if name.startswith(f"{REGISTER}["):
            return self.registration(module, summary, name[len(REGISTER) + 1 : -1])
        if is_own(module):
            return self.own(module, summary, name)
        if name == IMPORTING:
            return self.importing(module, summary)
        if name == WHOLE:
            return self.whole(module, summary)
        if name == ATTEMPT:
            return self.attempt(module)
        return self.binding(module, summary, name)

    def binding(self, module: str, summary: Summary, name: str) -> Node:
        """Return the node of a name: all statements that bind it, in their order, and the modules that may by `*`."""
        uses: dict[Symbol, None] = {(module, IMPORTING): None}
        digests: list[str] = []
        documented: list[str] = []
        opaque: list[tuple[str, str, int]] = []
        places = self.bindings(module).get(name, ())
        for number in places:
            statement = summary.statements[number]
            uses |= dict.fromkeys(self.following_opaque(module, statement))
            uses |= dict.fromkeys((name, ATTEMPT) for name in statement.tried)
            opaque += statement.opaque
            taken = self.taken(module, number)
            taken += f"between {self.circles_before(module, number)}" if len(places) > 1 else ""
            if name in statement.aliases:
                target = ":".join(part or "" for part in statement.aliases[name]) + taken
                digests.append(target)
                documented.append(target)
                uses |= dict.fromkeys(self.shown(module, statement.aliases[name], ()))
                continue
            digests.append(statement.digest)
            documented.append(statement.digest_with_docs)
            reached = list(self.followed(module, statement, statement.reads))
            digests.append(meant(reached) + self.found_inside(statement) + taken)
            documented.append(digests[-1])
            uses |= dict.fromkeys(reached)
            uses |= dict.fromkeys(
                each for own, alias in statement.inner if own == name for each in self.shown(module, alias, ())
            )
        for number, star in self.stars(module):
            if self.gives(star, name):
                reached = list(self.named(star, name, ()))
                over = sum(place < number for place in self.bindings(module).get(name, ()))
                digests.append(f"{meant(reached)} over {over} after {self.acts_before(module, number)}")
                documented.append(digests[-1])
                uses |= dict.fromkeys([(star, "__all__"), *reached])
        uses.pop((module, name), None)
        return Node(digest_of("\n".join(digests)), digest_of("\n".join(documented)), tuple(uses), tuple(opaque))

    def own(self, module: str, summary: Summary, name: str) -> Node:
        """Return a symbol of otrainer's own, whose digest says nothing of modules: it may move to another one.

        What hides from a reader of our own code what it reaches are components, each of which counts on its own.
        """
        places: Iterable[int] = self.bindings(module).get(name, ())
        uses: dict[Symbol, None] = {(module, IMPORTING): None} if name != IMPORTING else {}
        if name == IMPORTING:
            uses |= dict.fromkeys((each, IMPORTING) for each in (*parents(module), *self.imported(module)))
            places = [number for number, (_, how) in enumerate(self.acting(module)) if how]
        elif name == WHOLE:
            places = range(len(summary.statements))
        entries: list[str] = []
        meanings: list[tuple[str, tuple[Symbol, ...]]] = []
        for number in places:
            statement = summary.statements[number]
            if name in statement.aliases or (name == WHOLE and statement.aliases):
                chains: Iterable[str] = statement.aliases
            else:
                chains = statement.reads
                entries += [statement.digest, *self.bindings_seen(module, number, beginnings(statement.now))]
            for chain in chains:
                found = dict.fromkeys(self.follow(module, statement, chain, outside=True))
                entries += [f"{chain} {':'.join(each)}" for each in found if not is_own(each[0])]
                meanings.append((chain, tuple(each for each in found if self.is_own_definition(*each))))
                uses |= dict.fromkeys((*meanings[-1][1], *(each for each in found if each[1] == IMPORTING)))
            uses |= dict.fromkeys((each, IMPORTING) for each in statement.later)
        uses.pop((module, name), None)
        digest = digest_of("\n".join(entries)) if entries else None
        return Node(digest, digest or "", tuple(uses), meanings=tuple(meanings))

    def counts(self, module: str, name: str) -> bool:
        """Return whether a symbol counts, or leads to one that may."""
        return not is_excluded(module) or self.is_imported(module, name)

    def is_own_definition(self, module: str, name: str) -> bool:
        """Return whether a symbol is one of our own that counts, and is defined in that module, not imported."""
        own = is_own(module) and name != IMPORTING and not is_excluded(module)
        return own and not self.is_imported(module, name)

    def is_imported(self, module: str, name: str) -> bool:
        """Return whether a name of a module is nothing but what an import gives it."""
        statements, places = self.statements(module), self.bindings(module).get(name, ())
        return bool(places) and all(name in statements[number].aliases for number in places)

    def taken(self, module: str, number: int) -> str:
        """Return what came before a statement that takes values: it may have changed them, or bound other ones."""
        statement = self.statements(module)[number]
        if not statement.now and all(attribute is None for _, attribute in self.bound_by_imports(statement)):
            return ""
        names = self.bindings_seen(module, number, beginnings(statement.now))
        return " ".join([f"after {self.acts_before(module, number)}", *names])

    def whole(self, module: str, summary: Summary) -> Node:
        """Return all of a module, for one that is used in ways which names do not show."""
        uses: dict[Symbol, None] = {(module, IMPORTING): None}
        opaque: list[tuple[str, str, int]] = []
        for statement in summary.statements:
            uses |= dict.fromkeys((module, name) for name in statement.binds)
            uses |= dict.fromkeys(self.followed(module, statement, statement.reads))
            uses |= dict.fromkeys(self.following_opaque(module, statement))
            opaque += statement.opaque
        uses |= dict.fromkeys((star, WHOLE) for _, star in self.stars(module))
        uses |= dict.fromkeys((name, WHOLE) for name in self.imports(module) if name.startswith(f"{module}."))
        plain = digest_of("\n".join(statement.digest for statement in summary.statements))
        documented = digest_of("\n".join(statement.digest_with_docs for statement in summary.statements))
        return Node(plain, documented, tuple(uses), tuple(opaque))

    def attempt(self, module: str) -> Node:
        """Return what decides whether a module can be imported, with all that it imports, but for what that calls."""
        statements = self.statements(module)
        every = dict.fromkeys(each for name in self.imported(module) for each in (*parents(name), name))
        found = [name for name in every if name not in parents(module) and self.sources.summary(name) is not None]
        digest = digest_of("\n".join([*(each.head for each in statements), *found]))
        return Node(digest, digest, ((module, IMPORTING), *((name, ATTEMPT) for name in found)))

    def registration(self, module: str, summary: Summary, key: str) -> Node:
        """Return what a straight-line `register` does for `key`; all of it where it is not so simple."""
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
        """Return what importing a module does: its parents, what it imports, and its statements that act."""
        uses: dict[Symbol, None] = {(parent, IMPORTING): None for parent in parents(module)}
        entries: list[str] = []
        opaque: list[tuple[str, str, int]] = []
        for number, statement in enumerate(summary.statements):
            imported, how = self.acting(module)[number]
            entries += [f"import {name}" for name in imported]
            uses |= dict.fromkeys((name, IMPORTING) for name in self.modules_of(statement))
            if how == 0:
                continue
            reads = statement.reads if how == 2 else statement.residue_reads
            reached = list(self.followed(module, statement, reads))
            reached += [
                (alias[0], "__getattr__") for alias in self.bound_by_imports(statement) if self.is_computed(*alias)
            ]
            uses |= dict.fromkeys(reached)
            uses |= dict.fromkeys(self.following_opaque(module, statement))
            uses |= dict.fromkeys((name, ATTEMPT) for name in statement.tried)
            opaque += statement.opaque if how == 2 else ()
            entries += [
                statement.digest if how == 2 else statement.residue,
                meant(reached),
                self.found_inside(statement),
            ]
            entries += self.order(module, number, reached)
        digest = digest_of("\n".join(entries)) if entries else None
        return Node(digest, digest or "", tuple(uses), tuple(opaque))

    def found_inside(self, statement: Statement) -> str:
        """Return which imports inside a statement find something: where one fails, it may do without."""
        if not statement.inner:
            return ""
        modules = [name for name in (*statement.modules, *statement.later) if self.sources.summary(name) is not None]
        return " ".join(modules) + meant(each for _, alias in statement.inner for each in self.named(*alias, ()))

    def acting(self, module: str) -> list[tuple[list[str], int]]:
        """Return for each statement of a module the modules that act when it imports them, and how it acts itself."""
        if module not in self._acting:
            summary = self.sources.summary(module)
            seen = set(parents(module))
            found = self._acting[module] = []
            for statement in summary.statements if summary else ():
                # Importing again does nothing.
                fresh = [name for name in self.modules_of(statement) if name not in seen]
                seen.update(fresh)
                found.append(([name for name in fresh if self.acts(name)], self.how_it_acts(module, statement)))
        return self._acting[module]

    def acts_before(self, module: str, number: int) -> int:
        """Return how many things a module's import does before a statement."""
        if module not in self._earlier:
            done = self._earlier[module] = [0]
            for imported, how in self.acting(module):
                done.append(done[-1] + len(imported) + (how > 0))
        return self._earlier[module][number]

    def circles_before(self, module: str, number: int) -> int:
        """Return how many imports before a statement lead back to the module, and may take an earlier value of it."""
        if module not in self._circles:
            done = self._circles[module] = [0]
            for statement in self.statements(module):
                done.append(done[-1] + any(self.leads_back(module, name) for name in self.modules_of(statement)))
        return self._circles[module][number]

    def leads_back(self, module: str, name: str) -> bool:
        """Return whether importing `name` imports `module`, if that were not being done already."""
        seen, waiting = {name}, [name] if name != module else []
        while waiting:
            for each in self.imported(waiting.pop()):
                if each == module:
                    return True
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return False

    def acts(self, module: str) -> bool:
        """Return whether importing a module, with all that it imports, acts: then the order of imports counts."""
        seen, waiting = {module}, [module]
        while waiting:
            name = waiting.pop()
            if self.sources.summary(name) is None or is_excluded(name):
                continue
            if self.acts_itself(name):
                return True
            fresh = [each for each in (*self.imported(name), *parents(name)) if each not in seen]
            seen.update(fresh)
            waiting += fresh
        return False

    def acts_itself(self, module: str) -> bool:
        if module not in self._acts:
            self._acts[module] = any(self.how_it_acts(module, each) for each in self.statements(module))
        return self._acts[module]

    def how_it_acts(self, module: str, statement: Statement) -> int:
        """Return 2 where all of a statement may act at import, 1 where its residue may, 0 where nothing does."""
        if is_own(module):  # a test holds what ours call where they bind a name
            return 0 if statement.binds else statement.acts
        if statement.acts < 2 and any(self.is_hooked(module, statement, base) for base in statement.bases):
            return 2
        if any(self.is_computed(*alias) for alias in self.bound_by_imports(statement)):
            return 2
        return 2 if self.is_misled(module) else statement.acts

    def is_misled(self, module: str) -> bool:
        """Return whether a module imports one that hides a package known to be harmless: then all of it may act."""
        if module not in self._misled:
            known = {name.partition(".")[0] for name in self.imports(module)} & KNOWN_PACKAGES
            self._misled[module] = any(self.sources.locator.source(name) is not None for name in known)
        return self._misled[module]

    def is_hooked(self, module: str, statement: Statement, base: str) -> bool:
        """Return whether a base or metaclass may run code when a class is made of it, or a value when it is used."""
        if base == "?":
            return True
        seen: set[Symbol] = set()
        waiting = self.candidates(module, statement, base)
        while waiting:
            symbol = waiting.pop()
            if symbol in seen or symbol[1] in (IMPORTING, WHOLE):
                continue
            seen.add(symbol)
            if self.sources.summary(symbol[0]) is None:
                if symbol[0].partition(".")[0] not in KNOWN_PACKAGES:
                    return True
                continue
            for number in self.bindings(symbol[0]).get(symbol[1], ()):
                each = self.statements(symbol[0])[number]
                if symbol[1] == "__getattr__" or each.hooks_subclasses or "?" in each.bases:
                    return True
                aliases = [alias for name, alias in (*each.aliases.items(), *each.inner) if name == symbol[1]]
                if each.acts == 2 and not aliases:
                    return True  # it comes out of a call
                for alias in aliases:
                    waiting += found_or_unknown(self.named(*alias, (), outside=True))
                for above in (*each.bases, *each.stands_for):
                    waiting += self.candidates(symbol[0], each, above)
        return False

    def candidates(self, module: str, statement: Statement, chain: str) -> list[Symbol]:
        return found_or_unknown(self.follow(module, statement, chain, outside=True))

    def order(self, module: str, number: int, reached: Iterable[Symbol]) -> list[str]:
        """Return where names that an acting statement reads are bound after it as well: how many bindings it sees."""
        seen: dict[Symbol, None] = dict.fromkeys(symbol for symbol in reached if symbol[0] == module)
        for symbol in seen_closure(self, module, seen):
            seen[symbol] = None
        return self.bindings_seen(module, number, sorted(name for _, name in seen))

    def bindings_seen(self, module: str, number: int, names: Iterable[str]) -> list[str]:
        """Return for names that are bound after a statement as well as before, or by `*`, how often before."""
        entries = []
        for name in names:
            stars = [place for place, star in self.stars(module) if self.gives(star, name)]
            places = [*self.bindings(module).get(name, ()), *stars]
            before = sum(place < number for place in places)
            if before != len(places) and places != [number]:
                entries.append(f"{name} {before}")
        return entries

    def following_opaque(self, module: str, statement: Statement) -> Iterator[Symbol]:
        """Yield what counts besides where a statement hides what it reaches."""
        for kind, what, _ in statement.opaque:
            if kind == MODULE:
                yield module, WHOLE
            elif kind == IMPORT:
                yield from self.shown(module, (what, None), ())
            elif kind == BELOW:
                yield from ((name, WHOLE) for name in self.sources.locator.all_modules(what))
            elif kind == PACKAGE:
                yield from ((name, WHOLE) for name in self.sources.locator.all_modules(module.partition(".")[0]))


def beginnings(chains: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(chain.partition(".")[0] for chain in chains)


def found_or_unknown(symbols: Iterable[Symbol]) -> list[Symbol]:
    """Return what a name stands for; what nothing binds may be anything."""
    found = list(symbols)
    return found if any(name != IMPORTING for _, name in found) else [("?", "")]


def meant(symbols: Iterable[Symbol]) -> str:
    """Return what the names of a statement stand for: it counts also where all of these are reached anyhow."""
    kept = [each for each in symbols if each[1] != IMPORTING and not is_excluded(each[0])]
    return " ".join(f"{OWN if is_own(module) else module}:{name}" for module, name in kept)


def seen_closure(graph: Graph, module: str, start: Iterable[Symbol]) -> list[Symbol]:
    """Return the symbols of one module that others of it reach."""
    seen: dict[Symbol, None] = dict.fromkeys(start)
    waiting = list(seen)
    while waiting:
        symbol = waiting.pop()
        if symbol[1] in (ATTEMPT, IMPORTING, WHOLE) or symbol[0] != module:
            continue
        for each in graph.node(symbol).uses:
            if each[0] == module and each not in seen:
                seen[each] = None
                waiting.append(each)
    return list(seen)
