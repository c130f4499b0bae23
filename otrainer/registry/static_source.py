"""Where a name is defined, read from source text: nothing is imported for it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from otrainer.fingerprint.locate import Locator, absolute
from otrainer.fingerprint.scopes import bound_by, imported_names
from otrainer.fingerprint.summary import running_in
from otrainer.registry.effects import BY_WORKER, READS_CONFIG
from otrainer.storage.contents import content_hash

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
IMPORTS = ast.Import | ast.ImportFrom
MOST_HOPS = 20


@lru_cache(maxsize=64)
def parsed(path: Path, _sha256: str) -> ast.Module | None:
    """Return the syntax tree of a file; None where it cannot be parsed."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def tree_of(path: Path | None) -> ast.Module | None:
    """Return the syntax tree of a source as it is now; None where there is none to read."""
    if path is None or path.suffix != ".py":
        return None
    try:
        return parsed(path, content_hash(path))
    except OSError:
        return None


def said_in(path: Path) -> frozenset[str]:
    """Return which of the words of `effects` a source says, as a name or a text, wherever it stands in it."""
    tree = tree_of(path)
    return frozenset() if tree is None else said(tree)


@lru_cache(maxsize=64)
def said(tree: ast.Module) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr="config"):
                pass  # what somebody calls their own arguments
            case ast.Attribute(attr="config") | ast.Constant(value="config"):
                found.add(READS_CONFIG)
            case ast.Attribute(attr="get_worker_info" | "_worker_info") | ast.alias(name="get_worker_info"):
                found.add(BY_WORKER)
    return frozenset(found)


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a body does, those inside of `if`, `try` and `with` included."""
    for node in body:
        yield node
        if not isinstance(node, ast.ClassDef):
            yield from statements(running_in(node))


def definition_in(body: list[ast.stmt], qualname: str) -> Definition | None:
    """Return the class or function that `qualname` is defined as; where there are several, the last."""
    name, _, rest = qualname.partition(".")
    found = [node for node in statements(body) if isinstance(node, Definition) and node.name == name]
    if not found or not rest:
        return found[-1] if found else None
    return definition_in(found[-1].body, rest) if isinstance(found[-1], ast.ClassDef) else None


class Binding(NamedTuple):
    """The statement that binds a name at the top of a module: its line, and what it imports as that name, if it does.

    `name` is None where a module is imported as a whole.
    """

    line: int
    module: str = ""
    name: str | None = None
    level: int = 0


def binding_of(nodes: Iterable[ast.AST], name: str) -> Binding | None:
    """Return the last of the statements that binds `name`, but for imports by `*`."""
    found = [node for node in nodes if isinstance(node, ast.stmt) and name in bound_by(node)]
    return binding_by(found[-1], name) if found else None


def binding_by(node: ast.stmt, name: str) -> Binding:
    if isinstance(node, IMPORTS):
        alias = next(each for each, bound in zip(node.names, imported_names(node), strict=True) if bound == name)
        if isinstance(node, ast.ImportFrom):
            return Binding(node.lineno, node.module or "", alias.name, node.level)
        return Binding(node.lineno, alias.name if alias.asname else name)
    return Binding(node.lineno)


def stars_of(tree: ast.Module) -> list[tuple[str, int]]:
    """Return the modules whose names a module takes by `*`, each with its level, the last one first."""
    nodes = [node for node in statements(tree.body) if isinstance(node, ast.ImportFrom)]
    return [(node.module or "", node.level) for node in nodes[::-1] if any(each.name == "*" for each in node.names)]


class Place(NamedTuple):
    """Where something is defined: its module, the name in it, and the line in a file, if there is a source."""

    module: str
    name: str
    file: Path | None
    line: int


class Finder:
    """Follows names through imports, in sources alone."""

    def __init__(self) -> None:
        self.locator = Locator()

    def find(self, module: str, name: str, depth: int = 0) -> Place | None:
        """Return where a (dotted) `name` of a module is defined; None where its sources do not say."""
        file = self.locator.file(module)
        tree, (head, _, rest) = tree_of(file), name.partition(".")
        if tree is None or depth > MOST_HOPS:
            return None
        bound = binding_of(statements(tree.body), head)
        if bound is not None and not bound.module and not bound.level:
            found = definition_in(tree.body, name)
            return Place(module, name, file, found.lineno if found else bound.line)
        if bound is not None:
            return self.imported(bound, module, rest, depth) or Place(module, name, file, bound.line)
        for star, level in stars_of(tree):
            if found_there := self.find(self.absolute(star, level, module), name, depth + 1):
                return found_there
        return self.submodule(f"{module}.{head}", rest, depth)

    def inside(self, function: ast.AST, module: str, name: str) -> Place | None:
        """Return where a name that an import inside of a function binds is defined."""
        head, _, rest = name.partition(".")
        bound = binding_of((node for node in ast.walk(function) if isinstance(node, IMPORTS)), head)
        return self.imported(bound, module, rest, 0) if bound else None

    def imported(self, bound: Binding, module: str, rest: str, depth: int) -> Place | None:
        """Follow what an import binds to where it is defined."""
        source = self.absolute(bound.module, bound.level, module)
        name = ".".join(filter(None, (bound.name, rest)))
        return self.find(source, name, depth + 1) if name else self.whole(source)

    def submodule(self, module: str, rest: str, depth: int) -> Place | None:
        return self.find(module, rest, depth + 1) if rest else self.whole(module)

    def whole(self, module: str) -> Place | None:
        """Return the place of a module itself."""
        file = self.locator.file(module)
        return Place(module, "", file, 1) if file is not None else None

    def absolute(self, module: str, level: int, importer: str) -> str:
        package = importer if self.locator.is_package(importer) else importer.rpartition(".")[0]
        return absolute(level, module, package)
