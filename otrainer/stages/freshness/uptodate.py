"""Whether a stage has to run: by its own record, or by what its run directory says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage.canonical_json import read_json
from otrainer.storage.experiments import ALL, all_experiments
from otrainer.storage.records import Record, why_stale
from otrainer.storage.runs.run_json import why_unfinished

if TYPE_CHECKING:
    from otrainer.storage.experiments import Experiment

KEYS = "keys.json"


def is_unchanged(stage: str, experiment: Experiment, root: Path) -> bool:
    """Whether all that the stage read and left is as its record says."""
    from otrainer.stages.artifacts import current

    return why_stale(root / experiment.built(f"{stage}.record.json"), root=root, **current(stage, root)) is None


def why_schema_stale(root: Path) -> str | None:
    """Why the schema is not of just the experiments that there are, as they are; None if it is."""
    from otrainer.stages.artifacts import current

    path = root / ALL.built("schema.record.json")
    stale = why_stale(path, root=root, **current("schema", root))
    if stale is not None:
        return stale
    there = {experiment.built(KEYS).as_posix() for experiment in all_experiments(root)}
    made_of = {name for name in Record.read(path).files if name.endswith(f"/{KEYS}")}
    return None if there == made_of else "There are other experiments than those that it was made of."


def is_finished(experiment: Experiment, root: Path) -> bool:
    """Whether the run directory holds a complete run of the validated definition."""
    run = validated_run(experiment, root)
    try:
        return run is not None and why_unfinished(root / run["run_dir"], run["definition"]) is None
    except ConfigError:
        return False  # a damaged run.json: the stage itself will say so


def validated_run(experiment: Experiment, root: Path) -> dict[str, str] | None:
    """Run directory and definition, as `validate` left them; None where it left nothing that can be read."""
    validated = artifact(experiment, "validated.json", root)
    try:
        return {"run_dir": str(validated["run_dir"]), "definition": str(validated["definition"])}
    except (TypeError, KeyError):
        return None


def configured_run_dir(experiment: Experiment, root: Path) -> Path | None:
    """Where the resolved config wants the run, before anybody has validated it; None for where none may be."""
    from otrainer.storage.inside_project import way_out

    resolved = artifact(experiment, "resolved.json", root)
    try:
        run_dir = Path(resolved["config"]["run"]["out_dir"])
    except (TypeError, KeyError):
        return None
    return None if way_out(run_dir, root) else root / run_dir


def artifact(experiment: Experiment, name: str, root: Path) -> Any:
    try:
        return read_json(root / experiment.built(name))
    except (OSError, ValueError, RecursionError):
        return None
