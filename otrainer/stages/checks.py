"""Everything that can be found wrong with an experiment before it trains, and what building it for a trial finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from otrainer.config.checks import check_sections
from otrainer.config.findings import limit_findings
from otrainer.config.secrets import holds_secret, out_of_place
from otrainer.config.sections import SECTIONS
from otrainer.config.validate import check_inputs
from otrainer.config.walk import mappings, walk
from otrainer.engine.starting.section import check_section, placed
from otrainer.errors import ConfigError, ConfigPath, Finding
from otrainer.model.compile import read_model
from otrainer.protocols import AUTO, LENGTHS
from otrainer.registry import Registry, check_call, check_value, load_plugins
from otrainer.registry.build.secrets import conceal_secrets
from otrainer.registry.build.signature import SURPLUS, WRONG
from otrainer.registry.build.spec import reserved_keys
from otrainer.registry.plugins.packages import check_packages
from otrainer.stages.as_written import with_names_as_written
from otrainer.stages.definition import is_own
from otrainer.stages.leftovers import gathered
from otrainer.stages.logged_names import name_mistakes
from otrainer.storage import process_memory
from otrainer.storage.canonical_json import text_of
from otrainer.storage.inside_project import all_outside, is_path
from otrainer.storage.project import project_root

if TYPE_CHECKING:
    from otrainer.config import ResolvedConfig
    from otrainer.model.ir import ModelIR

T = TypeVar("T")
UNKNOWN_KEYS = ("unknown component", "unknown op")
COMPONENTS = tuple(section.name for section in SECTIONS)
# Factories that give a class its arguments as the config has them.
HANDING_ON = ("optim_factory.torch", "sched_factory.torch", "sched_factory.phases", "sched_factory.chained")


def load_registry(config: ResolvedConfig, registry: Registry) -> None:
    """Run the config's plugins, which may print; raise ConfigError with every one that fails."""
    conceal_secrets(config.data)
    load_plugins(config.data.get("imports"), registry=registry, settings=config.settings)


def find_mistakes(config: ResolvedConfig, registry: Registry) -> list[Finding]:
    """Return the mistakes that show without building: in sections, paths, plugins, specs and the model's graph.

    Where a plugin fails, no key is called unknown, since it may be the one that registers it.
    """
    findings = limit_findings(check_sections(config.data, strict=config.settings.strict, used=config.used))
    findings += weights_mistakes(config.data)
    findings += all_outside(config.data, project_root())
    findings += check_packages(config.settings.track_packages)
    try:
        load_registry(config, registry)
    except ConfigError as error:
        others = beside(findings, limit_findings(spec_mistakes(config, registry, remember=False)))
        findings += [*error.findings, *(each for each in others if each.title not in UNKNOWN_KEYS)]
        return gathered(dict.fromkeys(findings), config)
    findings += beside(findings, limit_findings(spec_mistakes(config, registry)))
    findings += beside(findings, name_mistakes(config.data, registry))
    findings += model_mistakes(config, registry)
    return gathered(with_names_as_written(dict.fromkeys(findings), config), config)


def weights_mistakes(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the section `weights`, but for its files."""
    for path, value in walk(config.get("weights"), ("weights",)):
        if isinstance(value, str) and holds_secret(value):
            yield out_of_place(path, why="it is written down with every run")
    yield from check_section(config.get("weights"))
    run = config.get("run")
    if isinstance(run, Mapping) and isinstance(run.get("out_dir"), str):
        for source, path in placed(config.get("weights")):
            file = source.get("from") if isinstance(source, Mapping) else None
            if isinstance(file, str) and not is_path(file):
                hint = "Leave out what does not print, and let each part be shorter."
                yield Finding(f"`{ascii(file)[1:-1]}` is no path.", "invalid path", (*path, "from"), hint=hint)
            elif isinstance(file, str) and is_path(run["out_dir"]) and is_own(file, run["out_dir"], project_root()):
                message = f"`{file}` lies in the folder of this run, which training writes to."
                hint = "Start from another run's, or go on with this one: `doit resume` does."
                yield Finding(message, "weights of the run itself", (*path, "from"), hint=hint)


def beside(findings: Sequence[Finding], more: Iterable[Finding]) -> list[Finding]:
    """Return `more` without what the wrong kind of a component leads to, which is one of the `findings` already."""
    kinds = {finding.config_path[:-1] for finding in findings if finding.title == "wrong kind of component"}
    known = {finding.config_path for finding in findings}
    return [each for each in more if each.config_path not in known and not is_below(each, kinds)]


def is_below(finding: Finding, paths: Iterable[ConfigPath]) -> bool:
    return any(finding.config_path[: len(path)] == path for path in paths)


def spec_mistakes(config: ResolvedConfig, registry: Registry, *, remember: bool = True) -> Iterator[Finding]:
    """Yield what is wrong with specs; what is found without all plugins is not to be remembered."""
    for name, value in config.data.items():
        if name in COMPONENTS:
            judge = partial(remembered, section_mistakes) if remember else section_mistakes
            yield from judge(name, config, registry)
        elif name not in ("model", "settings"):
            for path, mapping in mappings(value, (name,)):
                yield from reserved_keys(mapping, path, strict=config.settings.strict)
    for section in SECTIONS:
        if section.cls:
            for name, value in section.members(config.data.get(section.name)).items():
                at = (section.name, name) if name else (section.name,)
                handed_on = isinstance(value, Mapping) and value.get("_type_") in HANDING_ON
                for path, mapping in mappings(value, at):  # itself, or phases in it
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
    if findings or ir is None:
        return findings
    if ir.parts:
        return list(several_mistakes(config, registry))
    return list(check_inputs(config.data, list(ir.program.inputs), dict(ir.program.defaults)))


def several_mistakes(config: ResolvedConfig, registry: Registry) -> Iterator[Finding]:
    """Yield that nothing calls the parts of a model, which only a step of the trainer's own does."""
    trainer = config.data.get("trainer")
    if isinstance(trainer, Mapping) and trainer.get("_type_") == "trainer.default":
        message = "`trainer.default` calls the model as one, and this one has several parts."
        hint = "Write a trainer with a `training_step` in a plugin, which calls them by `ctx.models`."
        yield Finding(message, "several models", ("trainer", "_type_"), hint=hint)


def judged_model(name: str, config: ResolvedConfig, registry: Registry) -> tuple[ModelIR | None, list[Finding]]:
    """Return what a model's section comes to, and what is wrong with it."""
    return read_model(config.data[name], registry, config.settings, (name,))
