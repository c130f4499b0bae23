"""What plugins register, as far as their sources say it: no plugin is imported for this."""

from __future__ import annotations

import ast
from typing import NamedTuple

from otrainer.fingerprint.registrations import METHODS, REGISTER
from otrainer.fingerprint.side_effects import chain_of
from otrainer.registry.static_source import Finder, Place, definition_in, tree_of


class Registered(NamedTuple):
    """A key that `register` of a plugin gives, at a line; `target` is "module:name" of what stands behind it.

    It is empty where the source does not say it.
    """

    plugin: str
    line: int
    target: str


def registrations(plugin: str, finder: Finder) -> tuple[dict[str, Registered], Place | None]:
    """Return the keys (ops as `op:NAME`) that a plugin's `register` gives by literal names, and where it stands."""
    place = finder.find(plugin, REGISTER)
    tree = tree_of(place.file) if place else None
    register = definition_in(tree.body, place.name) if tree and place else None
    if register is None or place is None:
        return {}, place
    found: dict[str, Registered] = {}
    for node in ast.walk(register):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            given = [*node.args, *(each.value for each in node.keywords if each.arg in ("name", "factory", "fn"))]
            if len(given) > 1 and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
                key = f"{METHODS[node.func.attr]}{given[0].value}"
                found.setdefault(key, Registered(plugin, node.lineno, target_of(given[1], register, place, finder)))
    return found, place


def target_of(factory: ast.expr, register: ast.AST, place: Place, finder: Finder) -> str:
    """ "module:name" of a factory that is named, by text or by a name of the module; else nothing."""
    if isinstance(factory, ast.Constant) and isinstance(factory.value, str):
        return factory.value
    name = chain_of(factory)
    if name is None:
        return ""
    found = finder.inside(register, place.module, name) or finder.find(place.module, name)
    return f"{found.module}:{found.name}" if found else ""
