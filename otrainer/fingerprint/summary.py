"""All that counts of one module, statement by statement, as plain data that is remembered as long as its text is."""

from __future__ import annotations

import ast
import itertools
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

from otrainer.fingerprint.dynamic import IMPORTING_TEXT, may_hide, opaque_calls, texts_in
from otrainer.fingerprint.excluded import is_excluded
from otrainer.fingerprint.known_names import KNOWN_PACKAGES
from otrainer.fingerprint.locate import absolute, is_own, parents
from otrainer.fingerprint.messages import without_messages
from otrainer.fingerprint.normal_form import TooDeepError, digest_of, digests, is_docstring, normal_form
from otrainer.fingerprint.registrations import Registration, Row, registration_of
from otrainer.fingerprint.scopes import Names, bound_in, imported_names, names_in
from otrainer.fingerprint.side_effects import ACTING_ENUM_METHODS, Effects, builtin_name, chain_of
from otrainer.fingerprint.unfollowed import Unfollowed, may_lead_out

# An imported name: the module, and the name in it; None for the module itself.
Alias = tuple[str, str | None]
# The condition under which a module runs as a script.
IS_MAIN = normal_form(ast.Compare(ast.Name("__name__"), [ast.Eq()], [ast.Constant("__main__")]))
# Conditions that hold for type checkers, and never in a run.
TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
# How the form of a tree says that it has annotations.
ANNOTATIONS = frozenset((",annotation=", ",returns="))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")
# Twice what the deepest tree takes, beside its callers.
RECURSION = 10_000
NO_ALIASES: dict[str, Alias] = {}


class Statement(NamedTuple):
    """A top-level statement.

    `reads` are dotted chains of names; `aliases` are what an import binds, `inner` what imports inside it do.
    `modules` are imported when it runs, `later` when a function in it does. `acts` is 2 where all of it may act at
    import, 1 where only `residue` may (what runs at import, with `residue_reads`), 0 where nothing does. It acts as a
    whole if one of `bases` does something when it is used: those of classes, and values that are held or combined.
    `stands_for` are names whose values those that it binds may have. `opaque` says what hides what is reached, or
    leads out of it, by kind.
    `now` are the reads that happen when it runs, so that what ran before it counts. `stars` are modules whose names it
    takes by `*`, and `shows` the texts in it where it binds `__all__`. `head` is its digest without what runs only when
    it is called, and `tried` are modules whose import may fail without an end to it.
    """

    line: int
    binds: tuple[str, ...] = ()
    digest: str = ""
    digest_with_docs: str = ""
    reads: tuple[str, ...] = ()
    aliases: dict[str, Alias] = NO_ALIASES
    inner: tuple[tuple[str, Alias], ...] = ()
    modules: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    acts: int = 0
    residue: str = ""
    residue_reads: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    opaque: tuple[tuple[str, str, int], ...] = ()
    hooks_subclasses: bool = False
    now: tuple[str, ...] = ()
    stars: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    stands_for: tuple[str, ...] = ()
    head: str = ""
    tried: tuple[str, ...] = ()


class Summary(NamedTuple):
    """A module: its statements in order, and what its `register` does.

    `is_read` is false for one whose bytes count, since this Python cannot parse it.
    """

    digest: str
    statements: tuple[Statement, ...] = ()
    registration: Registration | None = None
    is_read: bool = True


