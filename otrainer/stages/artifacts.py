"""Write the artifacts of stages, each with its version and a record of what the stage read."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.stages.built import VERSIONS, record_path
from otrainer.storage.atomic import write_changed
from otrainer.storage.canonical_json import canonical_json
from otrainer.storage.project import display_path
from otrainer.storage.stamps import FileStamp

if TYPE_CHECKING:
    from otrainer.storage.experiments import Experiment
    from otrainer.storage.records import Record

# These recorded a file of otrainer's own.
OF_OTRAINER = ("manifest", "schema")


def current(stage: str, root: Path) -> dict[str, Any]:
    """Return what a stage's record is held against: its version, and a file of otrainer's where it recorded those."""
    source = display_path(__file__, root) if stage in OF_OTRAINER else None
    return {"version": VERSIONS[stage], "source": source}


def encoded(stage: str, artifacts: dict[str, Any]) -> dict[str, bytes]:
    """Return artifacts as they are written, each with the version of its stage."""
    return {name: canonical_json({"version": VERSIONS[stage], **content}) for name, content in artifacts.items()}


def keep(experiment: Experiment, root: Path, stage: str, artifacts: dict[str, bytes], record: Record) -> None:
    """Write a stage's artifacts as far as they changed, then the record of what it read and left."""
    outputs: dict[str, FileStamp] = {}
    now = time.time_ns()
    for name, content in artifacts.items():
        path = root / experiment.built(name)
        write_changed(path, content, durable=False)  # what is lost in a power cut is made again
        stamp = FileStamp.seen(hashlib.sha256(content).hexdigest(), path.stat(), now)
        outputs[display_path(experiment.built(name), root)] = stamp
    whole = record._replace(outputs=outputs, version=VERSIONS[stage])
    whole.write(record_path(stage, experiment, root))
