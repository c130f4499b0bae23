"""Where a run begins: at nothing, in place, or as a child of a run that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.runs import read_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otrainer.plan import Plan

LAST = "last.pt"


@dataclass(frozen=True)
class Start:
    """A checkpoint to continue from, if any, and its `step` where it is known.

    `keep` says that what is in the run directory is kept aside first.
    """

    checkpoint: Path | None = None
    keep: bool = False
    step: int | None = None
    lineage: dict[str, Any] = field(default_factory=dict)


def first_start(plan: Plan, root: Path) -> Start:
    """How training begins: an interrupted run of this definition goes on; anything else starts anew."""
    found, last = read_run(root / plan.run_dir), last_checkpoint(plan.config, plan.run_dir, root)
    interrupted = found is not None and found["definition"] == plan.definition and found["state"] != "complete"
    if found is not None and interrupted and last.is_file():
        return Start(last, step=found["global_step"], lineage=found["lineage"])
    named = plan.resume_from
    return Start(None if named is None else root / named, keep=True)


def resumed_start(plan: Plan, root: Path) -> Start:
    """How a resume begins: in place where the definition is the same, else as a child of the run, which is kept.

    Raises ConfigError where there is nothing to resume.
    """
    found, last = read_run(root / plan.run_dir), last_checkpoint(plan.config, plan.run_dir, root)
    if found is None or not last.is_file():
        raise ConfigError(
            f"There is no checkpoint `{shown(last, root)}` to resume from.",
            title="nothing to resume",
            hint="Start the run with `doit train`; it saves where its `cb.model_checkpoint` says.",
        )
    if found["definition"] == plan.definition:
        return Start(last, step=found["global_step"], lineage=found["lineage"])
    lineage = {"parent": found["definition"], "global_step": found["global_step"], "before": found["lineage"]}
    return Start(last, keep=True, step=found["global_step"], lineage=lineage)


def last_checkpoint(config: Mapping[str, Any], run_dir: str, root: Path) -> Path:
    """Where the run's `last.pt` lies: in the folder of its checkpoint callback, else in `checkpoints`."""
    for callback in config.get("callbacks") or ():
        if callback.get("_type_") == "cb.model_checkpoint" and callback.get("save_last", True):
            return root / str(callback["save_dir"]) / LAST
    return root / run_dir / "checkpoints" / LAST


def shown(path: Path, root: Path) -> str:
    """A path as people read it: from the project's root where it lies inside."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
