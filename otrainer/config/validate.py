"""Validate a resolved config twice: before anything is imported, and once registry and model are there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

from otrainer.config.checks import check_sections
from otrainer.config.findings import limit_findings
from otrainer.config.sections import CLASSES
from otrainer.config.walk import walk
from otrainer.errors import ConfigError, Finding, Places, nearest


class Resolved(Protocol):
    """What resolve_config returns, as far as the checks look at it."""

    @property
    def data(self) -> dict[str, Any]: ...
    @property
    def source_map(self) -> Places: ...


def validate_preflight(config: Resolved | Mapping[str, Any]) -> None:
    """Check sections, key families and `run` of a resolved config (or of its plain data).

    Raises ConfigError with everything that is wrong.
    """
    data, places = parts_of(config)
    settings = data.get("settings") or {}
    raise_all(check_sections(data, strict=settings.get("strict", True), used=getattr(config, "used", ())), places)


def validate_post_model(config: Resolved | Mapping[str, Any], registry: Any, model: Any) -> None:
    """Check that registry and model have what the config asks for: its keys, and inputs that `io` fills exactly.

    Raises ConfigError with everything that is wrong.
    """
    data, places = parts_of(config)
    inputs, optional = getattr(model, "inputs", None), getattr(model, "optional_inputs", ())
    filled = check_inputs(data, inputs, optional) if inputs is not None else ()
    raise_all([*check_keys(data, registry), *filled], places)


def parts_of(config: Resolved | Mapping[str, Any]) -> tuple[Mapping[str, Any], Places | None]:
    return (config, None) if isinstance(config, Mapping) else (config.data, config.source_map)


def raise_all(findings: Iterable[Finding], places: Places | None) -> None:
    """Raise a ConfigError that carries all findings, if there is any."""
    found = [finding if places is None else finding.located(places) for finding in limit_findings(findings)]
    if found:
        raise ConfigError.of(found)


def check_keys(data: Mapping[str, Any], registry: Any) -> Iterator[Finding]:
    """Yield the registry keys, anywhere outside the model, that are not registered."""
    known = registry.list_modules()
    judged = {section: value for section, value in data.items() if section not in ("model", "params", "settings")}
    for path, name in walk(judged):
        if not isinstance(name, str) or name in known:
            continue
        if path[-1] == "_type_" or (path[-1] == "type" and name.startswith(CLASSES)):
            near = nearest(name, known)
            hint = "" if near else "Keys of a plugin exist once its module is listed under `imports`."
            yield Finding(
                f"No component is registered as `{name}`.", "unknown component", path, suggestions=near, hint=hint
            )


def check_inputs(data: Mapping[str, Any], inputs: list[str], optional: Collection[str] = ()) -> Iterator[Finding]:
    """`io.mapping` must fill each of the model's inputs that is not optional, and nothing that is no input."""
    io = data.get("io")
    mapped = io.get("model_kwargs") if isinstance(io, Mapping) and io.get("_type_") == "io.mapping" else None
    if not isinstance(mapped, Mapping):
        return
    path = ("io", "model_kwargs")
    listed = ", ".join(f"`{name}`" for name in inputs)
    spare = [name for name in inputs if name not in mapped]
    for name in mapped:
        if name not in inputs:
            near = nearest(name, spare or inputs)
            hint = f"Its inputs are {listed}."
            yield Finding(
                f"The model has no input `{name}`.",
                "unknown model input",
                (*path, name),
                on_key=True,
                suggestions=near,
                hint=hint,
            )
    lacking = [name for name in spare if name not in optional]
    for name in lacking:
        if len(lacking) > sum(other not in inputs for other in mapped):
            message = f"The model's input `{name}` is filled by nothing."
            yield Finding(message, "missing model input", path, hint=f"Add `{name}: [...]`, the path to it in a batch.")
