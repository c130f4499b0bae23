"""What a plugin's `register(registry)` does for each key, where it is written straight down."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from otrainer.fingerprint.normal_form import digest_of, is_docstring, normal_form
from otrainer.fingerprint.scopes import arguments, bound_in, names_in

if TYPE_CHECKING:
    from otrainer.fingerprint.side_effects import Effects

REGISTER = "register"
METHODS = {"register_module": "", "register_op": "op:"}


class Row(NamedTuple):
    """One registration: its digest, the names that it reads, and what these are where `register` imports them."""

    digest: str
    reads: tuple[str, ...]


class Registration(NamedTuple):
    """A straight-line `register`: a row a key, and the modules that it imports before."""

    rows: dict[str, Row]
    modules: tuple[str, ...]


def registration_of(
    body: list[ast.stmt], effects: Effects, inner_imports: Callable[[ast.AST], tuple[str, ...]]
) -> Registration | None:
    """Return the registrations of a module; None where it has no `register`, or one that does anything else too."""
    register = only_register(body)
    if not isinstance(register, ast.FunctionDef) or register.decorator_list or not takes_one(register.args):
        return None
    rows: dict[str, Row] = {}
    registry = register.args.args[0].arg
    for node in register.body:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass) or is_docstring(node):
            continue
        if isinstance(node, ast.Return) and (node.value is None or isinstance(node.value, ast.Constant)):
            continue
        key = registered_key(node, registry, effects)
        if key is None or key in rows:
            return None
        reads = tuple(name for name in names_in(node).reads if name.partition(".")[0] != registry)
        rows[key] = Row(digest_of(normal_form(node)), reads)
    return Registration(rows, inner_imports(register))


def only_register(body: list[ast.stmt]) -> ast.stmt | None:
    """Return the statement that binds `register`, if no other does or may by `*`."""
    found = [number for number, node in enumerate(body) if REGISTER in bound_in([node])]
    if len(found) != 1 or any("*" in bound_in([node]) for node in body[found[0] :]):
        return None
    return body[found[0]]


def takes_one(args: ast.arguments) -> bool:
    """Return whether a function has one argument and nothing else that a name in it could stand for."""
    return len(args.args) == len(arguments(args)) == 1 and not args.defaults


def registered_key(node: ast.stmt, registry: str, effects: Effects) -> str | None:
    """Return the key that a statement registers, if that is all it does."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr not in METHODS:
        return None
    if not isinstance(call.func.value, ast.Name) or call.func.value.id != registry:
        return None
    first = call.args[0] if call.args else next((each.value for each in call.keywords if each.arg == "name"), None)
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    if any(map(effects.value_acts, [*call.args, *(each.value for each in call.keywords)])):
        return None
    return f"{METHODS[call.func.attr]}{first.value}"
