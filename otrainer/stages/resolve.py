"""The stage `resolve`: YAML files and the environment become one plain config that knows its places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.config import Reads, ResolvedConfig, Settings, SourceMap, resolve_config
from otrainer.config.secrets import secrets_in
from otrainer.errors import ConfigError
from otrainer.stages.artifacts import encoded, keep
from otrainer.stages.built import PLUGINS, RESOLVED, SOURCES, needed
from otrainer.stages.outcome import Outcome
from otrainer.storage.records import Record, hash_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otrainer.storage.experiments import Experiment


def resolve(experiment: Experiment, root: Path) -> Outcome:
    """Turn YAML and the environment into resolved.json, sources.json and plugins.json."""
    config = resolve_config(root / experiment.file, root=root)
    read = {**config.reads.files, **dict.fromkeys(config.reads.missing)}
    record = Record(read, hash_env(config.reads.env), links=config.reads.links)
    keep(experiment, root, "resolve", resolved_artifacts(config), record)
    return Outcome()


def resolved_artifacts(config: ResolvedConfig) -> dict[str, bytes]:
    """Return what resolving leaves, as it is written."""
    plugins = {"imports": config.data.get("imports") or [], "settings": config.data.get("settings")}
    if secrets := secrets_in(config.data):
        plugins["secrets"] = sorted(secrets)  # whose variables plugins may read without retraining
    artifacts: dict[str, Any] = {
        RESOLVED: {"config": config.data, "used": sorted(config.used)},
        SOURCES: {"places": config.source_map.to_json(), "includes": config.source_map.includes},
        PLUGINS: plugins,
    }
    return encoded("resolve", artifacts)


def resolved(experiment: Experiment, root: Path) -> ResolvedConfig:
    """Return the config as the stage `resolve` left it. Raises ConfigError where that was altered since."""
    return config_of(*needed(experiment, root, RESOLVED, SOURCES))


def config_of(kept: Mapping[str, Any], sources: Mapping[str, Any]) -> ResolvedConfig:
    """Return the config of which `resolve` left these two artifacts."""
    return ResolvedConfig(
        data=kept["config"],
        settings=Settings.of(kept["config"].get("settings")),
        source_map=SourceMap.from_json(sources["places"], sources["includes"]),
        reads=Reads(),
        used=frozenset(kept["used"]),
    )


def resolve_fully(file: Path, root: Path) -> ResolvedConfig:
    """Return the resolved config; where it does not resolve, the mistakes behind the first ones are found as well."""
    try:
        return resolve_config(file, root=root)
    except ConfigError as error:
        partial: ResolvedConfig | None = getattr(error, "partial", None)
        if partial is None:
            raise
        from otrainer.stages.trials import all_mistakes  # torch comes with it

        raise ConfigError.of(all_mistakes(partial, error.findings)) from error


def examine(experiment: Experiment, root: Path) -> Outcome:
    """Raise all mistakes of an experiment that cannot be resolved, those behind the first ones included."""
    resolve_fully(root / experiment.file, root)
    return Outcome()
