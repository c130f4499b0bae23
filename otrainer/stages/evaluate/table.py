"""An evaluation as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otrainer.diagnostics.say import in_a_line
from otrainer.stages.built import validated_run
from otrainer.storage.runs.evaluations import checkpoint_of, found_in, read_evaluations
from otrainer.storage.runs.run_json import read_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.storage.experiments import Experiment
    from otrainer.storage.runs.evaluations import Asked


def table_of(name: str, entry: Mapping[str, Any]) -> str:
    """Return an evaluation as a headline and a line for each value."""
    samples = entry.get("samples")
    counted = f", {samples:,} samples" if isinstance(samples, int) else ""
    head = f"{name}: {entry['split']} with {entry['file']} (step {entry['step']:,}){counted}"
    values = {in_a_line(key): shown(value) for key, value in entry["values"].items()}
    arrays = entry.get("arrays")
    values |= {in_a_line(key): shaped(value) for key, value in (arrays if isinstance(arrays, dict) else {}).items()}
    width = max(map(len, values), default=0)
    lines = [f"  {key:<{width}}  {value}" for key, value in values.items()]
    kept = (
        [f"  predictions: {in_a_line(entry['predictions'])}, in the run's folder"] if entry.get("predictions") else []
    )
    return "\n".join([in_a_line(head), *lines, *kept])


def kept_table(experiment: Experiment, asked: Asked, root: Path) -> str:
    """Return the table of an evaluation that is kept beside the validated run; empty where there is none."""
    run = validated_run(experiment, root)
    if run is None:
        return ""
    run_dir = root / run["run_dir"]
    name, _ = checkpoint_of(run_dir, read_run(run_dir) or {}, asked.checkpoint, root)
    entry = found_in(read_evaluations(run_dir), asked.split, name)
    return "" if entry is None else table_of(experiment.name, entry)


def shaped(value: Any) -> str:
    """Return the shape of an array in words, and where it is: the run's folder is named in the first line."""
    sizes = []
    while isinstance(value, list):
        sizes.append(str(len(value)))
        value = value[0] if value else None
    return f"{' x '.join(sizes) or 1} values, in evaluation.json"


def shown(value: Any) -> str:
    """Return a value with as many digits as tell models apart."""
    if value is None:
        return "not finite"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
