"""A syntax tree as text: what it means, without positions and comments, and the same under every version of Python."""

from __future__ import annotations

import ast
import hashlib
from typing import Any

SILENT_FIELDS = frozenset(("ctx", "type_comment", "kind", "type_ignores"))
DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def digest_of(text: str) -> str:
    """32 hex digits of a text's sha256."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def normal_form(node: ast.AST, *, docs: bool = False, bodies: bool = True) -> str:
    """`node` as text; docstrings only with `docs`, the bodies of functions only with `bodies`.

    Fields that are empty are left out, so that those which newer Pythons add do not show.
    """
    form = Form(docs=docs, bodies=bodies)
    form.write(node)
    return "".join(form.parts)


def digests(node: ast.AST) -> tuple[str, str]:
    """The digests of a node without docstrings and with them; the second look is taken only where there are any."""
    form = Form(docs=False, bodies=True)
    form.write(node)
    plain = digest_of("".join(form.parts))
    return plain, digest_of(normal_form(node, docs=True)) if form.left_out else plain


class Form:
    """Writes a tree; `left_out` says whether a docstring was."""

    def __init__(self, *, docs: bool, bodies: bool) -> None:
        self.docs, self.bodies = docs, bodies
        self.parts: list[str] = []
        self.left_out = False

    def write(self, node: Any) -> None:
        kind = type(node)
        if kind is list:
            self.parts.append("[")
            for item in node:
                self.write(item)
                self.parts.append(",")
            self.parts.append("]")
        elif kind is ast.Constant:
            self.parts.append(constant(node.value))
        elif isinstance(node, ast.AST):
            self.write_node(node)
        else:
            self.parts.append(constant(node))

    def write_node(self, node: ast.AST) -> None:
        parts = self.parts
        parts.append(f"{type(node).__name__}(")
        for name in node._fields:
            if name in SILENT_FIELDS:
                continue
            value = getattr(node, name, None)
            if value is None or value == []:
                continue
            if name == "body" and isinstance(node, DOCUMENTED):
                value = self.body(node)
            parts.append(f"{name}=")
            self.write(value)
            parts.append(",")
        parts.append(")")

    def body(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.stmt]:
        if not self.bodies and isinstance(node, FUNCTIONS):
            return []
        if self.docs or not is_docstring(node.body[0]):
            return node.body
        self.left_out = True
        return node.body[1:]


def is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def constant(value: object) -> str:
    """A literal as text that does not depend on which characters a Python takes for printable, nor on its limits."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int):
        return hex(value)
    return f"{type(value).__name__} {value!a}"
