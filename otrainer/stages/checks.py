"""Everything that can be found wrong with an experiment before it trains, and what building it for a trial finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from otrainer.config.checks import check_sections
from otrainer.config.findings import limit_findings
from otrainer.config.sections import SECTIONS
from otrainer.config.validate import check_inputs
from otrainer.config.walk import mappings
from otrainer.engine.accelerator import check_device
from otrainer.engine.checkpoint import load_checkpoint
from otrainer.engine.compiler import off_the_compiler
from otrainer.engine.freezing import FREEZE, Freezing
from otrainer.engine.schedule import AUTO, LENGTHS, build_schedule
from otrainer.engine.state import RunSettings
from otrainer.errors import ConfigError, ConfigPath, Finding, errors_at
from otrainer.model import blueprint
from otrainer.model.compile import read_model
from otrainer.model.meta import model_summary
from otrainer.protocols import RunLength
from otrainer.registry import Registry, build_registry, check_call, check_value, instantiate_value, load_plugins
from otrainer.registry.build.secrets import conceal_secrets
from otrainer.registry.build.signature import SURPLUS, WRONG
from otrainer.registry.build.spec import reserved_keys
from otrainer.registry.plugins.packages import check_packages
from otrainer.stages.as_written import with_names_as_written
from otrainer.stages.leftovers import gathered
from otrainer.stages.logged_names import name_mistakes
from otrainer.storage import process_memory
from otrainer.storage.canonical_json import text_of
from otrainer.storage.inside_project import all_outside
from otrainer.storage.project import project_root

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.model.ir import ModelIR

T = TypeVar("T")
# As long as any run may be: with this, a schedule is built for a trial.
SOME_LENGTH = RunLength(step=1 << 30, epoch=1 << 30, metric=1 << 30)
COMPONENTS = tuple(section.name for section in SECTIONS)
# Factories that give a class its arguments as the config has them.
HANDING_ON = ("optim_factory.torch", "sched_factory.torch", "sched_factory.phases")


def load_registry(config: ResolvedConfig, registry: Registry) -> None:
    """Run the config's plugins, which may print; raise ConfigError with every one that fails."""
    conceal_secrets(config.data)
    load_plugins(config.data.get("imports"), registry=registry, settings=config.settings)


def find_mistakes(config: ResolvedConfig, registry: Registry) -> list[Finding]:
    """Return the mistakes that show without building: in sections, paths, plugins, specs and the model's graph.

    Where a plugin fails, keys are not looked up, since it may be the one that registers them.
    """
    findings = limit_findings(check_sections(config.data, strict=config.settings.strict, used=config.used))
    findings += all_outside(config.data, project_root())
    findings += check_packages(config.settings.track_packages)
    try:
        load_registry(config, registry)
    except ConfigError as error:
        return [*findings, *error.findings]
    findings += beside(findings, limit_findings(spec_mistakes(config, registry)))
    findings += beside(findings, name_mistakes(config.data, registry))
    findings += model_mistakes(config, registry)
    return gathered(with_names_as_written(dict.fromkeys(findings), config), config)


def beside(findings: Sequence[Finding], more: Iterable[Finding]) -> list[Finding]:
    """Return `more` without what the wrong kind of a component leads to, which is one of the `findings` already."""
    kinds = {finding.config_path[:-1] for finding in findings if finding.title == "wrong kind of component"}
    known = {finding.config_path for finding in findings}
    return [each for each in more if each.config_path not in known and not is_below(each, kinds)]


def is_below(finding: Finding, paths: Iterable[ConfigPath]) -> bool:
    return any(finding.config_path[: len(path)] == path for path in paths)


def spec_mistakes(config: ResolvedConfig, registry: Registry) -> Iterator[Finding]:
    for name, value in config.data.items():
        if name in COMPONENTS:
            yield from remembered(section_mistakes, name, config, registry)
        elif name not in ("model", "settings"):
            for path, mapping in mappings(value, (name,)):
                yield from reserved_keys(mapping, path, strict=config.settings.strict)
    for section in SECTIONS:
        if section.cls:
            value = config.data.get(section.name)
            for path, mapping in mappings(value, (section.name,)):  # itself, or phases in it
                handed_on = isinstance(value, Mapping) and value.get("_type_") in HANDING_ON
                yield from class_mistakes(mapping, section.cls, path, registry, handed_on=handed_on)


