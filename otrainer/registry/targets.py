"""`_target_: package.module.attr`: Python objects by name, as far as the settings let a config reach."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import partial, reduce
from types import MethodType
from typing import Any

from otrainer.config.settings import Settings, module_allowed
from otrainer.errors import ConfigError
from otrainer.registry.handshake import DOTTED

NAME = re.compile(DOTTED, re.ASCII)
TITLE = "target not allowed"


def import_target(name: str, settings: Settings) -> Callable[..., Any]:
    """The object that `name` names.

    Nothing is imported before the settings allow it. Both the module in the name and the module that truly defines
    the object must lie under an allowed prefix, so that an import in an allowed module opens no way out.

    Raises:
        ConfigError: targets or this module are not allowed, or there is nothing to call under that name.
    """
    if not settings.allow_target:
        hint = "Set `settings.allow_target: true`, or register the object under a key of your own."
        raise ConfigError("`_target_` is switched off by the settings.", title=TITLE, hint=hint)
    if not NAME.fullmatch(name) or "." not in name:
        raise ConfigError(f"`{name}` is no dotted name.", title="invalid target", hint="Write `package.module.attr`.")
    target = look_up(name, settings)
    home = defining_module(target)
    if not module_allowed(home, settings.allowed_import_prefixes):
        raise not_allowed(f"`{name}` is defined in `{home or 'no module'}`", settings)
    if not callable(target):
        hint = "Name a class or a function."
        raise ConfigError(f"`{name}` cannot be called.", title="invalid target", hint=hint)
    found: Callable[..., Any] = target
    return found


def look_up(name: str, settings: Settings) -> object:
    """The object under the longest module name that can be imported; every name that is tried must be allowed."""
    parts = name.split(".")
    for size in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:size])
        if not module_allowed(module_name, settings.allowed_import_prefixes):
            raise not_allowed(f"`{name}` lies in `{module_name}`", settings)
        try:
            return reduce(getattr, parts[size:], importlib.import_module(module_name))
        except ModuleNotFoundError as cause:
            if cause.name is None or not f"{module_name}.".startswith(f"{cause.name}."):
                raise failed(name, cause) from cause
        except Exception as cause:
            raise failed(name, cause) from cause
    message, hint = (
        f"There is no module in which `{name}` could lie.",
        "Check the name, and that its package is installed.",
    )
    raise ConfigError(message, title="invalid target", hint=hint)


def defining_module(target: object) -> str:
    """The module whose code `target` runs: behind partial objects and bound methods, the function's or class's."""
    while isinstance(target, partial | MethodType):
        target = target.func if isinstance(target, partial) else target.__func__
    return str(getattr(target, "__module__", None) or "")


def not_allowed(subject: str, settings: Settings) -> ConfigError:
    prefixes = ", ".join(settings.allowed_import_prefixes) or "none"
    hint = f"Allowed prefixes are {prefixes} (`settings.allowed_import_prefixes`)."
    return ConfigError(f"{subject}, which is under no allowed prefix.", title=TITLE, hint=hint)


def failed(name: str, cause: Exception) -> ConfigError:
    message = f"`{name}` cannot be imported: {type(cause).__name__}: {cause}"
    return ConfigError(message, title="invalid target", hint="Check that the module imports, and has that name.")
