"""From a symbol to all that it reaches: names are followed through modules, with what these do when imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from otrainer.fingerprint.dynamic import BELOW, IMPORT, MODULE, PACKAGE
from otrainer.fingerprint.excluded import is_excluded
from otrainer.fingerprint.known_names import KNOWN_PACKAGES
from otrainer.fingerprint.locate import OWN, is_own, parents
from otrainer.fingerprint.names import ATTEMPT, IMPORTING, WHOLE, Meanings, Remembered, Symbol, reachable
from otrainer.fingerprint.normal_form import digest_of
from otrainer.fingerprint.registrations import REGISTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otrainer.fingerprint.sources import Sources
    from otrainer.fingerprint.summary import Alias, Statement, Summary


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


@dataclass
class Draft:
    """A node as it is put together: `plain` is what counts of it, `documented` the same with docstrings."""

    uses: dict[Symbol, None]
    plain: list[str] = field(default_factory=list)
    documented: list[str] = field(default_factory=list)
    opaque: list[tuple[str, str, int]] = field(default_factory=list)

    def use(self, symbols: Iterable[Symbol]) -> None:
        self.uses |= dict.fromkeys(symbols)

    def add(self, *entries: str) -> None:
        self.plain += entries
        self.documented += entries

    def add_form(self, statement: Statement) -> None:
        self.plain.append(statement.digest)
        self.documented.append(statement.digest_with_docs)

    def node(self) -> Node:
        plain, documented = (digest_of("\n".join(entries)) for entries in (self.plain, self.documented))
        return Node(plain, documented, tuple(self.uses), tuple(self.opaque))

    def node_if_any(self) -> Node:
        """Return the node, which has no digest where nothing was added."""
        return self.node() if self.plain else Node(None, "", tuple(self.uses), tuple(self.opaque))


class Graph(Meanings):
    """The symbols of local modules, each made when it is first reached."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(sources)
        self.inert: set[str] = set()  # modules of which it is known that importing them does not act

    @Remembered
    def node(self, symbol: Symbol) -> Node:
        module, name = symbol
        summary = self.sources.summary(module)
        if summary is None:
            return Node(None, "", ())
        if name.startswith(f"{REGISTER}["):
            return self.registration(module, summary, name[len(REGISTER) + 1 : -1])
        if is_own(module):
            return self.own(module, name)
        special = {IMPORTING: self.importing, WHOLE: self.whole, ATTEMPT: self.attempt}.get(name)
        return special(module) if special else self.binding(module, name)

    def binding(self, module: str, name: str) -> Node:
        """Return the node of a name: all statements that bind it, in their order, and the modules that may by `*`."""
        draft = Draft({(module, IMPORTING): None})
        places = self.bindings(module).get(name, ())
        for number in places:
            statement = self.statements(module)[number]
            draft.use(self.following_opaque(module, statement))
            draft.use((tried, ATTEMPT) for tried in statement.tried)
            draft.opaque += statement.opaque
            taken = self.taken(module, number)
            taken += f"between {self.circles_before(module)[number]}" if len(places) > 1 else ""
            if name in statement.aliases:
                draft.add(":".join(part or "" for part in statement.aliases[name]) + taken)
                draft.use(self.shown(module, statement.aliases[name], ()))
                continue
            reached = list(self.followed(module, statement, statement.reads))
            draft.add_form(statement)
            draft.add(meant(reached) + self.found_inside(statement) + taken)
            draft.use(reached)
            draft.use(each for own, alias in statement.inner if own == name for each in self.shown(module, alias, ()))
        for number, star in self.stars(module):
            if self.gives(star, name):
                reached = list(self.named(star, name, ()))
                over = sum(place < number for place in places)
                draft.add(f"{meant(reached)} over {over} after {self.acts_before(module)[number]}")
                draft.use([(star, "__all__"), *reached])
        draft.uses.pop((module, name), None)
        return draft.node()

    def own(self, module: str, name: str) -> Node:
        """Return a symbol of otrainer's own, whose digest says nothing of modules: it may move to another one.

        What hides from a reader of our own code what it reaches are components, each of which counts on its own.
        """
        draft = Draft({(module, IMPORTING): None} if name != IMPORTING else {})
        places: Iterable[int] = self.bindings(module).get(name, ())
        if name == IMPORTING:
            draft.use((each, IMPORTING) for each in (*parents(module), *self.imported(module)))
            places = [number for number, (_, how) in enumerate(self.acting(module)) if how]
        elif name == WHOLE:
            places = range(len(self.statements(module)))
        meanings: list[tuple[str, tuple[Symbol, ...]]] = []
        for number in places:
            statement = self.statements(module)[number]
            if name in statement.aliases or (name == WHOLE and statement.aliases):
                chains: Iterable[str] = statement.aliases
            else:
                chains = statement.reads
                draft.add(statement.digest, *self.bindings_seen(module, number, beginnings(statement.now)))
            for chain in chains:
                found = dict.fromkeys(self.follow(module, statement, chain, outside=True))
                draft.add(*(f"{chain} {':'.join(each)}" for each in found if not is_own(each[0])))
                meanings.append((chain, tuple(each for each in found if self.is_own_definition(*each))))
                draft.use((*meanings[-1][1], *(each for each in found if each[1] == IMPORTING)))
            draft.use((each, IMPORTING) for each in statement.later)
        draft.uses.pop((module, name), None)
        return draft.node_if_any()._replace(meanings=tuple(meanings))

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
        return " ".join([f"after {self.acts_before(module)[number]}", *names])

    def whole(self, module: str) -> Node:
        """Return all of a module, for one that is used in ways which names do not show."""
        draft = Draft({(module, IMPORTING): None})
        for statement in self.statements(module):
            draft.use((module, name) for name in statement.binds)
            draft.use(self.followed(module, statement, statement.reads))
            draft.use(self.following_opaque(module, statement))
            draft.opaque += statement.opaque
            draft.add_form(statement)
            draft.add(*self.folders_found(statement))
        draft.use((star, WHOLE) for _, star in self.stars(module))
        draft.use((name, WHOLE) for name in self.imports(module) if name.startswith(f"{module}."))
        return draft.node()

    def attempt(self, module: str) -> Node:
        """Return what decides whether a module can be imported, with all that it imports, but for what that calls."""
        every = dict.fromkeys(each for name in self.imported(module) for each in (*parents(name), name))
        found = [name for name in every if name not in parents(module) and self.sources.summary(name) is not None]
        draft = Draft({(module, IMPORTING): None})
        draft.add(*(each.head for each in self.statements(module)), *found)
        draft.use((name, ATTEMPT) for name in found)
        return draft.node()

    def registration(self, module: str, summary: Summary, key: str) -> Node:
        """Return what a straight-line `register` does for `key`; all of it where it is not so simple."""
        found = summary.registration
        if found is None or key not in found.rows:
            return Node(None, "", ((module, REGISTER),))
        row = found.rows[key]
        draft = Draft({(module, IMPORTING): None})
        for number in self.bindings(module)[REGISTER]:
            draft.use(self.followed(module, summary.statements[number], row.reads))
        draft.add(row.digest, meant(draft.uses))
        draft.use((name, IMPORTING) for name in found.modules)
        return draft.node()

    def importing(self, module: str) -> Node:
        """Return what importing a module does: its parents, what it imports, and its statements that act."""
        draft = Draft({(parent, IMPORTING): None for parent in parents(module)})
        for number, statement in enumerate(self.statements(module)):
            imported, how = self.acting(module)[number]
            draft.add(*(f"import {name}" for name in imported))
            draft.use((name, IMPORTING) for name in self.modules_of(statement))
            if how == 0:
                continue
            form, reads = statement.digest, statement.reads
            if how == 1:
                form, reads = statement.residue, statement.residue_reads
            else:
                draft.opaque += statement.opaque
            reached = list(self.followed(module, statement, reads))
            computed = filter(self.is_computed, self.bound_by_imports(statement))
            reached += [(source, "__getattr__") for source, _ in computed]
            draft.use(reached)
            draft.use(self.following_opaque(module, statement))
            draft.use((name, ATTEMPT) for name in statement.tried)
            draft.add(form, meant(reached), self.found_inside(statement), *self.order(module, number, reached))
        return draft.node_if_any()

    def found_inside(self, statement: Statement) -> str:
        """Return which imports inside a statement find something: where one fails, it may do without."""
        found = self.folders_found(statement)
        if not statement.inner:
            return " ".join(found)
        modules = [name for name in (*statement.modules, *statement.later) if self.sources.summary(name) is not None]
        reached = meant(each for _, alias in statement.inner for each in self.named(*alias, ()))
        return " ".join([*modules, *found]) + reached

    def folders_found(self, statement: Statement) -> list[str]:
        """Return what a statement looks for by name, or tries to import, that is a folder with nothing to follow."""
        names = [what for kind, what, _ in statement.opaque if kind == IMPORT]
        names += [*statement.modules, *statement.later] if statement.inner else []
        return [name for name in names if self.sources.locator.is_bare(name)]

    @Remembered
    def acting(self, module: str) -> list[tuple[list[str], int]]:
        """Return for each statement of a module the modules that act when it imports them, and how it acts itself."""
        seen, found = set(parents(module)), []
        for statement in self.statements(module):
            # Importing again does nothing.
            fresh = [name for name in self.modules_of(statement) if name not in seen]
            seen.update(fresh)
            found.append(([name for name in fresh if self.acts(name)], self.how_it_acts(module, statement)))
        return found

    @Remembered
    def acts_before(self, module: str) -> list[int]:
        """Return for each statement how many things its module's import does before it."""
        return list(accumulate((len(imported) + (how > 0) for imported, how in self.acting(module)), initial=0))

    @Remembered
    def circles_before(self, module: str) -> list[int]:
        """Return for each statement how many imports before it lead back to its module, and may take earlier values."""
        every = map(self.modules_of, self.statements(module))
        return list(accumulate((any(self.leads_back(module, name) for name in names) for names in every), initial=0))

    def leads_back(self, module: str, name: str) -> bool:
        """Return whether importing `name` imports `module`, if that were not being done already."""
        return name != module and any(module in self.imported(each) for each in reachable([name], self.imported))

    @Remembered
    def acts(self, module: str) -> bool:
        """Return whether importing a module, with all that it imports, acts: then the order of imports counts."""
        seen = []
        for name in reachable([module], self.may_act):
            if self.acts_itself(name):
                return True
            seen.append(name)
        self.inert.update(seen)  # since nothing that these lead to acts
        return False

    def may_act(self, module: str) -> list[str]:
        return [name for name in self.imported_with(module) if name not in self.inert]

    def imported_with(self, module: str) -> list[str]:
        """Return the modules that the import of a module runs beside it, if any of them may act."""
        inert = self.sources.summary(module) is None or is_excluded(module)
        return [] if inert else [*self.imported(module), *parents(module)]

    @Remembered
    def acts_itself(self, module: str) -> bool:
        return not is_excluded(module) and any(self.how_it_acts(module, each) for each in self.statements(module))

    def how_it_acts(self, module: str, statement: Statement) -> int:
        """Return 2 where all of a statement may act at import, 1 where its residue may, 0 where nothing does."""
        if is_own(module):  # a test holds what ours call where they bind a name
            return 0 if statement.binds else statement.acts
        if statement.acts < 2 and any(self.is_hooked(module, statement, base) for base in statement.bases):
            return 2
        if any(map(self.is_computed, self.bound_by_imports(statement))):
            return 2
        return 2 if self.is_misled(module) else statement.acts

    @Remembered
    def is_misled(self, module: str) -> bool:
        """Return whether a module imports one that hides a package known to be harmless: then all of it may act."""
        known = {name.partition(".")[0] for name in self.imports(module)} & KNOWN_PACKAGES
        return any(self.sources.locator.source(name) is not None for name in known)

    def is_hooked(self, module: str, statement: Statement, base: str) -> bool:
        """Return whether a base or metaclass may run code when a class is made of it, or a value when it is used."""
        start = self.candidates(module, statement, base)
        return base == "?" or any(map(self.may_hook, reachable(start, self.behind)))

    def may_hook(self, symbol: Symbol) -> bool:
        """Return whether what a symbol stands for may run code by itself, such as what a call returned."""
        module, name = symbol
        if name in (IMPORTING, WHOLE):
            return False
        if self.sources.summary(module) is None:
            return module.partition(".")[0] not in KNOWN_PACKAGES
        return any(
            name == "__getattr__"
            or each.hooks_subclasses
            or "?" in each.bases
            or (each.acts == 2 and not aliases_in(each, name))
            for each in self.statements_of(symbol)
        )

    def behind(self, symbol: Symbol) -> Iterator[Symbol]:
        """Yield what a symbol is made of: what imports give it, bases, and names whose values it may have."""
        for each in self.statements_of(symbol):
            for alias in aliases_in(each, symbol[1]):
                yield from found_or_unknown(self.named(*alias, (), outside=True))
            for above in (*each.bases, *each.stands_for):
                yield from self.candidates(symbol[0], each, above)

    def statements_of(self, symbol: Symbol) -> Iterator[Statement]:
        """Yield the statements that bind a name in its module."""
        statements = self.statements(symbol[0])
        yield from (statements[number] for number in self.bindings(symbol[0]).get(symbol[1], ()))

    def candidates(self, module: str, statement: Statement, chain: str) -> list[Symbol]:
        return found_or_unknown(self.follow(module, statement, chain, outside=True))

    def order(self, module: str, number: int, reached: Iterable[Symbol]) -> list[str]:
        """Return where names that an acting statement reads are bound after it as well: how many bindings it sees."""

        def used_here(symbol: Symbol) -> Iterator[Symbol]:
            uses = self.node(symbol).uses if symbol[1] not in (ATTEMPT, IMPORTING, WHOLE) else ()
            yield from (each for each in uses if each[0] == module)

        here = reachable((symbol for symbol in reached if symbol[0] == module), used_here)
        return self.bindings_seen(module, number, sorted(name for _, name in here))

    def bindings_seen(self, module: str, number: int, names: Iterable[str]) -> list[str]:
        """Return for names that are bound after a statement as well as before, or by `*`, how often before."""
        entries = []
        for name in names:
            places = [*self.bindings(module).get(name, ())]
            places += (place for place, star in self.stars(module) if self.gives(star, name))
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
            elif kind in (BELOW, PACKAGE):
                package = what if kind == BELOW else module.partition(".")[0]
                yield from ((name, WHOLE) for name in self.sources.locator.all_modules(package))

    def perhaps(self, symbol: Symbol) -> set[Symbol]:
        """Return what counts besides because some code in a symbol may import any module of its package."""
        module = symbol[0]
        if not any(kind == PACKAGE for kind, _, _ in self.node(symbol).opaque):
            return set()
        package = module.partition(".")[0]
        return {(name, WHOLE) for name in self.sources.locator.all_modules(package) if name != module}


def aliases_in(statement: Statement, name: str) -> list[Alias]:
    """Return what imports of a statement, or inside it, give a name."""
    return [alias for bound, alias in (*statement.aliases.items(), *statement.inner) if bound == name]


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
