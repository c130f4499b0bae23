"""Explain keys of the registry, where torch may be imported: its docstrings are read too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otrainer.commands.explain.find import found
from otrainer.commands.explain.render import FORMS, listed
from otrainer.commands.explain.topics import section_topics, topics_of
from otrainer.registry import build_registry
from otrainer.registry.describe.interface import interface_of
from otrainer.stages.built import KEYS, MANIFEST, as_left
from otrainer.stages.checks import load_registry
from otrainer.stages.outcome import Outcome
from otrainer.stages.resolve import resolve_fully
from otrainer.storage.experiments import ALL, all_experiments
from otrainer.storage.project import project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.commands.explain.topics import Topic
    from otrainer.storage.experiments import Experiment


def explain_keys(experiment: Experiment, root: Path, asked: Mapping[str, str]) -> Outcome:
    """Report what `KEY` names, as `FORMAT` says; nothing is written.

    Raises ConfigError where nothing has such a name, and where a plugin cannot be loaded.
    """
    topics = section_topics() | topics_of(interface_of(build_registry(), built_in=True), {})
    topics |= kept_topics(root) if experiment == ALL else loaded_topics(experiment, root)
    form = asked.get("FORMAT", "text")
    wanted = found(asked["KEY"], topics) if asked.get("KEY", "").strip() else None
    if wanted is None and form == "text":
        return Outcome(report=listed(topics.values()))
    return Outcome(report=FORMS[form](list(topics.values()) if wanted is None else wanted))


def loaded_topics(experiment: Experiment, root: Path) -> dict[str, Topic]:
    """Return what the plugins of an experiment register, as they are now, each with its place."""
    config, registry = resolve_fully(root / experiment.file, root), build_registry()
    with project(root):
        load_registry(config, registry)
    entries = {name: registry.get_module(name) for name in registry.list_modules()}
    ops = {f"op:{name}": registry.op_entry(name) for name in registry.list_ops()}
    places = {name: f"by {entry.plugin}, {entry.origin}" for name, entry in {**entries, **ops}.items() if entry.plugin}
    return topics_of(interface_of(registry, built_in=False), places)


def kept_topics(root: Path) -> dict[str, Topic]:
    """Return what plugins registered when the experiments were last read, of those that were."""
    topics: dict[str, Topic] = {}
    for experiment in all_experiments(root):
        keys, manifest = as_left(experiment, KEYS, root), as_left(experiment, MANIFEST, root)
        if keys is not None and manifest is not None:
            topics |= {name: each for name, each in topics_of(keys, plugins_in(manifest)).items() if name not in topics}
    return topics


def plugins_in(manifest: Mapping[str, Any]) -> dict[str, str]:
    modules, ops = manifest["modules"], {f"op:{name}": row for name, row in manifest["ops"].items()}
    return {name: f"by {row['plugin']}" for name, row in {**modules, **ops}.items() if row["plugin"]}