def section_mistakes(name: str, config: ResolvedConfig, registry: Registry) -> list[Finding]:
    return check_value(config.data[name], registry=registry, settings=config.settings, config_path=(name,))


def remembered(
    judge: Callable[[str, ResolvedConfig, Registry], T], name: str, config: ResolvedConfig, registry: Registry
) -> T:
    """Return what `judge` finds in a section; ask once a process for each value under the same plugins and settings."""
    mark = text_of([judge.__name__, name, [config.data.get(part) for part in (name, "imports", "settings")]])
    judged: dict[str, Any] = process_memory.get("judgements", dict)  # many experiments share most of their sections
    if mark not in judged:
        judged[mark] = judge(name, config, registry)
    found: T = judged[mark]
    return found


def class_mistakes(
    value: Mapping[str, Any], prefix: str, path: ConfigPath, registry: Registry, *, handed_on: bool
) -> Iterator[Finding]:
    """Yield an unknown class of an optimizer or scheduler, and arguments that it does not take.

    Where they are not `handed_on` as they are, as by a factory of a plugin's, their values may be made something else.
    """
    key = value.get("type")
    if not isinstance(key, str) or not key.startswith(prefix):
        return
    args, kwargs = value.get("args") or (), value.get("kwargs") or {}
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
        return
    try:
        entry = registry.get_module(key)
        places = {name: (*path, "kwargs", name) for name in kwargs}
        known = {name: 1 if value == AUTO and name in LENGTHS else value for name, value in kwargs.items()}
        found = check_call(
            entry.target,
            args,
            known,
            entry.signature_policy,
            path,
            skip=1,
            places=places,
            args_key="args",
            plain=True,
        )
        yield from (each for each in found if each.on_key or (handed_on and each.title in (WRONG, SURPLUS)))
    except ConfigError as error:
        yield from (finding.at_least((*path, "type")) for finding in error.findings)


def model_mistakes(config: ResolvedConfig, registry: Registry) -> list[Finding]:
    if "model" not in config.data:
        return []  # which resolving it tells
    ir, findings = remembered(judged_model, "model", config, registry)
    return findings if findings or ir is None else list(check_inputs(config.data, list(ir.program.inputs)))


def judged_model(name: str, config: ResolvedConfig, registry: Registry) -> tuple[ModelIR | None, list[Finding]]:
    """Return what a model's section comes to, and what is wrong with it."""
    return read_model(config.data[name], registry, config.settings, (name,))


