"""Which names of its module a statement reads, what it binds there, and what functions inside it import."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from otrainer.fingerprint.normal_form import getter

NOTHING: frozenset[str] = frozenset()
# Fields that never hold what could read, bind or import.
EMPTY_FIELDS = frozenset(
    ("ctx", "type_comment", "kind", "type_ignores", "id", "attr", "arg", "op", "ops", "level", "module", "conversion")
)


@dataclass
class Scope:
    """What one scope reads when it runs, and in functions `later`: each chain with the name that it begins with.

    `binds` are its own names, in order, and `declared` those that are `global` there. What a class binds is an
    attribute of it.
    """

    reads: dict[str, str] = field(default_factory=dict)
    later: dict[str, str] = field(default_factory=dict)
    binds: dict[str, None] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    is_class: bool = False


class Names(NamedTuple):
    """`reads` are dotted chains that begin with a name of the module, `now` those of them that are read at once.

    `binds` are names that are bound in the module, by imports aside; `imports` stand inside functions or classes, and
    `declared` are names that any of these declare as `global`.
    """

    reads: tuple[str, ...]
    now: tuple[str, ...]
    binds: tuple[str, ...]
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    declared: frozenset[str]


class Reader:
    """Collects the names that are free in what it visits, bodies of functions and annotations only where asked to."""

    def __init__(self, *, bodies: bool = True, annotations: bool = True) -> None:
        self.bodies = bodies
        self.annotations = annotations
        self.declared: set[str] = set()
        self.outermost = self.scope = Scope()
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.private = ""  # what Python puts before `__name` in a class

    def visit(self, node: Any) -> None:
        handler = HANDLERS.get(node.__class__)
        if handler is not None:
            handler(self, node)
        else:
            self.visit_children(node)

    def visit_children(self, node: Any) -> None:
        for value in children_of(node.__class__)(node):
            if value.__class__ is list:
                for each in value:
                    if isinstance(each, ast.AST):
                        self.visit(each)
            elif isinstance(value, ast.AST):
                self.visit(value)

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def visit_Constant(self, node: ast.AST) -> None:
        pass

    def visit_Name(self, node: ast.Name) -> None:
        self.read(node.id)
        if node.ctx.__class__ is not ast.Load:
            self.scope.binds[node.id] = None

    def read(self, name: str, rest: str = "") -> None:
        self.scope.reads[name + rest] = name
        if self.private and name.startswith("__") and not name.endswith("__"):
            self.scope.reads[f"{self.private}{name}{rest}"] = f"{self.private}{name}"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = node.attr
        inner: Any = node.value
        while inner.__class__ is ast.Attribute:
            chain = f"{inner.attr}.{chain}"
            inner = inner.value
        if isinstance(inner, ast.Name):
            self.read(inner.id, f".{chain}")
        else:
            self.visit(inner)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        # Followed by its name, as one of the module is: so it hides nothing.
        self.imports.append(node)
        if self.scope.is_class:  # whoever asks the class for it does not name it
            for name in imported_names(node):
                self.read(name)

    visit_ImportFrom = visit_Import

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.declared.update(node.names)
        self.declared.update(node.names)
        self.outermost.later.update(zip(node.names, node.names, strict=True))

    def visit_ExceptHandler(self, node: Any) -> None:
        """Visit a handler or a pattern that gives what it catches a name."""
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name is not None:
            self.scope.binds[name] = None
        self.visit_children(node)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = visit_ExceptHandler

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.scope.binds[node.name] = None
        self.visit_all(node.decorator_list)
        self.visit_arguments_outside(node.args)
        self.visit_all(getattr(node, "type_params", ()))
        self.visit_annotation(node.returns)
        if self.bodies:
            self.inside(node.body, node.args)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_arguments_outside(node.args)
        self.inside([node.body], node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.binds[node.name] = None
        self.visit_all([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)])
        self.visit_all(getattr(node, "type_params", ()))
        # What a class binds is not seen from its methods, so it hides nothing there; at worst a name counts too many.
        around, private = self.scope, self.private
        self.scope, self.private = Scope(around.reads, around.later, is_class=True), f"_{node.name.lstrip('_')}"
        self.visit_all(node.body)
        inner, self.scope, self.private = self.scope, around, private
        if around.reads is self.outermost.reads:  # it is made at import
            self.outermost.binds.update((name, None) for name in inner.binds if name in inner.declared)

    def visit_arguments_outside(self, args: ast.arguments) -> None:
        self.visit_all(defaults(args))
        for one in arguments(args):
            self.visit_annotation(one.annotation)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit_all([node.target, *([node.value] if node.value is not None else [])])
        self.visit_annotation(node.annotation)

    def visit_annotation(self, node: ast.expr | None) -> None:
        """Visit an annotation, and what the texts in it mean to whoever evaluates them."""
        if node is None or not self.annotations:
            return
        self.visit(node)
        for each in ast.walk(node) if node.__class__ is not ast.Name else ():
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                    names = names_in(ast.parse(each.value, mode="eval")).reads
                    self.scope.later.update((name, name.partition(".")[0]) for name in names)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.visit(node.generators[0].iter)
        rest: list[ast.AST] = [each.iter for each in node.generators[1:]]
        rest += [condition for each in node.generators for condition in each.ifs]
        rest += [place for each in node.generators for place in places(each.target)]
        rest += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        around = self.scope
        # What `:=` binds here, it binds around the comprehension.
        self.scope = Scope(binds=around.binds, declared=around.declared)
        self.visit_all(rest)
        inner, self.scope = self.scope, around
        targets = {name for each in node.generators for name in stored([each.target])}
        around.reads.update(free(inner.reads, targets))
        around.later.update(free(inner.later, targets))

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    def inside(self, nodes: Iterable[ast.AST], args: ast.arguments) -> None:
        """Visit the body of a function."""
        around, self.scope = self.scope, Scope(binds=dict.fromkeys(one.arg for one in arguments(args)))
        self.visit_all(nodes)
        inner, self.scope = self.scope, around
        local = inner.binds.keys() - inner.declared
        around.later.update(free(inner.reads, local))
        around.later.update(free(inner.later, local))


def free(reads: dict[str, str], local: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Return what is not `local` to the scope that reads it."""
    return (pair for pair in reads.items() if pair[1] not in local)


