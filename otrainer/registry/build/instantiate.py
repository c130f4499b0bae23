"""From specs in plain data to built objects, and everything that can be found wrong before building any."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from otrainer.config.findings import limit_findings
from otrainer.config.secrets import holds_secret, out_of_place
from otrainer.config.settings import Settings
from otrainer.config.walk import mappings, walk
from otrainer.diagnostics.exceptions import name_meant, own_lines
from otrainer.diagnostics.redaction.exceptions import hide_in, masked_finding
from otrainer.diagnostics.redaction.values import masked
from otrainer.errors import ConfigError, ConfigPath, Finding, Places
from otrainer.registry.build.secrets import Secrets
from otrainer.registry.build.signature import check_call
from otrainer.registry.build.spec import Spec, is_spec, read_spec, reserved_keys, shape_findings
from otrainer.registry.build.targets import import_target
from otrainer.registry.plugins.install_hint import how_to_install

if TYPE_CHECKING:
    from otrainer.registry.core import Registry

FACTORIES = ("optim_factory.", "sched_factory.")
FIRST_NAME = re.compile(r"`?(\w+)\b")


@dataclass(frozen=True, slots=True)
class Built:
    """What a spec came to, the place of the spec, and the key that it names."""

    value: Any
    path: ConfigPath
    key: str


def check_value(
    value: object, *, registry: Registry, settings: Settings | None = None, config_path: ConfigPath = ()
) -> list[Finding]:
    """Return all findings on the specs anywhere inside `value`; nothing is built, but targets are imported."""
    return limit_findings(spec_findings(value, tuple(config_path), registry, settings or Settings()))


def instantiate_value(
    value: object,
    *,
    registry: Registry,
    settings: Settings | None = None,
    config_path: ConfigPath = (),
    source_map: Places | None = None,
    built: list[Built] | None = None,
    checked: bool = False,
) -> Any:
    """Return `value` with every spec in it built, innermost first, and its `${secret:VAR}` read from the environment.

    What each spec came to is added to `built`, where that is given. A value that was `checked`, by `check_value` under
    the same registry and settings, is not judged again.

    Raises:
        ConfigError: all that `check_value` finds, all secrets that are not set, or the failure of a factory, chained
            from its cause; with locations where a `source_map` is given.
    """
    path, settings = tuple(config_path), settings or Settings()
    try:
        findings = [] if checked else check_value(value, registry=registry, settings=settings, config_path=path)
        secrets, unset = Secrets.read(value, path)
        if findings or unset:
            raise ConfigError.of([*findings, *unset])
        return build(value, path, registry, settings, secrets, [] if built is None else built)
    except ConfigError as error:
        if source_map is None:
            raise
        raise error.located(source_map) from error.__cause__


def spec_findings(value: object, path: ConfigPath, registry: Registry, settings: Settings) -> Iterator[Finding]:
    """Yield everything wrong with the specs anywhere inside `value`."""
    for place, item in mappings(value, path, into=is_no_spec):
        yield from reserved_keys(item, place, strict=settings.strict)
        if is_spec(item):
            yield from findings_of(item, place, registry, settings)


def is_no_spec(value: object) -> bool:
    """Return whether `value` has nothing that `read_spec` reads in another way."""
    return not is_spec(value)


def findings_of(
    value: Mapping[str, Any], path: ConfigPath, registry: Registry, settings: Settings
) -> Iterator[Finding]:
    """Yield everything wrong with one spec and those in its arguments."""
    wrong = list(shape_findings(value, path))
    yield from wrong
    spec = read_spec(value, path, strict=settings.strict)
    for item, place in spec.arguments():
        yield from spec_findings(item, place, registry, settings)
    if wrong:
        return
    try:
        target, policy = find_target(spec, registry, settings)
    except ConfigError as error:
        yield from (finding.at_least(spec.head) for finding in error.findings)
    else:
        yield from secrets_of_own(spec, registry)
        kwargs, places = spec.kwargs, spec.places
        yield from check_call(target, spec.args, kwargs, policy, path, called=spec.key, places=places)


def secrets_of_own(spec: Spec, registry: Registry) -> Iterator[Finding]:
    """Yield findings on secrets for otrainer's own components: they write down what they get, or make names of it.

    What a factory hands on to a class from a plugin is that one's; of its `type` itself `check_sections` tells.
    """
    if not is_own(spec.form, spec.key, registry):
        return
    cls = spec.kwargs.get("type") if spec.key.startswith(FACTORIES) else None
    others = () if cls is None else ("type",) if is_own("_type_", cls, registry) else ("type", "args", "kwargs")
    for item, place in spec.arguments():
        if place[-1] not in others:
            for at in (
                at for at, text in walk(item, place, into=is_no_spec) if isinstance(text, str) and holds_secret(text)
            ):
                yield out_of_place(at, why=f"`{spec.key}` is otrainer's own, and none of those takes any")


def is_own(form: str, key: object, registry: Registry) -> bool:
    return form == "_type_" and isinstance(key, str) and key in registry and registry.get_module(key).at is None


def find_target(spec: Spec, registry: Registry, settings: Settings) -> tuple[Callable[..., Any], str]:
    """Return what a spec calls, and the policy by which its arguments are checked."""
    if spec.form == "_target_":
        return import_target(spec.key, settings), "best_effort"
    entry = registry.get_module(spec.key)
    return entry.target, entry.signature_policy


def build(
    value: object, path: ConfigPath, registry: Registry, settings: Settings, secrets: Secrets, built: list[Built]
) -> Any:
    """Return `value` with its specs built; containers are new ones, so that no component shares the config's own."""

    def inside(item: object, place: ConfigPath) -> Any:
        return build(item, place, registry, settings, secrets, built)

    if isinstance(value, str):
        return secrets.fill(value)
    if isinstance(value, list | tuple):
        items = [inside(item, (*path, index)) for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if not isinstance(value, Mapping):
        return value
    if not is_spec(value):
        return {key: inside(item, (*path, key)) for key, item in value.items()}
    spec = read_spec(value, path, strict=settings.strict)
    args = [inside(item, place) for item, place in spec.args_with_places()]
    kwargs = {key: inside(item, spec.places[key]) for key, item in spec.kwargs.items()}
    made = call(find_target(spec, registry, settings)[0], args, kwargs, spec)
    built.append(Built(made, path, spec.key))
    return made


def call(target: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], spec: Spec) -> Any:
    """Call the factory of `spec`; its failure becomes a ConfigError at the spec.

    A failure that shows a secret even so is not chained, since whatever prints the chain would print the secret.
    """
    try:
        with chdir(os.curdir):  # relative paths start from the project's folder, whatever a constructor does
            return target(*args, **kwargs)
    except ConfigError as error:
        hide_in(error)
        raise ConfigError.of(at_spec(finding, spec) for finding in error.findings) from error.__cause__
    except Exception as cause:
        hidden = hide_in(cause)
        failure = building_failed(spec, cause)
        if hidden:
            raise failure from cause
    raise failure


def building_failed(spec: Spec, cause: Exception) -> ConfigError:
    message = f"`{spec.key}` raised {type(cause).__name__}: {cause}".removesuffix(": ")
    install = how_to_install(cause) if isinstance(cause, ImportError) else ""
    hint = install or f"Change the arguments of `{spec.key}` in the config, or mend its code if they are right."
    path, related = blamed(spec, str(cause)), own_lines(cause)
    near = name_meant(cause)
    return ConfigError(
        masked(message), title="could not build", config_path=path, suggestions=near, related=related, hint=hint
    )


def blamed(spec: Spec, message: str) -> ConfigPath:
    """Return the place of the argument that a message begins with ("mode is `min` or `max`"), else that of the spec."""
    first = FIRST_NAME.match(message)
    return spec.places.get(first.group(1), spec.path) if first else spec.path


def at_spec(finding: Finding, spec: Spec) -> Finding:
    shown = masked_finding(finding)
    first = shown.config_path[:1]
    if first and first[0] in spec.places:  # a factory knows its arguments by name, and not where the config gives them
        return replace(shown, config_path=(*spec.places[str(first[0])], *shown.config_path[1:]))
    return shown.at_least(spec.path)
