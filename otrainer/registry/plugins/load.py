"""`imports:`: the user's own modules are imported and asked to register what they bring."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from otrainer.config.kinds import kind_of
from otrainer.config.settings import Settings, module_allowed
from otrainer.diagnostics.exceptions import name_meant, place_of_failure
from otrainer.errors import ConfigError, ConfigPath, Finding, nearest
from otrainer.registry.build.targets import NAME
from otrainer.registry.builtins import builtins
from otrainer.registry.entries import meddling
from otrainer.registry.plugins.from_source import load_from_source
from otrainer.registry.plugins.import_reads import reads_noted
from otrainer.registry.plugins.install_hint import how_to_install
from otrainer.registry.plugins.search_notes import search_noted
from otrainer.storage.project import project_root

if TYPE_CHECKING:
    from otrainer.registry.core import Registry

TITLE = "plugin failed"


def load_plugins(
    imports: object, *, registry: Registry, settings: Settings, config_path: ConfigPath = ("imports",)
) -> list[ModuleType]:
    """Import each module of `imports` and call its `register(registry)` where it has one.

    Each registry asks a module once, however often it is loaded; a new registry asks it again.

    Raises:
        ConfigError: entries that are no module names, not allowed or listed twice, before anything is imported; then
            every plugin that is missing, fails, or registers what cannot be registered.
    """
    path = tuple(config_path)
    names = check_imports(imports, settings, path)
    modules: list[ModuleType] = []
    findings: list[Finding] = []
    cause: BaseException | None = None
    if names:
        importlib.invalidate_caches()
        load_from_source(project_root())
    for name, place in names.items():
        try:
            modules.append(load_plugin(name, registry))
        except ConfigError as error:
            cause = cause or error.__cause__
            findings += [finding.at_least(place) for finding in error.findings]
    if findings:
        raise ConfigError.of(findings) from cause
    return modules


def check_imports(imports: object, settings: Settings, path: ConfigPath) -> dict[str, ConfigPath]:
    """Return the module names in their order, each with its place."""
    if imports is None:
        return {}
    if not isinstance(imports, list | tuple):
        message = f"`imports` is a list of module names, not {kind_of(imports)}."
        hint = "Write `imports: [package.module]`."
        raise ConfigError(message, title="invalid import", config_path=path, hint=hint)
    findings = [
        finding for index, name in enumerate(imports) for finding in check_import(name, (*path, index), settings)
    ]
    findings += twice(imports, path)
    if imports and not settings.allow_imports:
        hint = "Set `settings.allow_imports: true`, or leave `imports` out."
        off = Finding("The settings allow no imports.", "import not allowed", path, hint=hint)
        findings = [off, *(finding for finding in findings if finding.title != off.title)]
    if findings:
        raise ConfigError.of(findings)
    return {name: (*path, index) for index, name in enumerate(imports)}


def check_import(name: object, place: ConfigPath, settings: Settings) -> Iterator[Finding]:
    if not isinstance(name, str):
        message = f"A plugin is given by its module's name, not {kind_of(name)}."
        yield Finding(message, "invalid import", place, hint="Write `package.module`.")
    elif not NAME.fullmatch(name):
        hint = "Write `package.module`, without `.py` and slashes."
        yield Finding(f"`{name}` is no module name.", "invalid import", place, hint=hint)
    elif not module_allowed(name, settings.allowed_import_prefixes):
        message = f"`{name}` is under no allowed prefix."
        hint = f"Add `{name.partition('.')[0]}.` to `settings.allowed_import_prefixes` if it is meant."
        yield Finding(message, "import not allowed", place, suggestions=under_allowed(name, settings), hint=hint)


def twice(imports: Sequence[object], path: ConfigPath) -> Iterator[Finding]:
    """Yield a finding for each name that stands in the list before."""
    first: dict[str, int] = {}
    for index, name in enumerate(imports):
        if isinstance(name, str) and first.setdefault(name, index) != index:
            message = f"`{name}` is listed before already, as `imports[{first[name]}]`."
            hint = "Take one of them out; a list that `_merge_` appends to may have it."
            yield Finding(message, "import listed twice", (*path, index), hint=hint)


def under_allowed(name: str, settings: Settings) -> tuple[str, ...]:
    """Return `name` with its package spelt as the nearest allowed one."""
    package, _, rest = name.partition(".")
    allowed = [prefix.partition(".")[0] for prefix in settings.allowed_import_prefixes]
    return tuple(f"{near}.{rest}" for near in nearest(package, allowed, most=1) if rest and near != package)


def load_plugin(name: str, registry: Registry) -> ModuleType:
    """Import the module `name`, make its registrations in `registry`, and return it."""
    if name in registry.plugins:
        return registry.plugins[name]
    with chdir(os.curdir), reads_noted(name), search_noted(name):  # the folder stays, whatever the plugin does
        module = import_plugin(name)
        register = getattr(module, "register", None)
        if register is not None:
            check_register(name, register)
            run_register(name, register, registry)
    registry.plugins[name] = module
    return module


def import_plugin(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ConfigError:
        raise
    except ModuleNotFoundError as cause:
        if cause.name is not None and f"{name}.".startswith(f"{cause.name}."):
            raise no_module(name, cause.name) from cause
        raise plugin_failed(name, "imported", cause) from cause
    except (Exception, SystemExit) as cause:
        raise plugin_failed(name, "imported", cause) from cause


def run_register(name: str, register: Callable[[Registry], object], registry: Registry) -> None:
    registry.registering, before = name, registry.snapshot()
    try:
        register(registry)
    except ConfigError:
        raise
    except (Exception, SystemExit) as cause:
        raise plugin_failed(name, "asked to register", cause) from cause
    finally:
        registry.registering = None
    if findings := list(meddling(before, registry.snapshot(), name, register)):
        builtins.cache_clear()  # what other registries begin with may have been changed as well
        raise ConfigError.of(findings)


def check_register(name: str, register: object) -> None:
    """Raise ConfigError unless `register` can be called with the registry alone."""
    problem = f"it is {kind_of(register)}"
    if callable(register):
        try:
            inspect.signature(register).bind(None)
        except (TypeError, ValueError) as cause:
            problem = str(cause)
        else:
            return
    message = f"`register` of the plugin `{name}` cannot be called with the registry: {problem}."
    raise ConfigError(message, title=TITLE, hint="Define `register(registry)`.")


def plugin_failed(name: str, when: str, cause: BaseException) -> ConfigError:
    """Return an error that says which plugin failed, with what, and on which line of the user's code."""
    what = f"{type(cause).__name__}: {cause.msg if isinstance(cause, SyntaxError) else cause}".removesuffix(": ")
    place, install = place_of_failure(cause), how_to_install(cause) if isinstance(cause, ImportError) else ""
    message = f"The plugin `{name}` failed when {when}: {what}"
    hint = install or "Mend that line of the plugin, or take it out of `imports`."
    return ConfigError(message, title=TITLE, location=place, suggestions=name_meant(cause), hint=hint)


def no_module(name: str, missing: str) -> ConfigError:
    """Return the error for a plugin `name` of which `missing`, itself or a package on the way to it, is not there."""
    parent, _, last = missing.rpartition(".")
    found = nearest(last, modules_in(parent)) if parent else ()
    near = tuple(f"{parent}.{each}{name[len(missing) :]}" for each in found)
    message = f"There is no module `{missing}`."
    hint = "" if near else "Plugins are looked for from the project's root, the folder of dodo.py."
    return ConfigError(message, title="unknown plugin", suggestions=near, hint=hint)


def modules_in(package: str) -> list[str]:
    """Return the names of the modules in a package's folder."""
    spec = find_spec(package)
    return sorted(item.name for item in pkgutil.iter_modules(spec.submodule_search_locations if spec else None))
