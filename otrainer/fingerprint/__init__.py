"""What decides that a component's code changed: everything that it reaches, symbol by symbol, read from the sources.

A fingerprint is a hash over the normalised syntax trees of a class or function, of every name of a local module that
it can reach, and of everything that importing these modules may do. Comments and layout do not count. Installed
packages are not looked into; otrainer's own code is, wherever it lies.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from otrainer.fingerprint.dynamic import BYTES, DOCS, MODULE, PACKAGE
from otrainer.fingerprint.graph import Graph, Node
from otrainer.fingerprint.identity import identities
from otrainer.fingerprint.locate import is_own
from otrainer.fingerprint.names import IMPORTING, WHOLE, Remembered, Symbol
from otrainer.fingerprint.normal_form import digest_of
from otrainer.fingerprint.registrations import REGISTER
from otrainer.fingerprint.sources import Sources
from otrainer.fingerprint.unfollowed import ENVIRONMENT, PROCESS, UNFOLLOWED, VARIABLE
from otrainer.storage.gc_pause import collector_paused
from otrainer.storage.project import PACKAGE_FOLDER, display_path

CONSEQUENCES = {
    MODULE: "all of the module counts",
    PACKAGE: "all modules of the package count",
    BYTES: "sources count as they are written",
    DOCS: "docstrings count",
}


class Unseen(NamedTuple):
    """A place whose reach does not count, and the sentence about it."""

    place: str
    text: str
    kind: str
    what: str

    def counts(self, seen: Collection[str]) -> bool:
        """Return whether it counts all the same, where places or variables were `seen` to be read, run or loaded.

        What another process reads is never seen, nor which variables are asked for by all of the environment.
        """
        by_itself = self.what.startswith(VARIABLE) if self.kind == ENVIRONMENT else self.kind != PROCESS
        return by_itself and (self.place in seen or self.what in seen)

    def line(self) -> tuple[str, int]:
        file, _, line = self.place.rpartition(":")
        return file, int(line)


@dataclass(frozen=True, slots=True)
class Code:
    """Everything that some code reaches: `symbols` ("package.module:NAME") with a digest of each one's own form, and
    which `uses` which. `digest` is one sha256 over the symbols; `notes` say where more had to be taken than is reached,
    and `unfollowed` what is reached that does not count.
    """

    digest: str
    symbols: Mapping[str, str]
    uses: Mapping[str, tuple[str, ...]]
    roots: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unfollowed: tuple[Unseen, ...] = ()


class Counted(NamedTuple):
    """A symbol as it is followed, made once however many reach it: its name, and what it uses that counts."""

    name: str
    node: Node
    uses: frozenset[Symbol]
    shown: tuple[str, ...]
    own: bool


class Fingerprints:
    """One look at the sources: a file is read once, whoever asks, and a reach is followed once."""

    def __init__(self, *, root: Path | None = None, cache: Path | None = None) -> None:
        self.root = root
        self.sources = Sources(cache)
        self.graph = Graph(self.sources)

    def is_current(self) -> bool:
        """Return whether a new look would see the same."""
        return self.sources.is_current()

    def symbol(self, target: str) -> Code:
        """Return the code of "package.module:Qual.name"; of what is not local, only the name counts."""
        return self.registered(None, "", target)

    def imported(self, module: str) -> Code:
        """Return what importing a module does, with all that it imports."""
        return self.reached((module, IMPORTING))

    def registered(self, plugin: str | None, key: str, target: str) -> Code:
        """Return the code of a component: it, how its plugin registers it under `key`, and what both do on import."""
        roots = self.roots_of(target)
        if plugin is not None:
            roots = [*roots, (plugin, f"{REGISTER}[{key}]")]
        return self.reached(*roots) if roots else outside(target)

    def plugin(self, module: str) -> Code:
        """Return what a plugin does whatever keys are used: at import, and in a `register` that is not simple."""
        summary = self.sources.summary(module)
        if summary is None:
            return outside(f"{module}:") if self.graph.acts(module) else self.imported(module)
        roots: list[Symbol] = [(module, IMPORTING)]
        if summary.registration is not None:
            roots += [(name, IMPORTING) for name in summary.registration.modules]
        else:  # a module may compute its register
            roots += [(module, name) for name in (REGISTER, "__getattr__") if self.defines(module, name)]
        return self.reached(*roots)

    def register_of(self, module: str) -> Code:
        """Return how a plugin registers its keys, all of them."""
        return self.reached((module, REGISTER)) if self.sources.summary(module) else outside(f"{module}:{REGISTER}")

    def file_of(self, module: str) -> Path | None:
        """Return the source file of a local module."""
        return self.sources.locator.source(module)

    def modules(self, names: Iterable[str]) -> dict[str, Path]:
        """Return the modules `names` and all local ones that they import, directly or not, with their files."""
        with collector_paused():
            return self.sources.closure(list(names))

    def defines(self, module: str, name: str) -> bool:
        """Return whether a statement of a module binds a name, or may by `*`."""
        return name in self.graph.bindings(module) or any(
            self.graph.gives(star, name) for _, star in self.graph.stars(module)
        )

    def roots_of(self, target: str) -> list[Symbol]:
        """Return the symbols that a target begins with; none where it is not local."""
        module, _, name = target.partition(":")
        while name and "." in module and self.sources.summary(module) is None:
            module, _, last = module.rpartition(".")  # a class, perhaps, of which something is asked
            name = f"{last}.{name}"
        if self.sources.summary(module) is None:
            return []
        if not name:
            return [(module, IMPORTING)]
        top, *rest = name.split(".")
        roots = [(module, top)] if self.defines(module, top) else []
        if self.graph.may_be_module(module, top):
            roots += dict.fromkeys(self.graph.named(f"{module}.{top}", None, rest))
        return roots or [(module, WHOLE)]

    def reached(self, *roots: Symbol) -> Code:
        with collector_paused():
            return self.follow(roots)

    @Remembered
    def follow(self, roots: tuple[Symbol, ...]) -> Code:
        """Return everything that `roots` reach; what does nothing itself is left out, and passed through."""
        seen, waiting = set(roots), list(roots)
        while waiting:
            fresh = self.counted(waiting.pop()).uses - seen
            seen |= fresh
            waiting += fresh
        found = list(map(self.counted, sorted(seen)))
        kinds = {kind for each in found for kind, _, _ in each.node.opaque}
        digests = attrgetter("documented" if DOCS in kinds else "digest")
        symbols = {each.name: digests(each.node) for each in found if each.node.digest is not None}
        if BYTES in kinds:
            symbols |= {f"{module}:<text>": self.text(module) for module, _ in sorted(seen) if not is_own(module)}
        uses = {each.name: each.shown for each in found if each.shown}
        own = {symbol: each.node for symbol, each in zip(sorted(seen), found, strict=True) if each.own}
        digest = digest_over(symbols, found, own, roots)
        notes = tuple(each.text for each in self.notes(found, CONSEQUENCES))
        unfollowed = () if kinds.isdisjoint(UNFOLLOWED) else tuple(self.unfollowed(roots))
        return Code(digest, symbols, uses, tuple(map(shown, roots)), notes, unfollowed)

    @Remembered
    def counted(self, symbol: Symbol) -> Counted:
        """Return what a symbol is to whatever reaches it."""
        node = self.graph.node(symbol)
        uses = frozenset(each for each in node.uses if self.graph.counts(*each))
        return Counted(shown(symbol), node, uses, tuple(sorted(map(shown, uses))), is_own(symbol[0]))

    def text(self, module: str) -> str:
        summary = self.sources.summary(module)
        return summary.digest if summary else ""

    def notes(self, found: Iterable[Counted], consequences: Mapping[str, str]) -> list[Unseen]:
        """Return the places at which code of the user's has one of these consequences, each with its sentence."""
        notes: dict[Unseen, None] = {}
        for each in (each for each in found if each.node.opaque):
            module = each.name.partition(":")[0]
            for kind, what, line in each.node.opaque:
                if kind in consequences and not is_own(module):
                    place = f"{self.shown_file(module)}:{line}"
                    told = f"`{place}` uses {what}: {consequences[kind]}."
                    notes[Unseen(place, told, kind, what)] = None
        return list(notes)

    def unfollowed(self, roots: Iterable[Symbol]) -> list[Unseen]:
        """Return what `roots` reach that does not count, in the order of the lines.

        Modules that are reached only because they lie in a package that some code may import from are left out.
        """
        seen, waiting = set(roots), list(roots)
        while waiting:
            symbol = waiting.pop()
            perhaps = self.graph.perhaps(symbol)
            fresh = {each for each in self.counted(symbol).uses if each not in perhaps} - seen
            seen |= fresh
            waiting += fresh
        found = self.notes(map(self.counted, sorted(seen)), UNFOLLOWED)
        return sorted(found, key=Unseen.line)

    def shown_file(self, module: str) -> str:
        """Return the file of a module as people read it: from the project's root, otrainer's own from its package."""
        path = self.file_of(module)
        if path is None:
            return module
        if is_own(module) and path.is_relative_to(PACKAGE_FOLDER):
            return display_path(path, PACKAGE_FOLDER.parent)
        return display_path(path, self.root) if self.root else path.as_posix()


