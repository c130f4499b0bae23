"""From a config's `model` section to the IR, with everything that can be found wrong before a module is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from otrainer.config.kinds import kind_of
from otrainer.config.settings import Settings
from otrainer.errors import ConfigError, ConfigPath, Finding
from otrainer.model.components import compile_components
from otrainer.model.graph import compile_graph
from otrainer.model.section import Report
from otrainer.model.sequential import compile_sequential
from otrainer.model.tie import read_ties
from otrainer.registry.build.instantiate import check_value
from otrainer.registry.build.spec import is_spec

if TYPE_CHECKING:
    from otrainer.model.ir import ModelIR, ModuleSpec
    from otrainer.registry.core import Registry

FRONTENDS = ("sequential", "graph", "components")
TIE = "tie"
SPEC = "Write a spec such as `{_type_: nn.Linear, in_features: 4, out_features: 2}`."


def compile_model(
    section: object, *, registry: Registry, settings: Settings | None = None, config_path: ConfigPath = ("model",)
) -> ModelIR:
    """Compile a `model` section to its IR.

    Raises:
        ConfigError: everything that is wrong with the section, the specs of its modules included.
    """
    ir, findings = read_model(section, registry, settings or Settings(), tuple(config_path))
    if findings or ir is None:
        raise ConfigError.of(findings)
    return ir


def check_model(
    section: object, *, registry: Registry, settings: Settings | None = None, config_path: ConfigPath = ("model",)
) -> list[Finding]:
    """Return everything wrong with a `model` section; no module is built."""
    return read_model(section, registry, settings or Settings(), tuple(config_path))[1]


def read_model(
    section: object, registry: Registry, settings: Settings, path: ConfigPath
) -> tuple[ModelIR | None, list[Finding]]:
    report = Report()
    ir = read_one(section, path, registry, report, what="`model`")
    modules = {module.path: module for _, module in ir.by_name()} if ir else {}  # what repeats has one place
    for module in modules.values():
        if report.findings.is_full:
            break
        report.extend(check_module(module, registry, settings))
    return ir, report.findings.all()


def read_one(
    section: object, path: ConfigPath, registry: Registry, report: Report, *, what: str, ways: Sequence[str] = FRONTENDS
) -> ModelIR | None:
    """Read a model, or one of several, that is written in one of the `ways` there are."""
    model = report.mapping(section, path, what=what)
    chosen = [name for name in ways if name in model]
    report.keys(model, ways if ways is not FRONTENDS else (*ways, TIE), path, what="A model")
    if isinstance(section, Mapping) and not chosen:
        hint = "Add `sequential: {layers: [...]}` or `graph: {...}`."
        report.add("A model is written as `sequential` or as `graph`.", path, title="missing key", hint=hint)
    if len(chosen) > 1:
        message = f"A model is either {' or '.join(f'`{name}`' for name in chosen)}, not both."
        report.add(message, (*path, chosen[-1]), title="two ways at once", key=True, hint="Remove one of them.")
    irs = [read_frontend(name, model[name], (*path, name), registry, report) for name in chosen]
    if not irs or model.get(TIE) is None:
        return irs[0] if irs else None
    return replace(irs[0], ties=read_ties(model[TIE], (*path, TIE), report))


def read_part(name: str, section: object, path: ConfigPath, *, registry: Registry, report: Report) -> ModelIR | None:
    """Read one of several models."""
    return read_one(section, path, registry, report, what=f"`{name}`", ways=FRONTENDS[:2])


def read_frontend(name: str, section: object, path: ConfigPath, registry: Registry, report: Report) -> ModelIR:
    body = report.mapping(section, path, what=f"`{name}`")
    if name == "components":
        return compile_components(body, path, report, partial(read_part, registry=registry, report=report))
    if name == "sequential":
        return compile_sequential(body, path, registry, report)
    return compile_graph(body, path, registry, report)


def check_module(module: ModuleSpec, registry: Registry, settings: Settings) -> list[Finding]:
    if not isinstance(module.spec, Mapping):
        message = f"A module is a mapping with `_type_`, not {kind_of(module.spec)}."
        return [Finding(message, "wrong type", module.path, hint=SPEC)]
    findings = check_value(module.spec, registry=registry, settings=settings, config_path=module.path)
    if not is_spec(module.spec):
        findings = [Finding("A module needs a `_type_`.", "incomplete spec", module.path, hint=SPEC), *findings]
    return findings