def try_out(config: ResolvedConfig, registry: Registry, mistakes: list[Finding]) -> dict[str, Any]:
    """Put the experiment together for a trial, device, model and built-in components; returned is the model's shape.

    Sections with `mistakes` are left out, and nothing is tried where a plugin fails. Nothing is written for it: the
    model is built without its numbers, and of the plugins' components none is.
    Raises ConfigError with the mistakes and everything that fails.
    """
    findings = list(mistakes)
    wrong = {finding.config_path[0] for finding in mistakes if finding.config_path}
    if not wrong.isdisjoint(("imports", "settings")) or any(not finding.config_path for finding in mistakes):
        raise ConfigError.of(findings)

    def attempt(trial: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return trial(*arguments)
        except ConfigError as error:
            findings.extend(error.findings)
            return None

    if "run" not in wrong:
        run = RunSettings.of(config.data["run"])
        attempt(check_device, run.device, run.precision)
        attempt(check_resume, run.resume_from)
    model: dict[str, Any] | None = None
    if "model" not in wrong:
        model = attempt(remembered, trial_model, "model", config, registry)
    for section in COMPONENTS:
        if section not in wrong and config.data.get(section) is not None:
            attempt(remembered, trial_section, section, config, registry)
    if model is not None and not findings and has_groups(config.data.get("optimizer")):
        attempt(trial_groups, config, registry)
    if model is not None and not findings and is_freezing(config.data.get("trainer")):
        attempt(trial_freezing, config, registry)
    if findings or model is None:
        raise ConfigError.of(findings)
    return model


def all_mistakes(config: ResolvedConfig, broken: Sequence[Finding] = ()) -> list[Finding]:
    """Return all mistakes of a config, those of resolving it too; what these have broken is not judged again."""
    paths = [finding.config_path for finding in broken if finding.config_path]
    registry = build_registry()
    found = find_mistakes(config, registry)
    try:
        try_out(config, registry, [*broken, *(each for each in found if not is_below(each, paths))])
    except ConfigError as error:
        return list(error.located(config.source_map).findings)
    return []


def check_resume(path: str | None) -> None:
    if path is None:
        return
    with errors_at("run", "resume_from"):
        if not os.path.isfile(path):  # noqa: PTH113 - reads the same and needs no Path
            hint = "Check the path; `doit runs` lists the runs that have checkpoints."
            raise ConfigError(f"There is no checkpoint at `{path}`.", title="checkpoint not found", hint=hint)
        load_checkpoint(path)


def trial_model(name: str, config: ResolvedConfig, registry: Registry) -> dict[str, Any]:
    """Return the shape of the model, built without storage for its numbers."""
    ir, findings = remembered(judged_model, name, config, registry)
    if findings or ir is None:
        raise ConfigError.of(findings)
    return model_summary(blueprint(ir, registry, config.settings))


def trial_section(section: str, config: ResolvedConfig, registry: Registry) -> None:
    """Build a section's components if all of them are built in; a factory also builds its class on a parameter.

    Its specs were checked, since no mistake was found in it.
    """
    value = config.data[section]
    if not is_built_in(value, registry):
        value = without_plugins(value, registry)
        if not is_built_in(value, registry):
            return
    path, settings = (section,), config.settings
    built = instantiate_value(value, registry=registry, settings=settings, config_path=path, checked=True)
    with off_the_compiler():
        if section == "optimizer" and not has_groups(value):
            built.build(one_matrix(), registry=registry)
        elif section == "scheduler":
            optimizer = torch.optim.SGD(one_matrix().parameters(), lr=1.0, momentum=0.9)
            build_schedule(built, optimizer, registry, SOME_LENGTH)


def has_groups(optimizer: Any) -> bool:
    return isinstance(optimizer, Mapping) and bool(optimizer.get("groups") or optimizer.get("no_decay"))


def is_freezing(trainer: Any) -> bool:
    return isinstance(trainer, Mapping) and trainer.get("_type_") == "trainer.default" and bool(trainer.get("freeze"))


def trial_freezing(config: ResolvedConfig, registry: Registry) -> None:
    """Hold the rules of what is frozen against the model without its numbers: does each match anything?"""
    ir, _ = remembered(judged_model, "model", config, registry)
    if ir is not None:
        model = blueprint(ir, registry, config.settings)
        freezing = Freezing(config.data["trainer"]["freeze"], model)
        freezing.freeze_for_good()
        if not any(parameter.requires_grad for parameter in model.parameters()):
            message = "All parameters of the model are frozen for good."
            hint = "Let some of them train, or say until when they are frozen."
            raise ConfigError(message, title="nothing to train", config_path=FREEZE, hint=hint)


def trial_groups(config: ResolvedConfig, registry: Registry) -> None:
    """Build a built-in optimizer over the model without its numbers: does each group take anything?"""
    value = config.data["optimizer"]
    ir, _ = remembered(judged_model, "model", config, registry)
    if ir is not None and is_built_in(value, registry):
        path = ("optimizer",)
        factory = instantiate_value(value, registry=registry, settings=config.settings, config_path=path, checked=True)
        with off_the_compiler():
            factory.build(blueprint(ir, registry, config.settings), registry=registry)


@cache
def one_matrix() -> torch.nn.Module:
    """Return what every optimizer takes; none that is built changes it."""
    return torch.nn.Linear(1, 1, bias=False)


def without_plugins(value: Any, registry: Registry) -> Any:
    """Return a spec with an empty list for each part of a plugin's, if the component takes that for a trial."""
    key = value.get("_type_") if isinstance(value, Mapping) else None
    target = registry.get_module(key).target if isinstance(key, str) and key in registry else None
    if not getattr(target, "tried_with_empty_parts", False):
        return value
    return {
        name: [] if isinstance(part, Mapping) and not is_built_in(part, registry) else part
        for name, part in value.items()
    }


def is_built_in(value: Any, registry: Registry) -> bool:
    """Return whether every spec in `value` names something that comes with otrainer."""
    specs = [spec for _, spec in mappings(value)]
    keys = [key for spec in specs for name in ("_type_", "type") if isinstance(key := spec.get(name), str)]
    ours = all(registry.get_module(key).at is None for key in keys if key in registry)
    return ours and not any("_target_" in spec for spec in specs)