def shown(symbol: Symbol) -> str:
    return ":".join(symbol)


def digest_of_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def digest_over(
    symbols: Mapping[str, str], found: Iterable[Counted], own: Mapping[Symbol, Node], roots: Iterable[Symbol]
) -> str:
    """Return the digest of a code: the user's symbols by their modules, otrainer's `own` by what they are."""
    known = identities({symbol: node for symbol, node in own.items() if node.digest is not None})
    names = {each.name for each in found if each.own}
    lines = [f"{name} {digest}" for name, digest in symbols.items() if name not in names]
    for each in found if own else ():
        used = [identity_of(symbol, own, known) for symbol in each.node.uses]
        if not each.own and any(used):
            lines.append(f"{each.name} uses {' '.join(used)}")
    lines += sorted(known.values())
    return digest_of_lines([*lines, *(identity_of(root, own, known) for root in roots if root in own)])


def identity_of(symbol: Symbol, own: Mapping[Symbol, Node], found: Mapping[Symbol, str]) -> str:
    """Return what a symbol of otrainer's own is; where it is only imported, what that is."""
    if symbol not in own or symbol in found:
        return found.get(symbol, "")
    return ",".join(found[each] for _, symbols in own[symbol].meanings for each in symbols if each in found)


def outside(target: str) -> Code:
    """Return the code of what is not local: its name."""
    symbols = {target: digest_of(target)}
    return Code(digest_of_lines([f"{target} {symbols[target]}"]), symbols, {}, (target,))


def chain(code: Code, symbol: str) -> list[str]:
    """Return a shortest way of names from a root to `symbol`; itself alone where there is none.

    One through what a module does when imported is taken only where there is no other.
    """
    came: dict[str, str | None] = dict.fromkeys(code.roots)
    waiting, late = deque(code.roots), deque[tuple[str, str]]()
    while waiting or late:
        if waiting:
            name = waiting.popleft()
        else:
            name, by = late.popleft()
            if name in came:
                continue
            came[name] = by
        for each in code.uses.get(name, ()):
            if each.endswith(f":{IMPORTING}"):
                late.append((each, name))
            elif each not in came:
                came[each] = name
                waiting.append(each)
    way = [symbol]
    while (before := came.get(way[-1])) is not None:
        way.append(before)
    return way[::-1]


def named(factory: Callable[..., Any] | str) -> tuple[str, str]:
    """Return the module and the name in it under which a factory is defined."""
    if isinstance(factory, str):
        module, _, name = factory.partition(":")
        return module, name
    defined: Any = factory if hasattr(factory, "__qualname__") else getattr(factory, "func", type(factory))
    return defined.__module__, defined.__qualname__
