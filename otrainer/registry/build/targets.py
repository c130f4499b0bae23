"""`_target_: package.module.attr`: Python objects by name, as far as the settings let a config reach."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from otrainer.config.settings import Settings, module_allowed
from otrainer.errors import ConfigError
from otrainer.registry.checks import DOTTED
from otrainer.registry.plugins.from_source import load_from_source
from otrainer.registry.static_source import definition_in, tree_of
from otrainer.storage.project import project_root

NAME = re.compile(DOTTED, re.ASCII)
TITLE = "target not allowed"
IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE: of such a class nobody can have changed the module


class UntoldError(Exception):
    """It cannot be told which module defines an object; the message says why."""


def import_target(name: str, settings: Settings) -> Callable[..., Any]:
    """Return the object that `name` names.

    Nothing is imported before the settings allow it, and nothing is asked of an object that a module defines which
    they do not allow: an import in an allowed module opens no way out. Where it cannot be told which module that is,
    the object is refused.

    Raises:
        ConfigError: targets or this module are not allowed, or there is nothing to call under that name.
    """
    if not settings.allow_target:
        hint = "Set `settings.allow_target: true`, or register the object under a key of your own."
        raise ConfigError("`_target_` is switched off by the settings.", title=TITLE, hint=hint)
    if not NAME.fullmatch(name) or "." not in name:
        raise ConfigError(f"`{name}` is no dotted name.", title="invalid target", hint="Write `package.module.attr`.")
    target = look_up(name, settings)
    refuse_foreign(target, name, settings)
    if not callable(target):
        hint = "Name a class or a function."
        raise ConfigError(f"`{name}` cannot be called.", title="invalid target", hint=hint)
    found: Callable[..., Any] = target
    return found


def look_up(name: str, settings: Settings) -> object:
    """Return the object under the longest importable module name; every name that is tried must be allowed."""
    parts = name.split(".")
    for size in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:size])
        if not module_allowed(module_name, settings.allowed_import_prefixes):
            raise not_allowed(f"`{name}` lies in `{module_name}`", settings)
        load_from_source(project_root())
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as cause:
            if cause.name is None or not f"{module_name}.".startswith(f"{cause.name}."):
                raise failed(name, cause) from cause
        except Exception as cause:
            raise failed(name, cause) from cause
        else:
            return walk(module, module_name, parts[size:], settings)
    hint = "Check the name, and that its package is installed."
    raise ConfigError(f"There is no module in which `{name}` could lie.", title="invalid target", hint=hint)


def walk(found: object, name: str, attributes: list[str], settings: Settings) -> object:
    """Follow `attributes` from `found`; each object is asked only once it is known to be allowed."""
    for attribute in attributes:
        refuse_foreign(found, name, settings)
        name = f"{name}.{attribute}"
        try:
            found = getattr(found, attribute)
        except Exception as cause:
            raise failed(name, cause) from cause
    return found


def refuse_foreign(target: object, name: str, settings: Settings) -> None:
    """Raise ConfigError unless an allowed module defines `target`, truly."""
    try:
        home = defining_module(target)
    except UntoldError as cause:
        hint = "Define a function or class that does the same in an allowed module, or register it under a key."
        raise ConfigError(f"It cannot be told what defines `{name}`: {cause}.", title=TITLE, hint=hint) from None
    if not module_allowed(home, settings.allowed_import_prefixes):
        raise not_allowed(f"`{name}` is defined in `{home}`", settings)


def defining_module(target: object) -> str:
    """Return the module that really defines `target`, checked against `sys.modules` and sources.

    Raises UntoldError where that cannot be told.
    """
    kind = type(target)  # `__class__` may be anything
    if kind is partial:
        return defining_module(target.func)  # type: ignore[attr-defined]
    if issubclass(kind, partial):
        raise UntoldError("it may call anything")
    if kind is MethodType:
        return defining_module(target.__func__)  # type: ignore[attr-defined]
    if kind is FunctionType:
        return home_of_function(target)  # type: ignore[arg-type]
    if kind is BuiltinFunctionType:
        return home_of_builtin(target)  # type: ignore[arg-type]
    if issubclass(kind, ModuleType):
        return home_of_module(target)  # type: ignore[arg-type]
    return home_of_class(target if issubclass(kind, type) else kind)  # type: ignore[arg-type]


def home_of_function(function: FunctionType) -> str:
    """Return the module whose names a function sees: unlike its `__module__`, nobody can set that."""
    home = function.__globals__.get("__name__")
    module = sys.modules.get(home) if isinstance(home, str) else None
    if module is None or vars(module) is not function.__globals__:
        raise UntoldError("it is a function that no module holds")
    return str(home)


def home_of_builtin(function: BuiltinFunctionType) -> str:
    module = function.__self__
    if not isinstance(module, ModuleType):
        raise UntoldError("it is a method of a built-in object")
    return home_of_module(module)


def home_of_module(module: ModuleType) -> str:
    """Return a module's name, by which it was imported."""
    spec = ModuleType.__getattribute__(module, "__dict__").get("__spec__")
    name = getattr(spec, "name", None)
    if not isinstance(name, str) or sys.modules.get(name) is not module:
        raise UntoldError("it is a module that was not imported under its name")
    return name


def home_of_class(cls: type) -> str:
    """Return the module in whose source a class is written, under the name by which it knows itself."""
    home, qualname, flags = (vars(type)[fact].__get__(cls) for fact in ("__module__", "__qualname__", "__flags__"))
    if not isinstance(home, str):
        raise UntoldError("its class does not say in which module it lies")
    if flags & IMMUTABLE:
        return home
    module = sys.modules.get(home)
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    tree = tree_of(Path(file)) if isinstance(file, str) else None
    if tree is None or not isinstance(definition_in(tree.body, qualname), ast.ClassDef):
        raise UntoldError(f"it says that it is `{home}.{qualname}`, and there is no such class in the source")
    if held_by(module, qualname) is not cls:
        raise UntoldError(f"it says that it is `{home}.{qualname}`, which is another class")
    return home


def held_by(module: object, qualname: str) -> object:
    """Return what a module holds under a dotted name, without running any `__getattr__`."""
    for part in qualname.split("."):
        module = vars(module).get(part) if hasattr(module, "__dict__") else None
    return module


def not_allowed(subject: str, settings: Settings) -> ConfigError:
    prefixes = ", ".join(settings.allowed_import_prefixes) or "none"
    hint = f"Allowed prefixes are {prefixes} (`settings.allowed_import_prefixes`)."
    return ConfigError(f"{subject}, which is under no allowed prefix.", title=TITLE, hint=hint)


def failed(name: str, cause: Exception) -> ConfigError:
    message = f"`{name}` cannot be imported: {type(cause).__name__}: {cause}"
    return ConfigError(message, title="invalid target", hint="Check that the module imports, and has that name.")