def summary_of(content: bytes, module: str, *, is_package: bool) -> Summary:
    """Return the summary of a source; one that cannot be parsed, or is nested too deep, counts by its bytes."""
    whole = digest_of(content.decode("latin-1"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which some Pythons are told to raise
            tree = ast.parse(content)
            with deep_recursion():
                if is_own(module) and not is_excluded(module):
                    without_messages(tree)
                return Summarizer(tree, module, is_package=is_package).summary(whole)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        counted = Statement(1, acts=2, digest=whole, digest_with_docs=whole)
        return Summary(whole, (counted,), is_read=isinstance(error, TooDeepError))


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Give room to all nesting that is looked into, however deep the caller is: then only the source decides."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Summarizer:
    """Goes through the statements of a module in order."""

    def __init__(self, tree: ast.Module, module: str, *, is_package: bool) -> None:
        self.module = module
        self.own_code = is_own(module)
        self.counts = not is_excluded(module)  # else only the ways that lead through it are asked for
        self.package = module if is_package else module.rpartition(".")[0]
        checked = [] if decides_checking(tree.body) else TYPE_CHECKING
        self.body = [kept for node in tree.body for kept in without_dead(node, checked)]
        # Nothing of ours evaluates an annotation of ours.
        self.names = [names_in(node, annotations=not self.own_code) for node in self.body]
        self.aliases: dict[str, Alias] = {}
        declared = {name for names in self.names for name in names.declared}
        self.own = declared | {name for names in self.names for name in names.binds}
        imports = [each for statement in self.body for each in imports_at_import(statement)]
        modules = frozenset(name for each in imports if isinstance(each, ast.Import) for name in imported_names(each))
        for node in imports:
            for name, alias in self.aliases_of(node).items():
                if self.aliases.setdefault(name, alias) != alias:
                    self.own.add(name)  # it stands for one thing or another
        self.takes_all = any(self.star_modules(statement) for statement in self.body)
        self.annotated = not postpones_annotations(self.body)
        self.effects = Effects(self.external, modules - self.own, annotated=self.annotated, spoiled=declared)

    def summary(self, whole: str) -> Summary:
        statements = tuple(map(self.statement, self.body, self.names))
        return Summary(whole, statements, registration_of(self.body, self.effects, self.inner_imports))

    def star_modules(self, statement: ast.stmt) -> tuple[str, ...]:
        found = (each for each in imports_at_import(statement) if isinstance(each, ast.ImportFrom))
        return tuple(absolute(each.level, each.module, self.package) for each in found if each.names[0].name == "*")

    def external(self, chain: str) -> str | None:
        """Return the full name of what `chain` stands for in a package known to be harmless; None for anything else."""
        name, _, rest = chain.partition(".")
        if name in self.own:
            return None
        if name in self.aliases:
            module, attribute = self.aliases[name]
            full = ".".join(filter(None, (module, attribute, rest)))
            return full if full.partition(".")[0] in KNOWN_PACKAGES else None
        # A `*` may bring a name of its own for what is built in.
        return builtin_name(chain) if not rest and not self.takes_all else None

    def statement(self, node: ast.stmt, names: Names) -> Statement:
        direct, running = list(imports_at_import(node)), list(imports_at_import(node, classes=True))
        lazy = [each for each in names.imports if each not in direct]
        aliases = self.aliases_of(node) if isinstance(node, ast.Import | ast.ImportFrom) else {}
        imported = isinstance(node, ast.Import | ast.ImportFrom)
        # Under a condition a name may stand for several things.
        inner = [*direct, *lazy] if not imported else []
        plain, documented, parts = digests(node, own=self.own_code) if self.counts else ("", "", [])
        if not self.annotated and not ANNOTATIONS.isdisjoint(parts):  # which are texts then
            plain, documented = digest_of(f"texts {plain}"), digest_of(f"texts {documented}")
        docstring = ("__doc__",) if node is self.body[0] and is_docstring(node) else ()
        bound = (name for each in direct for name in imported_names(each) if name != "*")
        classes = list(classes_in(node))
        acts, residue, residue_reads = self.residue(node)
        return Statement(
            line=node.lineno,
            binds=tuple(dict.fromkeys((*docstring, *bound, *names.binds))),
            digest=plain,
            digest_with_docs=documented,
            reads=names.reads,
            aliases=aliases,
            inner=tuple(pair for each in inner for pair in self.aliases_of(each).items()),
            modules=tuple(dict.fromkeys(name for each in running for name in self.modules_of(each))),
            later=tuple(dict.fromkeys(name for each in lazy for name in self.modules_of(each))),
            acts=acts,
            residue=residue,
            residue_reads=residue_reads,
            bases=(*(base for each in classes for base in self.bases_of(*each)), *self.effects.suspects),
            opaque=tuple(self.opaque(node, names, parts)),
            hooks_subclasses=any(hooks_subclasses(each) for each, _ in classes),
            now=names.now,
            stars=self.star_modules(node),
            shows=tuple(texts_in(node)) if "__all__" in names.binds else (),
            head=digest_of(normal_form(node, bodies=False)) if isinstance(node, DEFINITIONS) and self.counts else plain,
            tried=tuple(self.tried(inner)) if inner and handles(node) else (),
            stands_for=() if imported or isinstance(node, DEFINITIONS) else names.now,
        )

    def opaque(self, node: ast.stmt, names: Names, parts: Collection[str]) -> Iterator[tuple[str, str, int]]:
        """Yield what hides in a statement or leads out of it, whatever name it has there."""
        hides, leads_out = may_hide(parts, self.aliases), not self.own_code and may_lead_out(parts, self.aliases)
        if not hides and not leads_out:
            return
        aliases = dict(self.aliases)
        for each in names.imports:
            aliases |= self.aliases_of(each)

        def full(chain: str) -> str:
            name, _, rest = chain.partition(".")
            return ".".join(filter(None, (*aliases.get(name, (name,)), rest)))

        if hides:
            yield from opaque_calls(node, full, imports_in_texts=self.imports_in_texts)
        if leads_out:
            yield from Unfollowed(node, full).found

    @cached_property
    def imports_in_texts(self) -> bool:
        return any(map(IMPORTING_TEXT.search, texts_in(*self.body)))

    def residue(self, node: ast.stmt) -> tuple[int, str, tuple[str, ...]]:
        """Return whether a statement acts at import, and the part of it that does."""
        self.effects.suspects.clear()
        if not self.effects.acts(node):
            return 0, "", ()
        if isinstance(node, DEFINITIONS) and not self.may_be_called(node):
            return 1, digest_of(normal_form(node, bodies=False)), names_in(node, bodies=False).reads
        return 2, "", ()

    def may_be_called(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        """Return whether what acts may call the bodies in it as well."""
        return self.effects.is_decorated(node) or (
            isinstance(node, ast.ClassDef)
            and any(
                not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) or self.effects.is_decorated(each)
                for each in node.body
                if self.effects.within(bound_in(node.body)).acts(each)
            )
        )

    def bases_of(self, node: ast.ClassDef, hidden: AbstractSet[str]) -> Iterator[str]:
        """Yield the bases of a class, as chains; `?` where one is computed, or the user's code makes it or its items.

        `hidden` are names that stand for attributes of a class around it.
        """
        bases = [each.value if isinstance(each, ast.Subscript) else each for each in node.bases]  # Generic[T]
        chains = [visible_chain(each, hidden) for each in bases]
        known = [self.external(chain) for chain in chains]
        yield from (chain for chain, name in zip(chains, known, strict=True) if name is None)
        is_enum = any(name is not None and name.startswith("enum.") for name in known)
        if is_enum and (None in known or not ACTING_ENUM_METHODS.isdisjoint(bound_in(node.body))):
            yield "?"
        if not all(self.external(visible_chain(keyword.value, hidden)) for keyword in node.keywords):
            yield "?"

    def aliases_of(self, node: ast.Import | ast.ImportFrom) -> dict[str, Alias]:
        if isinstance(node, ast.ImportFrom):
            base = absolute(node.level, node.module, self.package)
            return {each.asname or each.name: self.member(base, each.name) for each in node.names if each.name != "*"}
        return {each.asname or each.name.partition(".")[0]: module_alias(each) for each in node.names}

    def member(self, base: str, name: str) -> Alias:
        # What a package imports from itself is a module in it: else it would have the name already.
        return (f"{base}.{name}", None) if base == self.module else (base, name)

    def modules_of(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """Yield every module that an import may run."""
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
            return
        base = absolute(node.level, node.module, self.package)
        yield base
        yield from (f"{base}.{each.name}" for each in node.names if each.name != "*")

    def tried(self, imports: Iterable[ast.Import | ast.ImportFrom]) -> list[str]:
        """Return what imports run, without the packages around the module: these are there."""
        names = [name for each in imports for name in self.modules_of(each)]
        every = dict.fromkeys(each for name in names for each in (*parents(name), name))
        return [name for name in every if name not in (*parents(self.module), self.module)]

    def inner_imports(self, node: ast.AST) -> tuple[str, ...]:
        """Return the modules that functions in `node` import."""
        found = (each for each in ast.walk(node) if isinstance(each, ast.Import | ast.ImportFrom))
        return tuple(dict.fromkeys(name for each in found for name in self.modules_of(each)))


def visible_chain(node: ast.expr, hidden: AbstractSet[str]) -> str:
    """Return a chain that begins with a name of the module; `?` for all else."""
    chain = chain_of(node) or "?"
    return "?" if chain.partition(".")[0] in hidden else chain


def handles(node: ast.stmt) -> bool:
    """Return whether a statement may go on after something in it failed."""
    return any(isinstance(each, ast.Try | ast.TryStar | ast.With | ast.AsyncWith) for each in ast.walk(node))


def module_alias(node: ast.alias) -> Alias:
    """Return what `import a.b` binds: the outermost package, or with `as` the attribute `b` of `a`."""
    package, _, last = node.name.rpartition(".")
    if not node.asname:
        return node.name.partition(".")[0], None
    return (package, last) if package else (last, None)


def without_dead(node: ast.stmt, checked: Collection[str]) -> list[ast.stmt]:
    """Return `node`, or what runs of it where a condition is false in every run: one of `checked`, or for scripts."""
    if isinstance(node, ast.If) and (normal_form(node.test) == IS_MAIN or chain_of(node.test) in checked):
        return [kept for inner in node.orelse for kept in without_dead(inner, checked)]
    return [node]


def decides_checking(body: Iterable[ast.stmt]) -> bool:
    """Return whether a module gives `TYPE_CHECKING` a value of its own, other than that which it has in every run."""
    return any(
        "TYPE_CHECKING" in bound_in([node]) and not (isinstance(node.value, ast.Constant) and node.value.value is False)
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
    )


def imports_at_import(node: ast.stmt, *, classes: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run, or may, when their module is imported, in order; those in classes if asked."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    for child in running_in(node):
        if classes or not isinstance(child, ast.ClassDef):
            yield from imports_at_import(child, classes=classes)


def classes_in(
    node: ast.stmt, hidden: AbstractSet[str] = frozenset()
) -> Iterator[tuple[ast.ClassDef, AbstractSet[str]]]:
    """Yield the classes that a statement defines when it runs, each with the names that classes around it hide."""
    if isinstance(node, ast.ClassDef):
        yield node, hidden
        hidden = hidden | bound_in(node.body)
    for child in running_in(node):
        yield from classes_in(child, hidden)


def running_in(node: ast.stmt) -> Iterator[ast.stmt]:
    """Yield the statements right inside a compound one that run with it, or may, in order."""
    blocks = [getattr(node, name, ()) for name in BLOCKS] if not isinstance(node, FUNCTIONS) else []
    for child in itertools.chain.from_iterable(blocks):
        yield from (child,) if isinstance(child, ast.stmt) else child.body  # of a handler or a case


def hooks_subclasses(node: ast.ClassDef) -> bool:
    """Return whether a class has a say in how its subclasses are made; its metaclass is one of its bases."""
    return not bound_in(node.body).isdisjoint(("__init_subclass__", "__prepare__", "mro"))


def postpones_annotations(body: Iterable[ast.stmt]) -> bool:
    """Return whether annotations stay text: then evaluating them does nothing."""
    future = (node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__")
    return any(each.name == "annotations" for node in future for each in node.names)


def summary_of_json(data: Any) -> Summary:
    """Return the summary that `json` wrote as lists. Raises TypeError or ValueError for anything else."""
    digest, statements, registration, is_read = data
    read = None
    if registration is not None:
        rows, modules = registration
        read = Registration({str(key): Row(*row) for key, row in rows.items()}, tuple(modules))
    return Summary(digest, tuple(map(statement_of, statements)), read, is_read)


def statement_of(row: list[Any]) -> Statement:
    """Return a statement whose imports are tuples again, since what they bind is compared."""
    statement = Statement(*row)
    aliases = {name: (module, attribute) for name, (module, attribute) in statement.aliases.items()}
    inner = tuple((name, (module, attribute)) for name, (module, attribute) in statement.inner)
    return statement._replace(aliases=aliases, inner=inner)
