"""Which components of a config declare data files: those whose class has `files()`, and those that may come to have it.

What a function, a partial, a class method or a `__new__` returns is known only once it is built. So that few of a
plugin's components are, its sources are asked whether they reach anything that is called `files`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import cache, partial
from inspect import isclass, ismethod
from typing import TYPE_CHECKING, Any

from otrainer.config.walk import mappings
from otrainer.fingerprint import named
from otrainer.fingerprint.locate import is_own
from otrainer.fingerprint.names import IMPORTING, WHOLE
from otrainer.model.meta import without_numbers
from otrainer.registry import instantiate_value
from otrainer.registry.build.targets import import_target
from otrainer.registry.static_source import definition_in, tree_of

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.errors import ConfigPath
    from otrainer.fingerprint import Fingerprints
    from otrainer.registry import Registry

FILES = "files"


def declaring(
    config: ResolvedConfig, registry: Registry, prints: Fingerprints
) -> Iterator[tuple[Mapping[str, Any], ConfigPath]]:
    """Yield the specs of components that declare files, or may."""
    for path, spec in mappings(config.data):
        if "_type_" not in spec and "_target_" not in spec:
            continue
        key, name = spec.get("_type_"), spec.get("_target_")
        if isinstance(key, str):
            target = registry.get_module(key).target
        elif isinstance(name, str) and path[:1] not in (("params",), ("settings",)):
            target = import_target(name, config.settings)
        else:
            continue
        if callable(getattr(target, FILES, None)) or may_make(target, prints):
            yield spec, path


def built(spec: Mapping[str, Any], path: ConfigPath, config: ResolvedConfig, registry: Registry) -> Any:
    """Build a component to be asked; a layer of the model without its numbers."""
    with without_numbers() if path[:1] == ("model",) else nullcontext():
        return instantiate_value(spec, registry=registry, settings=config.settings, config_path=path)


def may_make(target: Any, prints: Fingerprints) -> bool:
    """Return whether calling `target` may give an object with `files()` though it is no class that has it."""
    while isinstance(target, partial):
        target = target.func
    if callable(getattr(target, FILES, None)):
        return True
    if ismethod(target):
        made_by = target.__self__ if isclass(target.__self__) else type(target.__self__)
        return callable(getattr(made_by, FILES, None)) or reaches_files(target.__func__, prints)
    return (not isclass(target) or is_made_otherwise(target)) and reaches_files(target, prints)


def is_made_otherwise(cls: type) -> bool:
    """Return whether calling a class may give something else, or an object with more than the class has."""
    own = [each for each in cls.__mro__ if each.__module__ not in ("builtins", "typing", "abc")]
    calls = any("__call__" in vars(each) for each in type.mro(type(cls)) if each not in (type, object))
    return calls or any(not {"__new__", "__getattr__", "__init__"}.isdisjoint(vars(each)) for each in own)


def reaches_files(target: Any, prints: Fingerprints) -> bool:
    """Return whether the user's code behind `target` defines or sets something called `files`; our own knows none."""
    module, name = named(target)
    return not is_own(module) and leads_to_files(f"{module}:{name}", prints)


@cache
def leads_to_files(target: str, prints: Fingerprints) -> bool:
    code = prints.symbol(target)
    seen, waiting = set(code.roots), list(code.roots)
    while waiting:
        symbol = waiting.pop()
        if gives_files(symbol, prints):
            return True
        # What imports do besides is not what a call gives.
        fresh = {each for each in code.uses.get(symbol, ()) if not each.endswith(f":{IMPORTING}")} - seen
        seen |= fresh
        waiting += fresh
    return False


def gives_files(symbol: str, prints: Fingerprints) -> bool:
    module, _, name = symbol.partition(":")
    tree = None if is_own(module) else tree_of(prints.file_of(module))
    if tree is None:
        return False
    inside = tree if name == WHOLE else definition_in(tree.body, name)
    return inside is not None and any(map(is_called_files, ast.walk(inside)))


def is_called_files(node: ast.AST) -> bool:
    """Return whether something is defined or set under the name; an argument called so is none."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == FILES
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == FILES
