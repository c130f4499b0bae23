"""The plan of a run: a validated experiment as plain data, and the definition that tells it from every other one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otrainer.config import ResolvedConfig, Settings
from otrainer.engine.starting.section import sources_in
from otrainer.errors import ConfigError, Finding
from otrainer.registry.plugins.import_reads import read_by
from otrainer.registry.usage import code_behind, registered_in
from otrainer.stages.checks import find_mistakes
from otrainer.stages.declared import called, declared_by, similar, told_at
from otrainer.stages.declaring import built, declaring
from otrainer.stages.definition import define
from otrainer.stages.trials import try_out
from otrainer.storage.data_files import identify
from otrainer.storage.project import display_path
from otrainer.storage.runs.asked import as_fields
from otrainer.storage.watch_reads import ReadTracker, tracking

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.fingerprint import Fingerprints
    from otrainer.registry import Registry
    from otrainer.storage.stamps import FileStamp

VERSION = 1
FROM_ROOT = "Relative paths start from the project's folder."


@dataclass(frozen=True)
class Plan:
    """What a run is made of. `definition` is one sha256 over all that decides what is trained.

    `declared` has what components read and asked to say which data files they declare, each as a record has it.
    """

    name: str
    experiment: str | None
    run_dir: str
    definition: str
    code: list[dict[str, Any]]
    model: dict[str, Any]
    data_files: dict[str, dict[str, Any]]
    config: dict[str, Any]
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **vars(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(**{key: value for key, value in data.items() if key != "version"})

    @property
    def resume_from(self) -> str | None:
        """Return the checkpoint that the config names to begin with, if any."""
        named: str | None = self.config["run"].get("resume_from")
        return named

    @property
    def allowed(self) -> Settings:
        """Return the settings under which the run's plugins and specs were allowed."""
        return Settings.of(self.config.get("settings"))


def make_plan(
    config: ResolvedConfig,
    registry: Registry,
    prints: Fingerprints,
    *,
    experiment: str | None,
    root: Path,
    tracker: ReadTracker | None = None,
) -> Plan:
    """Validate an experiment and say what it trains; plugins are loaded into `registry`.

    `tracker` sees what components read to say which files they declare.
    Raises ConfigError with everything that is wrong.
    """
    tracker = tracker or ReadTracker(root)
    try:
        model = try_out(config, registry, find_mistakes(config, registry))
        data_files = stamp_data(config, registry, prints, root, tracker)
        data_files |= read_on_import(config, prints)
        data_files |= {
            (name := display_path(each.file, root)): identify(name, root) for each in sources_in(config.data)
        }
    except ConfigError as error:
        raise error.located(config.source_map) from error.__cause__
    run, code = config.data["run"], code_behind(config.data, registered_in(registry), prints)
    identities = {name: {"sha256": stamp.sha256, "size": stamp.size} for name, stamp in data_files.items()}
    return Plan(
        name=run["name"],
        experiment=experiment,
        run_dir=run["out_dir"],
        definition=define(config.data, code, identities, root),
        code=code,
        model=model,
        data_files=identities,
        config=config.data,
        declared=as_fields(tracker, tracker.files),
    )


def stamp_data(
    config: ResolvedConfig, registry: Registry, prints: Fingerprints, root: Path, tracker: ReadTracker
) -> dict[str, FileStamp]:
    """Return each file or folder that a component declares by `files()`; raise ConfigError for the unreadable ones."""
    stamps: dict[str, FileStamp] = {}
    unread: list[Finding] = []
    for spec, path in declaring(config, registry, prints):
        with tracking(tracker):
            component = built(spec, path, config, registry)
            if not callable(getattr(component, "files", None)):
                continue
            files = declared_by(component, spec, path)
        before = len(unread)
        for file in files:
            name = display_path(file, root)
            if not (root / name).exists():
                message, near = f"There is no data file `{name}`.", similar(root / name, root)
                unread.append(Finding(message, "data file not found", path, suggestions=near, hint=FROM_ROOT))
                continue
            try:
                stamps[name] = identify(name, root)
            except OSError as error:
                shown = display_path(error.filename or name, root)
                hint = "Make it readable for this user."
                unread.append(Finding(f"`{shown}`: {error.strerror}.", "unreadable data", path, hint=hint))
        if len(unread) == before and callable(getattr(component, "check", None)):
            with told_at(path, f"In `check`, {called(spec)}"):
                try:
                    component.check()
                except ConfigError as error:
                    unread += error.under(path).findings
    if unread:
        raise ConfigError.of(unread)
    return stamps


def read_on_import(config: ResolvedConfig, prints: Fingerprints) -> dict[str, FileStamp]:
    """Return what plugins read in the project when they are imported, as it was then."""
    read = read_by(prints.modules(config.data.get("imports") or ()))
    return {name: stamp for name, stamp in read.items() if stamp is not None}
