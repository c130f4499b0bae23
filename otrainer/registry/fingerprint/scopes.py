"""Which names of its module a statement reads, what it binds there, and what functions inside it import."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class Names:
    """`reads` are dotted chains that begin with a name of the module; `imports` stand inside functions or classes."""

    reads: dict[str, None] = field(default_factory=dict)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)


class Reader(ast.NodeVisitor):
    """Collects the names that are free in what it visits; `deferred` says whether bodies of functions are entered."""

    def __init__(self, *, deferred: bool = True) -> None:
        self.found = Names()
        self.deferred = deferred
        self.scopes: list[frozenset[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        self.read(node.id, "")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes = [node.attr]
        inner = node.value
        while isinstance(inner, ast.Attribute):
            attributes.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self.read(inner.id, ".".join(reversed(attributes)))
        else:
            self.visit(inner)

    def read(self, name: str, rest: str) -> None:
        if not any(name in scope for scope in self.scopes):
            self.found.reads[f"{name}.{rest}" if rest else name] = None

    def visit_Import(self, node: ast.Import) -> None:
        self.found.imports.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.found.imports.append(node)

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            self.found.reads[name] = None

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all(node.decorator_list)
        self.visit_arguments_outside(node.args)
        self.visit_all([*getattr(node, "type_params", ()), *([node.returns] if node.returns is not None else [])])
        if self.deferred:
            self.inside(node.body, local_names(node.args, node.body))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_arguments_outside(node.args)
        if self.deferred:
            self.inside([node.body], local_names(node.args, [node.body]))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)])
        self.visit_all(getattr(node, "type_params", ()))
        # What a class binds is not seen from its methods, so it hides nothing there; at worst a name counts too many.
        self.visit_all(node.body)

    def visit_arguments_outside(self, args: ast.arguments) -> None:
        self.visit_all([*args.defaults, *(default for default in args.kw_defaults if default is not None)])
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        self.visit_all(one.annotation for one in every if one is not None and one.annotation is not None)

    def visit_comprehension_scope(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.visit(node.generators[0].iter)
        targets = frozenset(name for each in node.generators for name in stored([each.target]))
        rest: list[ast.AST] = [each.iter for each in node.generators[1:]]
        rest += [condition for each in node.generators for condition in each.ifs]
        rest += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.inside(rest, targets)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_comprehension_scope

    def inside(self, nodes: Iterable[ast.AST], names: frozenset[str]) -> None:
        self.scopes.append(names)
        self.visit_all(nodes)
        self.scopes.pop()

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def local_names(args: ast.arguments, body: Iterable[ast.AST]) -> frozenset[str]:
    """The local variables of a function; what it declares `global` or imports is not among them.

    An import inside a function is followed by its name, as one of the module is.
    """
    body = list(body)
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    names = {one.arg for one in every if one is not None} | set(stored(body))
    return frozenset(names - set(declared_global(body)))


def stored(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names that `nodes` bind in their own scope, imports aside."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            waiting += node.decorator_list  # a walrus there binds here
        elif isinstance(node, COMPREHENSIONS):
            waiting += [inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
            if isinstance(node, ast.MatchMapping) and node.rest:
                yield node.rest
            waiting += ast.iter_child_nodes(node)


def declared_global(body: Iterable[ast.AST]) -> Iterator[str]:
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global):
            yield from node.names
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def names_in(*nodes: ast.AST, deferred: bool = True) -> Names:
    """The free names of `nodes`; those inside the bodies of functions only if `deferred`."""
    reader = Reader(deferred=deferred)
    reader.visit_all(nodes)
    return reader.found
