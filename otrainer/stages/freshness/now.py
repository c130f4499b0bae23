"""An experiment as its files are now, beside what its stages left: nothing is imported, built or written for it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from otrainer.config import resolve_config
from otrainer.errors import ConfigError
from otrainer.registry.dotted_names import sources_of
from otrainer.stages.artifacts import current
from otrainer.stages.built import MANIFEST, PLUGINS, RESOLVED, SOURCES, VALIDATED, as_left, record_path
from otrainer.stages.definition import fingerprints, search_as_left
from otrainer.stages.freshness.decide import decide
from otrainer.stages.resolve import config_of, resolved_artifacts
from otrainer.storage.project import display_path
from otrainer.storage.records import Record, reasons
from otrainer.storage.regular import read_regular
from otrainer.storage.runs.fields import HASHED

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from otrainer.config import ResolvedConfig
    from otrainer.stages.freshness.decide import Verdict
    from otrainer.storage.experiments import Experiment


class Now:
    """The config that `resolve` left or would leave, or the `error` that this ends with, and the artifacts there are.

    `decided` is what the light decision says of each stage before training.
    """

    def __init__(self, experiment: Experiment, root: Path) -> None:
        self.experiment, self.root = experiment, root
        search_as_left(experiment, root)
        self.prints = fingerprints(root)
        names = (RESOLVED, MANIFEST, VALIDATED)
        self.old, self.manifest, self.validated = (as_left(experiment, name, root) for name in names)
        stages = ("resolve", "manifest", "validate")
        self.decided: dict[str, Verdict] = {stage: decide(stage, experiment, root, every=True) for stage in stages}
        self.config: ResolvedConfig | None = None
        self.error: ConfigError | None = None
        try:
            sources = as_left(experiment, SOURCES, root)
            is_left = self.decided["resolve"].is_up_to_date and self.old is not None and sources is not None
            self.config = config_of(self.old, sources) if is_left else resolve_config(root / experiment.file, root=root)
        except ConfigError as error:
            self.error = error

    def record(self, stage: str) -> Record | None:
        """Return the record of a stage; None where there is none, or it is damaged."""
        try:
            return Record.read(record_path(stage, self.experiment, self.root))
        except (OSError, ValueError):
            return None

    def differs(self, name: str) -> bool:
        """Return whether `resolve` would write an artifact with another content than it left."""
        if self.config is None or self.decided["resolve"].is_up_to_date:
            return False
        path, record = self.experiment.built(name), self.record("resolve")
        left = record.outputs.get(path.as_posix()) if record else None
        try:
            digest = left.sha256 if left else hashlib.sha256(read_regular(self.root / path)).hexdigest()
        except OSError:
            return True
        return digest != hashlib.sha256(resolved_artifacts(self.config)[name]).hexdigest()

    def lists_anew(self) -> bool:
        """Return whether `manifest` would read something else than it did, whatever became of what it left."""
        record = self.record("manifest")
        if record is None or self.differs(PLUGINS):
            return True
        return any(reasons(record._replace(outputs={}), {}, root=self.root, **current("manifest", self.root)))

    def declares_anew(self, known: AbstractSet[str] = frozenset()) -> bool:
        """Return whether something changed that a component read to say which files it declares.

        What is `known` by its name is left out: it is for the caller to see that it is as it was for a run.
        """
        record = self.record("validate")
        if record is None:
            return False
        declared = self.validated["data_files"] if self.validated else {}
        code = self.validated["code"] if self.validated else ()
        sources = sources_of((row["target"] for row in code if row["plugin"] is None), self.prints).values()
        told = {*declared, *known, *(display_path(file, self.root) for file in sources)}
        files = {name: stamp for name, stamp in record.files.items() if name not in told}
        facts = {name: without(getattr(record, name), known) for name in HASHED}
        kept = record._replace(files=files, outputs={}, version=Record().version, **facts)
        return any(reasons(kept, {}, root=self.root))


def without(facts: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: fact for name, fact in facts.items() if name not in names}
