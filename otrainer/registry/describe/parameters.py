"""Which plain values the parameters of a callable take, by their annotations and defaults.

What editors are told and what is checked both come from here.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import Parameter
from pathlib import Path
from typing import Any

from otrainer.registry.describe.admits import NUMBER, TRUTH, admits, is_plain
from otrainer.registry.describe.annotations import ANYTHING, Values, united, values_of
from otrainer.registry.static_source import statements, tree_of

NULL: Values = {"type": ["null"]}


def values_taken(parameter: Parameter, function: Callable[..., Any]) -> Values:
    """Return a schema of the plain values that a parameter of `function` takes; `{}` where nothing is certain.

    A default that its annotation does not admit shows that the annotation is not meant strictly; `None` by itself is
    what torch's `BroadcastingList2[int]` comes to.
    """
    default = parameter.default
    if parameter.annotation is Parameter.empty or parameter.annotation is None:
        return told_by_default(default)
    values = values_of(resolved(parameter.annotation, function))
    if not values or default is Parameter.empty:
        return values
    if default is None:
        return united([values, NULL])
    return values if not is_plain(default) or admits(default, values) else ANYTHING


def told_by_default(default: object) -> Values:
    """Return what a default says by itself: no text is meant that spells out a value of its kind."""
    spelled = TRUTH if isinstance(default, bool) else NUMBER if type(default) in (int, float) else None
    return ANYTHING if spelled is None else {"not": {"type": "string", "pattern": spelled.pattern}}


def maker_of(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function whose module the annotations of a target are written in."""
    while isinstance(target, partial):
        target = target.func
    return getattr(target, "__init__", target) if isinstance(target, type) else target


def resolved(annotation: object, function: Callable[..., Any]) -> object:
    """Evaluate an annotation that may be text in the module of `function`; return Any where that fails."""
    if annotation is Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    names: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    found = evaluated(annotation, names)
    return evaluated(annotation, {**checked_imports(names), **names}) if found is Any else found


def evaluated(annotation: str, names: Mapping[str, Any]) -> object:
    """Evaluate an annotation; return Any where it names what is not among `names`, or is no type at all."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, dict(names))["it"]
    except Exception:  # noqa: BLE001 - it runs what a plugin wrote there
        return Any


def checked_imports(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a module, given by its `names`, imports for type checkers only, as far as it is imported by now."""
    file = names.get("__file__")
    tree = tree_of(Path(file)) if isinstance(file, str) else None
    package = str(names.get("__package__") or "")
    body = [] if tree is None else statements(tree.body)
    return {alias: found for node in body for alias, found in imported(node, package) if found is not None}


def imported(node: ast.stmt, package: str) -> Iterator[tuple[str, Any]]:
    """Yield what an import would bind, without importing anything; None for what nobody has imported."""
    if isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
        module = sys.modules.get(".".join([*parents, *filter(None, [node.module])]))
        for alias in node.names:
            yield alias.asname or alias.name, None if module is None else vars(module).get(alias.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            yield name, sys.modules.get(alias.name if alias.asname else name)
