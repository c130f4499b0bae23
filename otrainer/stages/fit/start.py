"""Where a run begins: at nothing, in place, or as a child of a run that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.stages.fit.going_on import (
    checkpoint_callbacks,
    checkpoints_of,
    last_checkpoint,
    named_step,
    newest_whole,
    to_go_on_from,
)
from otrainer.storage.inside_project import writes_of
from otrainer.storage.project import display_path
from otrainer.storage.runs.ownership import is_output
from otrainer.storage.runs.run_json import DAMAGED, PREVIOUS, is_of, read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from otrainer.errors import ConfigPath
    from otrainer.stages.plan import Plan

MOST = 3


@dataclass(frozen=True)
class Start:
    """A checkpoint to continue from, if any, and its `step` where it is known.

    `keep` says that what is in the run directory is kept aside first; `warning` is what people should know before.
    """

    checkpoint: Path | None = None
    keep: bool = False
    step: int | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    warning: str = ""


def first_start(plan: Plan, root: Path) -> Start:
    """Return how training begins: an interrupted run of this definition goes on; anything else starts anew.

    Raises ConfigError where the run's checkpoints are damaged.
    """
    found = read_run(root / plan.run_dir)
    interrupted = found is not None and is_of(found, plan.definition) and found["state"] != "complete"
    paths = to_go_on_from(found, plan.config, plan.run_dir, root) if found is not None and interrupted else []
    if found is not None and paths:
        return continued(paths, last_checkpoint(plan.config, plan.run_dir, root), found, root)
    named = plan.resume_from
    return Start(None if named is None else root / named, keep=True)


def resumed_start(plan: Plan, root: Path) -> Start:
    """Return how a resume begins: in place where the definition is the same, else as a child of the run, which is kept.

    Raises ConfigError where there is nothing to resume, or it is damaged.
    """
    found, last = read_run(root / plan.run_dir), last_checkpoint(plan.config, plan.run_dir, root)
    paths = [] if found is None else to_go_on_from(found, plan.config, plan.run_dir, root)
    if found is None or not paths:
        message = f"There is no checkpoint `{display_path(last, root)}` to resume from."
        hint = "Start the run with `doit train`; it saves where its `cb.model_checkpoint` says."
        raise ConfigError(message, title="nothing to resume", config_path=("run", "out_dir"), hint=hint)
    begin = continued(paths, last, found, root)
    if is_of(found, plan.definition):
        return begin
    lineage = {"parent": found["definition"], "global_step": begin.step, "before": found["lineage"]}
    if not checkpoints_of(
        found, plan.config, plan.run_dir, root
    ):  # a child that saved nothing: its parent is this one's
        lineage = {**found["lineage"], "global_step": begin.step}
    return replace(begin, keep=True, lineage=lineage)


def continued(paths: Sequence[Path], last: Path, run: Mapping[str, Any], root: Path) -> Start:
    """Start from the first of a run's checkpoints that is whole, with a warning where that is not its first one.

    Raises ConfigError where none is whole, or one is there and cannot be read.
    """
    from otrainer.engine.checkpoint import load_checkpoint

    path, warning = newest_whole(paths, last, root)
    step = named_step(path)
    if step is None:
        step = (
            run["global_step"] if path == last and not warning else load_checkpoint(path)["train_state"]["global_step"]
        )
    return Start(path, step=step, lineage=run["lineage"], warning=warning)


def folders_elsewhere(config: Mapping[str, Any], run_dir: str, root: Path) -> Iterator[tuple[Path, ConfigPath]]:
    """Yield the folders outside of the run directory that checkpoints go to, each with its place in the config."""
    for callback, path in checkpoint_callbacks(config):
        for save_dir, place in writes_of(callback, path):
            folder = (root / save_dir).resolve()
            if not folder.is_relative_to((root / run_dir).resolve()):
                yield folder, place


def refuse_taken(config: Mapping[str, Any], run_dir: str, root: Path) -> None:
    """Raise ConfigError where a run that begins anew would write over checkpoints that are not its own."""
    found = read_run(root / run_dir)
    own = own_outputs((root / run_dir).resolve(), found)
    for folder, path in folders_elsewhere(config, run_dir, root):
        others = [file.name for file in sorted(folder.glob("*.pt")) if file not in own]
        if taken := [name for name in others if name not in (PREVIOUS, DAMAGED)]:
            names = f"{', '.join(taken[:MOST])}{', ...' if taken[MOST:] else ''}"
            message = (
                f"`{display_path(folder, root)}` holds checkpoints of another run: {names}. They would be overwritten."
            )
            hint = "Let `save_dir` be `${run.out_dir}/checkpoints`, or move what is there."
            raise ConfigError(message, title="checkpoints of another run", config_path=path, hint=hint)


def own_outputs(run_dir: Path, run: Mapping[str, Any] | None) -> set[Path]:
    """Return the files that a run left and that are still its own."""
    marks = {run_dir / name: mark for name, mark in (run["outputs"] if run else {}).items()}
    return {path.resolve() for path, mark in marks.items() if is_output(path, mark)}
