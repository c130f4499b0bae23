"""Turn YAML into plain data that remembers where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otrainer.config.budget import Budget
from otrainer.config.findings import Findings
from otrainer.config.glued import glued_entries
from otrainer.config.interpolate import Interpolator
from otrainer.config.limits import Limits, limits_in_force, room_for
from otrainer.config.load import load_tree
from otrainer.config.merge import Merger
from otrainer.config.nodes import Mapping, to_data, without
from otrainer.config.plain import tree_of
from otrainer.config.reads import Reads, Recorder
from otrainer.config.settings import Settings, check_schema, parse_settings
from otrainer.config.source_map import SourceMap
from otrainer.config.templates import expand_templates
from otrainer.errors import ConfigError, Finding, ordered
from otrainer.storage.gc_pause import collector_paused

Source = str | os.PathLike[str] | AnyMapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """A config as plain data, with what it depends on and where each value was written.

    `used` names the top-level sections to which some `${...}` refers.
    """

    data: dict[str, Any]
    settings: Settings
    source_map: SourceMap
    reads: Reads
    used: frozenset[str]


class ResolveError(ConfigError):
    """A config that could not be resolved.

    `reads` is what was read until then. `partial`, where there is one, is the config with each broken value left as its
    raw text, so that the rest of it can be checked and all findings be reported together.
    """

    reads: Reads
    partial: ResolvedConfig | None

    @classmethod
    def after(cls, findings: Iterable[Finding], reads: Reads, partial: ResolvedConfig | None = None) -> ResolveError:
        """Return an error that carries `findings`."""
        error = cls.__new__(cls)
        error._keep(tuple(ordered(findings)))
        error.reads, error.partial = reads, partial
        return error


def resolve_config(
    source: Source, *, env: AnyMapping[str, str] | None = None, root: Path | None = None, limits: Limits | None = None
) -> ResolvedConfig:
    """Resolve a YAML file or a dict: `defaults`, merging, templates, `${...}` and settings.

    `env` stands for the environment, `root` is what shown paths are relative to (default: the working directory),
    `limits` what the config may take (default: what OTRAINER_LIMITS says).

    Raises ResolveError with all mistakes that can be found together.
    """
    recorder = Recorder(os.environ if env is None else env, root)
    limits = limits or limits_in_force()
    with collector_paused(), room_for(limits.depth):
        try:
            return resolve(source, recorder, Budget(limits))
        except ResolveError:
            raise
        except ConfigError as error:
            located = error.located(SourceMap(includes=recorder.includes))
            raise ResolveError.after(located.findings, recorder.reads()) from None


def resolve(source: Source, recorder: Recorder, budget: Budget) -> ResolvedConfig:
    """Resolve `source`. Raises ResolveError where the whole tree is known, else ConfigError."""
    findings = Findings(budget.limits.mistakes)
    tree = read_tree(source, recorder, findings, budget)
    if glued := list(glued_entries(tree)):
        raise ConfigError.of(glued)  # all else may come of it
    try:
        tree = expand_templates(tree, findings, budget)
    except ConfigError as error:
        raise ConfigError.of([*error.findings, *findings.all(), *other_findings(tree, recorder, budget)]) from None
    interpolator = Interpolator(tree, recorder, budget)
    tree = interpolator.run()
    settings = parse_settings(tree.items.get("settings"), findings)
    check_schema(tree, findings)
    budget.within(tree, (), "As it is resolved,")
    data: Any = to_data(tree)
    places = SourceMap(tree, includes=recorder.includes)
    resolved = ResolvedConfig(data, settings, places, recorder.reads(), frozenset(interpolator.used))
    if found := [*findings.all(), *interpolator.findings.all()]:
        raise ResolveError.after((finding.located(places) for finding in found), resolved.reads, resolved)
    return resolved


def other_findings(tree: Mapping, recorder: Recorder, budget: Budget) -> list[Finding]:
    """Find what is wrong in a tree whose templates cannot be expanded, but for what these might have put right."""
    interpolator = Interpolator(without(tree, "templates"), recorder, budget, lenient=True)
    findings = interpolator.findings
    rest = interpolator.run()
    parse_settings(rest.items.get("settings"), findings)
    if "_template_" not in rest.items:
        check_schema(rest, findings)
    return findings.all()


def read_tree(source: Source, recorder: Recorder, findings: Findings, budget: Budget) -> Mapping:
    """Return the merged tree of a file and its defaults, or that of a dict."""
    if isinstance(source, AnyMapping):
        return Merger(findings, budget).lay_mapping(None, tree_of(source, budget), ())
    return load_tree(source, recorder, findings, budget)
