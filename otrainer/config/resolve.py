"""Turns YAML into plain data that remembers where it came from."""

from __future__ import annotations

import os
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otrainer.collector import collector_paused
from otrainer.config.errors import ResolveError
from otrainer.config.interpolate import Interpolator
from otrainer.config.load import load_tree
from otrainer.config.merge import Merger
from otrainer.config.nodes import Mapping, to_data, without
from otrainer.config.plain import tree_of
from otrainer.config.reads import Reads, Recorder
from otrainer.config.settings import Settings, check_schema, parse_settings
from otrainer.config.source_map import SourceMap
from otrainer.config.templates import expand_templates
from otrainer.errors import ConfigError, Finding

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


def resolve_config(
    source: Source, *, env: AnyMapping[str, str] | None = None, root: Path | None = None
) -> ResolvedConfig:
    """Resolve a YAML file or a dict: `defaults`, merging, templates, `${...}` and settings.

    `env` stands for the environment, `root` is what shown paths are relative to (default: the working directory).

    Raises ConfigError with all mistakes that can be found together. Its `reads` says what was read; its `partial` is a
    ResolvedConfig with each broken value left as raw text, or None where too little is left.
    """
    recorder = Recorder(os.environ if env is None else env, root)
    with collector_paused():
        try:
            return resolve(source, recorder)
        except ResolveError:
            raise
        except ConfigError as error:
            located = error.located(SourceMap(includes=recorder.includes))
            raise ResolveError.after(located.findings, recorder.reads()) from None


def resolve(source: Source, recorder: Recorder) -> ResolvedConfig:
    findings: list[Finding] = []
    tree = read_tree(source, recorder, findings)
    try:
        tree = expand_templates(tree, findings)
    except ConfigError as error:
        raise ConfigError.of([*error.findings, *findings, *other_findings(tree, recorder)]) from None
    interpolator = Interpolator(tree, recorder)
    tree = interpolator.run()
    findings += interpolator.findings
    settings = parse_settings(tree.items.get("settings"), findings)
    check_schema(tree, findings)
    data: Any = to_data(tree)
    places = SourceMap(tree, includes=recorder.includes)
    resolved = ResolvedConfig(data, settings, places, recorder.reads(), frozenset(interpolator.used))
    if findings:
        raise ResolveError.after((finding.located(places) for finding in findings), resolved.reads, resolved)
    return resolved


def other_findings(tree: Mapping, recorder: Recorder) -> list[Finding]:
    """What is wrong in a tree whose templates cannot be expanded, but for what these might have put right."""
    interpolator = Interpolator(without(tree, "templates"), recorder, lenient=True)
    findings = interpolator.findings
    rest = interpolator.run()
    parse_settings(rest.items.get("settings"), findings)
    if "_template_" not in rest.items:
        check_schema(rest, findings)
    return findings


def read_tree(source: Source, recorder: Recorder, findings: list[Finding]) -> Mapping:
    """The merged tree of a file and its defaults, or that of a dict."""
    if isinstance(source, AnyMapping):
        return Merger(findings).lay_mapping(None, tree_of(source), ())
    return load_tree(source, recorder, findings)
