"""Where a run begins: at nothing, in place, or as a child of a run that is kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError
from otrainer.storage.inside_project import writes_of
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import vacant
from otrainer.storage.runs.ownership import is_output, refuse_links
from otrainer.storage.runs.run_json import DAMAGED, LAST, PREVIOUS, read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
    found, last = read_run(root / plan.run_dir), last_checkpoint(plan.config, plan.run_dir, root)
    interrupted = found is not None and found["definition"] == plan.definition and found["state"] != "complete"
    if found is not None and interrupted and is_there(last):
        return continued(last, found, root)
    named = plan.resume_from
    return Start(None if named is None else root / named, keep=True)


def resumed_start(plan: Plan, root: Path) -> Start:
    """Return how a resume begins: in place where the definition is the same, else as a child of the run, which is kept.

    Raises ConfigError where there is nothing to resume, or it is damaged.
    """
    found, last = read_run(root / plan.run_dir), last_checkpoint(plan.config, plan.run_dir, root)
    if found is None or not is_there(last):
        message = f"There is no checkpoint `{display_path(last, root)}` to resume from."
        hint = "Start the run with `doit train`; it saves where its `cb.model_checkpoint` says."
        raise ConfigError(message, title="nothing to resume", config_path=("run", "out_dir"), hint=hint)
    begin = continued(last, found, root)
    if found["definition"] == plan.definition:
        return begin
    lineage = {"parent": found["definition"], "global_step": begin.step, "before": found["lineage"]}
    return replace(begin, keep=True, lineage=lineage)


def is_there(last: Path) -> bool:
    """Return whether there is a last checkpoint, or one before it."""
    return last.is_file() or last.with_name(PREVIOUS).is_file()


def continued(last: Path, run: Mapping[str, Any], root: Path) -> Start:
    """Start from the last checkpoint; where it is damaged, from the one before it, with a warning.

    The damaged one is then kept under another name, and the one before it takes its place. Raises ConfigError where
    neither is whole, or the last one is there and cannot be read.
    """
    from otrainer.engine.checkpoint import damaged, load_checkpoint, unreadable
    from otrainer.engine.checkpoint.file_format import DamagedError, check_container

    previous, said, step = last.with_name(PREVIOUS), "", run["global_step"]
    refuse_links((last, previous))
    try:
        check_container(last)
    except (DamagedError, OSError) as cause:
        if isinstance(cause, OSError) and last.is_file():
            raise unreadable(last, cause) from cause
        gone, what = not last.is_file(), str(cause)
        try:
            step = load_checkpoint(previous)["train_state"]["global_step"]
        except ConfigError as error:
            raise damaged(last, what) from error
        aside = take_the_place(previous, last)
        state = "is gone" if gone else f"is damaged ({what}), and kept as `{display_path(aside, root)}`"
        said = f"`{display_path(last, root)}` {state}; the one before it takes its place."
    return Start(last, step=step, lineage=run["lineage"], warning=said)


def take_the_place(previous: Path, last: Path) -> Path:
    """Let the checkpoint before the last stand for it; return where the damaged one is kept, if there is one."""
    from otrainer.engine.checkpoint.writer import replace_by_link

    aside = vacant(last.with_name(DAMAGED))
    if last.exists():
        replace_by_link(last, aside)
    replace_by_link(previous, last)
    return aside


def last_checkpoint(config: Mapping[str, Any], run_dir: str, root: Path) -> Path:
    """Return where the run's `last.pt` lies: in the folder of its checkpoint callback, else in `checkpoints`."""
    for callback, _ in checkpoint_callbacks(config):
        if callback.get("save_last", True):
            return root / next((save_dir for save_dir, _ in writes_of(callback, ())), "") / LAST
    return root / run_dir / "checkpoints" / LAST


def checkpoint_callbacks(config: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], ConfigPath]]:
    """Yield the specs of the callbacks that write checkpoints, each with its place in the config."""
    for index, callback in enumerate(config.get("callbacks") or ()):
        if callback.get("_type_") == "cb.model_checkpoint":
            yield callback, ("callbacks", index)


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
