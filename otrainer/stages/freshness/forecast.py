"""What each stage would do now and why, found without executing any: nothing is imported, built or written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otrainer.config import ResolvedConfig, resolve_config
from otrainer.config.source_map import SourceMap
from otrainer.errors import ConfigError
from otrainer.stages.artifacts import current
from otrainer.stages.definition import fingerprints
from otrainer.stages.freshness.manifests import manifest_changes, rows_of
from otrainer.stages.freshness.run import all_value_sentences
from otrainer.stages.freshness.training import fit_verdict
from otrainer.stages.freshness.uptodate import artifact
from otrainer.stages.freshness.verdict import FAILS, RUNS, UNTOLD, Verdict
from otrainer.stages.resolve import resolved_artifacts
from otrainer.storage.records import Record, reasons

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment

NOT_RUN = "It has not run yet."


class Forecast:
    """The verdicts on an experiment's stages, each made from what the ones before would leave."""

    def __init__(self, experiment: Experiment, root: Path) -> None:
        self.experiment, self.root = experiment, root
        self.prints = fingerprints(root)
        self.error: ConfigError | None = None
        self.config: ResolvedConfig | None = None
        self.old = self.kept("resolved.json", "config")
        self.manifest = self.kept("manifest.json", "modules", "ops", "plugins")
        self.validated = self.kept("validated.json", "config", "code", "data_files")

    def kept(self, name: str, *keys: str) -> dict[str, Any] | None:
        """An artifact with mappings or lists at `keys`; None where it is not there, or damaged."""
        found = artifact(self.experiment, name, self.root)
        whole = isinstance(found, dict) and all(isinstance(found.get(key), dict | list) for key in keys)
        return found if whole else None

    def verdicts(self) -> dict[str, Verdict]:
        return {
            "resolve": self.resolve(),
            "manifest": self.forecast_manifest(),
            "validate": self.validate(),
            "fit": fit_verdict(self),
        }

    def record_reasons(self, stage: str, *, outputs: bool = True) -> list[str]:
        """Everything that changed since a stage recorded what it read, and what it left unless `outputs` is false."""
        path = self.experiment.built(f"{stage}.record.json")
        try:
            record = Record.read(self.root / path)
        except FileNotFoundError:
            return [NOT_RUN]
        except (OSError, ValueError):
            return [f"Its record `{path.as_posix()}` is damaged."]
        record = record if outputs else record._replace(outputs={})
        return list(reasons(record, {}, root=self.root, **current(stage, self.root)))

    def declares_anew(self) -> bool:
        """Whether something changed that a component read to say which files it declares."""
        try:
            record = Record.read(self.root / self.experiment.built("validate.record.json"))
        except (OSError, ValueError):
            return False
        declared = self.validated["data_files"] if self.validated else {}
        files = {name: stamp for name, stamp in record.files.items() if name not in declared}
        asked = Record(files, listings=record.listings)
        return next(reasons(asked, {}, root=self.root), None) is not None

    def resolve(self) -> Verdict:
        found = self.record_reasons("resolve")
        try:
            self.config = resolve_config(self.root / self.experiment.file, root=self.root)
        except ConfigError as error:
            self.error = error
            return Verdict(FAILS, found)
        if not found or self.old is None:
            return Verdict.by(found)
        values = list(self.value_changes(self.old["config"]))
        return Verdict(RUNS, [*found, *values], [] if values else ["No value differs."])

    def value_changes(self, old: Mapping[str, Any]) -> Iterator[str]:
        """What differs from an earlier config, whose places `resolve` left."""
        assert self.config is not None  # noqa: S101 - asked only where it resolves
        sources = artifact(self.experiment, "sources.json", self.root)
        places = SourceMap.from_json(sources["places"]) if isinstance(sources, dict) and "places" in sources else None
        return all_value_sentences(old, self.config.data, self.config.source_map, places)

    def differs(self, name: str) -> bool:
        """Whether `resolve` would write an artifact with another content than it left."""
        if self.config is None:
            return False
        content = resolved_artifacts(self.config)[name]
        path = self.experiment.built(name)
        try:
            left = Record.read(self.root / self.experiment.built("resolve.record.json")).outputs[path.as_posix()].sha256
        except (OSError, ValueError, KeyError):
            try:
                left = hashlib.sha256((self.root / path).read_bytes()).hexdigest()
            except OSError:
                return True
        return left != hashlib.sha256(content).hexdigest()

    def forecast_manifest(self) -> Verdict:
        found = self.record_reasons("manifest")
        if not found and self.differs("plugins.json"):
            found = [f"`{name}` changed." for name in self.changed_plugins()] or ["`plugins.json` would be another."]
        return Verdict.by(found)

    def changed_plugins(self) -> list[str]:
        """Which of the sections that decide about plugins are others now."""
        if self.old is None or self.config is None:
            return []
        old, new = self.old["config"], self.config.data
        return [name for name in ("imports", "settings") if old.get(name) != new.get(name)]

    def validate(self) -> Verdict:
        if self.config is None:
            return Verdict(UNTOLD, ["The config does not resolve."])
        found = self.record_reasons("validate")
        if found == [NOT_RUN]:
            return Verdict(RUNS, found)
        found += self.config_changes()
        if self.record_reasons("manifest", outputs=False) or self.differs("plugins.json"):
            found += manifest_changes(self.manifest, self.used(), self.prints)
        else:
            found += self.code_changes()
        return Verdict.by(list(dict.fromkeys(found)))

    def config_changes(self) -> list[str]:
        """What differs from the config that was validated."""
        assert self.config is not None  # noqa: S101 - asked only where it resolves
        known = self.validated or self.old
        values = list(self.value_changes(known["config"])) if known else []
        if values or not self.differs("resolved.json"):
            return values
        if known and list(known["config"]) != list(self.config.data):
            return ["The sections come in another order."]
        return ["`resolved.json` would be another."]

    def used(self) -> list[str]:
        """The keys of the code that was validated."""
        return [row["key"] for row in self.validated["code"]] if self.validated else []

    def code_changes(self) -> Iterator[str]:
        """What differs between the manifest as it is and as it was when it was validated last."""
        if self.manifest is None or self.validated is None:
            return
        now = rows_of(self.manifest)
        for row in self.validated["code"]:
            if row["key"] in now and now[row["key"]]["fingerprint"] != row["fingerprint"]:
                yield f"The code of `{row['key']}` changed."
