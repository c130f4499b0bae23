"""Write one JSON Schema of all configs of a project, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.version

from otrainer.commands.schema import schema_of
from otrainer.commands.schema.values import FILE
from otrainer.registry import build_registry
from otrainer.registry.describe.interface import interface_of
from otrainer.stages.artifacts import keep
from otrainer.stages.built import KEYS, as_left
from otrainer.stages.definition import look
from otrainer.stages.manifest import own_modules
from otrainer.stages.outcome import Outcome
from otrainer.storage.canonical_json import canonical_json
from otrainer.storage.experiments import ALL, all_experiments
from otrainer.storage.project import display_path
from otrainer.storage.records import Record, stamp_files
from otrainer.storage.stamps import FileStamp

if TYPE_CHECKING:
    from pathlib import Path

    from otrainer.storage.experiments import Experiment

HEADER = "# yaml-language-server: $schema=../../build/schema.json"


def schema(_all: Experiment, root: Path) -> Outcome:
    """Write `build/schema.json` from what the manifests' stages left of all experiments, as far as they did."""
    experiments, registry = all_experiments(root), build_registry()
    sources = look(root).modules([*own_modules(registry), __name__]).values()
    record = Record({**stamp_files([*sources, FILE, torch.version.__file__], root), **stamps(experiments, root)})
    several = {each.name: keys_of(each, root) for each in experiments}
    known = [keys for keys in several.values() if keys is not None]
    document = schema_of([interface_of(registry, built_in=True), *known])
    keep(ALL, root, "schema", {"schema.json": canonical_json(document)}, record)
    lacking = [name for name, keys in several.items() if keys is None]
    return Outcome(report=summary(len(known), lacking))


def stamps(experiments: list[Experiment], root: Path) -> dict[str, FileStamp | None]:
    """Stamp what the schema is made of besides otrainer; None for an experiment without a manifest so far."""
    found: dict[str, FileStamp | None] = {}
    for experiment in experiments:
        path = experiment.built(KEYS)
        try:
            found[display_path(path, root)] = FileStamp.of(root / path)
        except OSError:
            found[display_path(path, root)] = None
    return found


def keys_of(experiment: Experiment, root: Path) -> dict[str, Any] | None:
    """Return the keys that an experiment's plugins register; None where this version has not left them."""
    keys: dict[str, Any] | None = as_left(experiment, KEYS, root)
    return keys


def summary(known: int, lacking: list[str]) -> str:
    """Say where the schema is, and how an editor comes to use it."""
    without = f", without the plugins of {', '.join(lacking)}" if lacking else ""
    many = f"{known} experiment{'' if known == 1 else 's'}"
    where = f"an editor reads it where a file begins with `{HEADER}`"
    return f"build/schema.json holds the keys of {many}{without}; {where}"
