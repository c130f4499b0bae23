"""A syntax tree as text: what it means, without positions and comments, and the same under every version of Python."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

from otrainer.fingerprint.locate import is_own

SILENT_FIELDS = frozenset(("ctx", "type_comment", "kind", "type_ignores"))
DOCUMENTED = frozenset((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What stands in a list where nothing does, such as the default of a keyword that has none: not the form of a `None`.
ABSENT = "-"
# What is nested deeper is not read: Pythons differ in how deep they go themselves.
DEEPEST = 300


class TooDeepError(ValueError):
    """A tree is nested deeper than is looked into."""


def digest_of(text: str) -> str:
    """Return 32 hex digits of a text's sha256."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def normal_form(node: ast.AST, *, bodies: bool = True) -> str:
    """Return `node` as text without docstrings, the bodies of functions only with `bodies`.

    Fields that are empty are left out, so that those which newer Pythons add do not show.
    """
    form = Form(bodies=bodies)
    form.write(node)
    return form.without_docs()


def digests(node: ast.AST, *, own: bool = False) -> tuple[str, str, list[str]]:
    """Return the digests of a node without docstrings and with them, and the parts of its form: each name in it is one.

    With `own`, imports of otrainer's modules are left out: what they bring counts, and not from where.
    """
    form = Form(own=own)
    form.write(node)
    plain = digest_of(form.without_docs())
    return plain, digest_of("".join(form.parts)) if form.docs else plain, form.parts


class Form:
    """Writes a tree: names stand bare, and all else between marks that no name contains.

    `docs` says where in `parts` docstrings begin and end.
    """

    def __init__(self, *, bodies: bool = True, own: bool = False) -> None:
        self.bodies = bodies
        self.own = own
        self.parts: list[str] = []
        self.docs: list[tuple[int, int]] = []
        self.depth = 0

    def without_docs(self) -> str:
        if not self.docs:
            return "".join(self.parts)
        ends = [0, *(end for _, end in self.docs)]
        starts = [*(start for start, _ in self.docs), len(self.parts)]
        return "".join(["".join(self.parts[end:start]) for end, start in zip(ends, starts, strict=True)])

    def write(self, node: Any) -> None:
        parts, kind = self.parts, node.__class__
        if kind is ast.Name:
            parts += ("Name(", node.id, ")")
            return
        if kind is ast.Constant:
            parts.append(constant(node.value))
            return
        self.depth += 1
        if self.depth > DEEPEST:
            raise TooDeepError
        if kind is ast.Attribute:
            parts.append("Attribute(")
            self.write(node.value)
            parts += (".", node.attr, ")")
            self.depth -= 1
            return
        head, names, values_of = layout(kind)
        parts.append(head)
        for name, value in zip(names, values_of(node), strict=False):
            if value is None:
                continue
            form = value.__class__
            if form is list:
                if value:
                    parts.append(name)
                    self.write_list(node, name, value)
            elif form is str:
                parts += (name, value)
            else:
                parts.append(name)
                if form is ast.Constant and name == ",format_spec=":
                    self.write(ast.JoinedStr([value]))  # as most Pythons have it
                elif isinstance(value, ast.AST):
                    self.write(value)
                else:
                    parts.append(constant(value))
        parts.append(")")
        self.depth -= 1

    def write_list(self, node: ast.AST, name: str, values: list[Any]) -> None:
        parts = self.parts
        if name == ",body=" and node.__class__ in DOCUMENTED:
            values = self.body(node, values)
        elif node.__class__ is ast.JoinedStr:
            values = [value for value in values if getattr(value, "value", None) != ""]  # some Pythons add empty texts
        parts.append("[")
        for value in values if not self.own else without_own_imports(values):
            if isinstance(value, ast.AST):
                self.write(value)
                parts.append(",")
            else:
                parts += (ABSENT if value is None else value, ",")
        parts.append("]")

    def body(self, node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return what is left of a body where its docstring is written."""
        if not self.bodies and isinstance(node, FUNCTIONS):
            return []
        if not is_docstring(body[0]):
            return body
        start = len(self.parts)
        self.write(body[0])
        self.docs.append((start, len(self.parts)))
        return body[1:]


def without_own_imports(values: list[Any]) -> list[Any]:
    return [each for each in values if not (isinstance(each, ast.ImportFrom) and is_own(each.module or ""))]


@cache
def layout(kind: type[ast.AST]) -> tuple[str, tuple[str, ...], Callable[[Any], Any]]:
    """Return how a kind of node is written: its name, those of its fields, and what gets these."""
    fields = [name for name in kind._fields if name not in SILENT_FIELDS]
    return f"{kind.__name__}(", tuple(f",{name}=" for name in fields), getter(fields)


def getter(fields: list[str]) -> Callable[[Any], Any]:
    """Return what gets the values of `fields` in one call, as a tuple."""
    if len(fields) > 1:
        return attrgetter(*fields)
    get = attrgetter(*fields) if fields else None
    return lambda node: () if get is None else (get(node),)


def is_docstring(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def constant(value: object) -> str:
    """Return a literal as text that depends neither on what a Python takes for printable nor on its limits."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int):
        return hex(value)
    return f"{type(value).__name__} {value!a}"