HANDLERS: dict[type[ast.AST], Callable[[Reader, Any], None]] = {
    getattr(ast, name.removeprefix("visit_")): method
    for name, method in vars(Reader).items()
    if name.startswith("visit_") and hasattr(ast, name.removeprefix("visit_"))
}


@cache
def children_of(kind: type[ast.AST]) -> Callable[[Any], Any]:
    """Return what gets the fields of a kind of node that may hold other nodes."""
    return getter([name for name in kind._fields if name not in EMPTY_FIELDS])


def arguments(args: ast.arguments) -> list[ast.arg]:
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [one for one in every if one is not None]


def defaults(args: ast.arguments) -> list[ast.expr]:
    return [*args.defaults, *(default for default in args.kw_defaults if default is not None)]


def stored(targets: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that the targets of a comprehension bind."""
    for node in targets:
        yield from (
            each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        )


def places(target: ast.expr) -> Iterator[ast.expr]:
    """Yield the parts of a target that are no names: they read where they put what they get."""
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from places(each)
    elif isinstance(target, ast.Starred):
        yield from places(target.value)
    elif not isinstance(target, ast.Name):
        yield target


def names_in(*nodes: ast.AST, bodies: bool = True, annotations: bool = True) -> Names:
    """Return the names that `nodes` read and bind, without bodies of functions or annotations where asked to."""
    reader = Reader(bodies=bodies, annotations=annotations)
    reader.visit_all(nodes)
    found = reader.outermost
    return Names(
        tuple(sorted(found.reads | found.later)),
        tuple(sorted(found.reads)),
        tuple(found.binds),
        tuple(reader.imports),
        frozenset(reader.declared),
    )


def imported_names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield the names that an import binds, `*` for all."""
    for each in node.names:
        yield each.asname or (each.name.partition(".")[0] if isinstance(node, ast.Import) else each.name)


def bound_in(body: Iterable[ast.stmt]) -> set[str]:
    """Return the names that statements bind where they stand."""
    return set().union(*map(bound_by, body))


def bound_by(node: ast.stmt) -> frozenset[str]:
    """Return the names that one statement binds; asked for by many rules, so the node keeps the answer."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset((node.name,))
    if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Name)):
        return NOTHING
    known: frozenset[str] | None = getattr(node, "bound", None)
    if known is None:
        names = names_in(node)
        known = frozenset(names.binds).union(*map(imported_names, names.imports))
        node.bound = known  # type: ignore[attr-defined]  # trees are read once, and never changed
    return known
