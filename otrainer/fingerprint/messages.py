"""Drop what is only told from the trees of otrainer's own modules: docstrings, and the texts of errors and logs.

A text is a message where it can go nowhere else: as an argument of an error, a finding, a log or a print, of what a
`raise` calls, of any call with a `title`, under a keyword of `KEYWORDS`, or as a value of a local variable that is used
in such places and in truth tests alone. An empty text stays empty, so truth tests keep their outcome.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TypeAlias

# Parameters that only become part of a message: a test holds every function of ours that has one to it.
KEYWORDS = frozenset(("title", "message", "hint", "what", "why"))
SHOWING = frozenset(("print", "warn"))
LEVELS = frozenset(("debug", "info", "warning", "error", "exception", "critical"))
MESSAGE = "…"
Assignment: TypeAlias = ast.Assign | ast.AnnAssign | ast.AugAssign
EFFECTS = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
# The fields of an expression that its value is one of, or is made of by joining.
VALUES: dict[type[ast.AST], tuple[str, ...]] = {
    ast.IfExp: ("body", "orelse"),
    ast.BoolOp: ("values",),
    ast.BinOp: ("left", "right"),
    ast.Tuple: ("elts",),
    ast.List: ("elts",),
    ast.ListComp: ("elt",),
    ast.GeneratorExp: ("elt",),
}


def without_messages(tree: ast.Module) -> ast.Module:
    """Return the tree of one of our own modules without its messages; it is changed in place."""
    Arguments().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            silence_locals(node)
    return tree


class Arguments(ast.NodeTransformer):
    """Drops docstrings, and the arguments that only become messages."""

    in_error = False  # whether what is visited stands in the class of an exception

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        around = self.in_error
        self.in_error = any(last_name(base).endswith(("Error", "Exception")) for base in node.bases)
        self.generic_visit(node)
        self.in_error = around
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if is_text(node.value) else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            drop_texts(node.exc)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if makes_error(node) and not has_effects(node):
            node.args, node.keywords = [], []
        elif shows(node.func) or (self.in_error and ast.unparse(node.func) == "super().__init__"):
            drop_texts(node)
        node.keywords = [each for each in node.keywords if each.arg not in KEYWORDS or has_effects(each.value)]
        return self.generic_visit(node)


def makes_error(call: ast.Call) -> bool:
    name = last_name(call.func)
    return name == "Finding" or name.endswith("Error") or any(each.arg == "title" for each in call.keywords)


def shows(function: ast.expr) -> bool:
    """Return whether calling `function` logs or prints."""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log":
        return function.attr in LEVELS
    return last_name(function) in SHOWING


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def has_effects(node: ast.AST) -> bool:
    return any(isinstance(each, EFFECTS) for each in ast.walk(node))


def is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return not has_effects(node)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def drop_texts(call: ast.Call) -> None:
    """Drop arguments that are texts or names, and the texts in others; what they call stays."""
    call.args = [silenced(each) for each in call.args if not isinstance(each, ast.Name) and not is_text(each)]


def silenced(node: ast.expr) -> ast.expr:
    """Return the expression with every text that it may come to, or holds, as one and the same."""
    if is_text(node):
        return node if getattr(node, "value", MESSAGE) == "" else ast.copy_location(ast.Constant(MESSAGE), node)
    for name in value_fields(node):
        held = getattr(node, name)
        setattr(node, name, list(map(silenced, held)) if isinstance(held, list) else silenced(held))
    return node


def value_fields(node: ast.expr) -> tuple[str, ...]:
    """Return the fields that an expression's value is made of; for a method of a literal text its arguments."""
    if isinstance(node, ast.Attribute):
        return ("value",) if is_text(node.value) else ()
    if isinstance(node, ast.Call):
        return ("func", "args") if isinstance(node.func, ast.Attribute) and is_text(node.func.value) else ()
    return VALUES.get(type(node), ())


def silence_locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Replace the texts of local variables that only become messages."""
    uses = Uses()
    for statement in function.body:
        uses.visit(statement)
    messages = uses.messages()
    for node in ast.walk(function) if messages else ():
        if isinstance(node, Assignment) and node.value is not None:
            silent = [isinstance(each, ast.Name) and each.id in messages for each, _ in pairs(node)]
            if all(silent):
                node.value = silenced(node.value)
            elif isinstance(node.value, ast.Tuple) and len(silent) == len(node.value.elts):
                elements = zip(node.value.elts, silent, strict=True)
                node.value.elts = [silenced(each) if told else each for each, told in elements]


class Uses(ast.NodeVisitor):
    """Finds which names a function uses for more than messages and truth tests."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.feeds: dict[str, set[str]] = {}  # a local variable -> the names whose values may go into it

    def messages(self) -> AbstractSet[str]:
        """Return the local variables that only become messages."""
        waiting = list(self.used)
        while waiting:
            fresh = self.feeds.get(waiting.pop(), set()) - self.used
            self.used |= fresh
            waiting += fresh
        return self.feeds.keys() - self.used

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.used.add(node.id)

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.used.update(node.names)

    visit_Nonlocal = visit_Global

    def visit_If(self, node: ast.If | ast.While | ast.IfExp) -> None:
        self.test(node.test)
        for child in ast.iter_child_nodes(node):
            if child is not node.test:
                self.visit(child)

    visit_While = visit_IfExp = visit_If

    def test(self, node: ast.expr) -> None:
        """Visit what only has to be true or false."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.test(node.operand)
        elif isinstance(node, ast.BoolOp):
            for each in node.values:
                self.test(each)
        elif not isinstance(node, ast.Name):
            self.visit(node)

    def visit_Assign(self, node: Assignment) -> None:
        for target, value in pairs(node):
            if isinstance(target, ast.Name):
                self.feeds.setdefault(target.id, set())
                self.feed(target.id, value)
            else:
                self.visit(target)
                self.visit(value)

    visit_AnnAssign = visit_AugAssign = visit_Assign

    def feed(self, name: str, value: ast.expr) -> None:
        """Visit an expression that goes into a local variable as a whole, or in parts."""
        if isinstance(value, ast.Name | ast.JoinedStr):
            self.feeds[name].update(each.id for each in ast.walk(value) if isinstance(each, ast.Name))
            return
        parts = list(values_of(value))
        for child in ast.iter_child_nodes(value):
            if child in parts:
                self.feed(name, child)
            elif isinstance(value, ast.IfExp):
                self.test(value.test)
            else:
                self.visit(child)


def values_of(node: ast.expr) -> Iterator[ast.expr]:
    for name in value_fields(node):
        held = getattr(node, name)
        yield from held if isinstance(held, list) else [held]


def pairs(node: Assignment) -> list[tuple[ast.expr, ast.expr]]:
    """Return what an assignment binds, each with what it is given."""
    if node.value is None:
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    parts = targets[0].elts if len(targets) == 1 and isinstance(targets[0], ast.Tuple) else []
    if isinstance(node.value, ast.Tuple) and len(parts) == len(node.value.elts) > 0:
        return list(zip(parts, node.value.elts, strict=True))
    return [(each, node.value) for each in targets]
