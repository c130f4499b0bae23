"""The names at module level that functions change: what one call leaves behind for the next one."""

from __future__ import annotations

import ast

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
MUTATORS = {"append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "setdefault", "add", "discard"}


def mutable_globals(trees):
    """Return the names at module level that a function changes.

    These are rebound by `global`, assigned to by item, changed by a method such as `append`, or an instance of a class
    of the same module whose methods, `__init__` aside, change attributes of `self`.
    """
    found = set()
    for module, tree in trees.items():
        bound = {name: value for node in tree.body for name, value in bound_by(node)}
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and changes_itself(node)}
        for node in (
            node for outer in tree.body if isinstance(outer, (ast.ClassDef, *FUNCTION)) for node in ast.walk(outer)
        ):
            changed = node.names if isinstance(node, ast.Global) else changed_by(node)
            found |= {(module, name) for name in changed if name in bound}
        for name, value in bound.items():
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in classes:
                found.add((module, name))
    return sorted(found)


def bound_by(node):
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    yield from ((target.id, node.value) for target in targets if isinstance(target, ast.Name))


def changed_by(node, kind=ast.Name):
    """Yield what a node changes in place: of the names of things, or of the attributes of `self`."""
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    places = [each.value for each in targets if isinstance(each, ast.Subscript)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        places.append(node.func.value)
    yield from (getattr(each, "id", None) or each.attr for each in places if isinstance(each, kind))


def changes_itself(cls):
    methods = [
        node for node in cls.body if isinstance(node, FUNCTION) and node.name not in ("__init__", "__post_init__")
    ]
    nodes = [node for method in methods for node in ast.walk(method)]
    stored = (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) for node in nodes)
    return any(stored) or any(name for node in nodes for name in changed_by(node, ast.Attribute))
