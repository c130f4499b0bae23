"""What each stage would do now and why, found without executing any: nothing is imported, built or written."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otrainer.config import ResolvedConfig, resolve_config
from otrainer.config.source_map import SourceMap
from otrainer.datafiles import identify
from otrainer.definition import define, fingerprints
from otrainer.errors import ConfigError
from otrainer.kept import fits, kept_runs
from otrainer.queries.differences import (
    code_sentences,
    data_sentences,
    run_detail,
    run_places,
    value_sentences,
    version_drift,
)
from otrainer.records import Record, reasons
from otrainer.registry.usage import code_behind, listed_in
from otrainer.runs import read_run, why_unfinished
from otrainer.stages import VERSIONS, resolved_artifacts
from otrainer.tasks.freshness import artifact

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.tasks.experiments import Experiment


# Sections whose components declare no data files.
WITHOUT_FILES = ("run", "optimizer", "scheduler", "imports", "settings", "params", "model")


@dataclass
class Verdict:
    """Whether a stage would run (None where that cannot be told), why, and what else there is to say."""

    runs: bool | None = False
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Forecast:
    """The verdicts on an experiment's stages, each made from what the ones before would leave."""

    def __init__(self, experiment: Experiment, root: Path) -> None:
        self.experiment, self.root = experiment, root
        self.prints = fingerprints(root)
        self.error: ConfigError | None = None
        self.config: ResolvedConfig | None = None
        self.old = artifact(experiment, "resolved.json", root)
        self.manifest = artifact(experiment, "manifest.json", root)
        self.validated = artifact(experiment, "validated.json", root)

    def verdicts(self) -> dict[str, Verdict]:
        resolve = self.resolve()
        manifest = self.forecast_manifest()
        validate = self.validate(manifest)
        return {"resolve": resolve, "manifest": manifest, "validate": validate, "fit": self.fit()}

    def record_reasons(self, stage: str) -> list[str]:
        """Everything that changed since a stage recorded what it read and left."""
        try:
            record = Record.read(self.root / self.experiment.built(f"{stage}.record.json"))
        except FileNotFoundError:
            return ["It has not run yet."]
        except (OSError, ValueError):
            return ["Its record is damaged."]
        return list(reasons(record, {}, root=self.root, version=VERSIONS[stage]))

    def resolve(self) -> Verdict:
        found = self.record_reasons("resolve")
        try:
            self.config = resolve_config(self.root / self.experiment.file, root=self.root)
        except ConfigError as error:
            self.error = error
            return Verdict(True, found)
        old = self.old_config()
        if not found:
            return Verdict()
        values = (
            []
            if old is None
            else list(value_sentences(old, self.config.data, self.config.source_map, self.old_places()))
        )
        return Verdict(True, [*found, *values], [] if values or old is None else ["No value differs."])

    def old_config(self) -> dict[str, Any] | None:
        found = self.old.get("config") if isinstance(self.old, dict) else None
        return found if isinstance(found, dict) else None

    def old_places(self) -> SourceMap | None:
        sources = artifact(self.experiment, "sources.json", self.root)
        return SourceMap.from_json(sources["places"]) if isinstance(sources, dict) and "places" in sources else None

    def differing(self) -> list[str]:
        """The artifacts of `resolve` that would be written with another content than it left."""
        if self.config is None:
            return []
        try:
            record = Record.read(self.root / self.experiment.built("resolve.record.json"))
        except (OSError, ValueError):
            record = Record()
        left = {name.rpartition("/")[2]: stamp.sha256 for name, stamp in record.outputs.items()}
        made = resolved_artifacts(self.config)
        return [name for name, content in made.items() if left.get(name) != hashlib.sha256(content).hexdigest()]

    def forecast_manifest(self) -> Verdict:
        found = self.record_reasons("manifest")
        old = self.old_config()
        if found or old is None or self.config is None or "plugins.json" not in self.differing():
            return Verdict(bool(found), found)
        changed = [name for name in ("imports", "settings") if old.get(name) != self.config.data.get(name)]
        return Verdict(True, [f"`{name}` changed." for name in changed])

    def validate(self, manifest: Verdict) -> Verdict:
        if self.config is None:
            return Verdict(None, ["That cannot be told before the config resolves."])
        found = self.record_reasons("validate")
        if "resolved.json" in self.differing():
            old = self.old_config()
            values = [] if old is None else value_sentences(old, self.config.data, self.config.source_map)
            found += list(values) or ["The resolved config would be another."]
        if manifest.runs:
            found += self.manifest_changes()
        return Verdict(bool(found), list(dict.fromkeys(found)))

    def manifest_changes(self) -> Iterator[str]:
        """What would be another in the manifest, as far as the sources tell."""
        if not isinstance(self.manifest, dict):
            yield "There is no manifest yet."
            return
        old = self.old_config()
        if old is not None and self.config is not None and old.get("imports") != self.config.data.get("imports"):
            yield "Other plugins would register."
        for kind, prefix in (("modules", ""), ("ops", "op:")):
            for key, row in self.manifest[kind].items():
                code = self.prints.registered(row["plugin"], f"{prefix}{key}", row["target"])
                if code.digest != row["fingerprint"]:
                    yield f"The code of `{prefix}{key}` is another."
                elif row["plugin"] and self.doc_changed(row):
                    yield f"The description of `{prefix}{key}` is another."
        for plugin, digest in self.manifest["plugins"].items():
            if self.prints.register_of(plugin).digest != digest:
                yield f"`{plugin}` registers in another way."

    def doc_changed(self, row: Mapping[str, Any]) -> bool:
        """Whether the first line of a target's docstring is another one than the manifest has."""
        module, _, name = row["target"].partition(":")
        path = self.prints.file_of(module)
        if path is None or not row["doc"]:
            return False
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                doc = ast.get_docstring(node)
                return doc is not None and doc.splitlines()[0] != row["doc"]
        return False

    def fit(self) -> Verdict:
        if self.config is None:
            return Verdict(None, ["That cannot be told before the config resolves."])
        run_dir = self.root / self.config.data["run"]["out_dir"]
        try:
            run = read_run(run_dir)
        except ConfigError as error:
            return Verdict(None, [finding.message for finding in error.findings])
        rows, data = self.code_now(run), self.data_now(run)
        if rows is None or data is None:
            return self.untold(run)
        try:
            definition = define(self.config.data, rows, data, self.root)
        except OSError as error:
            return Verdict(None, [f"`{error.filename}`: {error.strerror}."])
        drift = list(version_drift(run["versions"])) if run else []
        if run is None or run["definition"] != definition:
            found = ["It was not trained yet."] if run is None else list(self.differences(run, run_dir, rows, data))
            back = next((path for path in kept_runs(run_dir) if fits(path, definition, complete=True)), None)
            if back is not None:
                where = back.relative_to(self.root) if back.is_relative_to(self.root) else back
                return Verdict(
                    True, found, [f"Nothing would be trained: the finished run in `{where}` would come back.", *drift]
                )
            return Verdict(True, found or ["Its definition changed."], drift)
        left = why_unfinished(run_dir, definition)
        receipt = self.experiment.built("fit.json")
        if left is None and not (self.root / receipt).exists():
            return Verdict(True, [f"`{receipt}` is gone."], ["Nothing would be trained: the run is complete.", *drift])
        if left is None:
            return Verdict(False, [], drift)
        step = (
            f" It would go on from step {run['global_step']:,}."
            if run["state"] != "complete" and run["outputs"]
            else ""
        )
        return Verdict(True, [left + step], drift)

    def untold(self, run: Mapping[str, Any] | None) -> Verdict:
        """Where a component is new, what it declares is known only once it was validated."""
        assert self.config is not None  # noqa: S101 - asked only where it resolves
        if run is None:
            return Verdict(True, ["It was not trained yet."])
        values = list(value_sentences(run["config"], self.config.data, self.config.source_map))
        return Verdict(True if values else None, values or ["That cannot be told before it is validated."])

    def code_now(self, run: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
        """The rows of the code as sources are now; None where neither manifest nor run knows a key."""
        assert self.config is not None  # noqa: S101 - asked only where it resolves
        known = {row["key"]: (row["target"], row["plugin"]) for row in run["code"]} if run else {}
        try:
            lookup = listed_in(self.manifest) if isinstance(self.manifest, dict) else known.__getitem__
            return code_behind(self.config.data, lookup, self.prints)
        except (KeyError, TypeError):
            return None

    def data_now(self, run: Mapping[str, Any] | None) -> dict[str, dict[str, Any]] | None:
        """The identities of the files that were declared, as they are now; None where others may be declared."""
        assert self.config is not None  # noqa: S101 - asked only where it resolves
        if isinstance(self.validated, dict) and "data_files" in self.validated:
            old, names = self.validated["config"], self.validated["data_files"]
        elif run is not None:
            old, names = run["config"], run["data"]
        else:
            return None
        sections = [name for name in self.config.data if name not in WITHOUT_FILES]
        if names and any(old.get(name) != self.config.data.get(name) for name in sections):
            return None
        try:
            stamps = {name: identify(name, self.root) for name in names}
        except OSError:
            return None
        return {name: {"sha256": stamp.sha256, "size": stamp.size} for name, stamp in stamps.items()}

    def differences(
        self, run: Mapping[str, Any], run_dir: Path, rows: list[dict[str, Any]], data: Mapping[str, Any]
    ) -> Iterator[str]:
        """What tells the run that is there from the one that would be trained."""
        assert self.config is not None  # noqa: S101 - asked only where it resolves
        yield from value_sentences(run["config"], self.config.data, self.config.source_map, run_places(run_dir))
        yield from code_sentences(run["code"], rows, run_detail(run_dir), self.prints)
        yield from data_sentences(run["data"], data)
