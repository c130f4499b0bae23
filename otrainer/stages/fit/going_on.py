"""Which checkpoint a run goes on from: its last one, or else the newest whole one that it has."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.storage.inside_project import writes_of
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import archived_runs, is_behind_link, vacant
from otrainer.storage.runs.ownership import holds_a_run, refuse_links
from otrainer.storage.runs.run_json import DAMAGED, LAST, PREVIOUS, read_run_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otrainer.errors import ConfigPath

STEP = re.compile(r"step_(\d+)\.pt")


def checkpoint_callbacks(config: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], ConfigPath]]:
    """Yield the specs of the callbacks that write checkpoints, each with its place in the config."""
    for index, callback in enumerate(config.get("callbacks") or ()):
        if callback.get("_type_") == "cb.model_checkpoint":
            yield callback, ("callbacks", index)


def last_checkpoint(config: Mapping[str, Any], run_dir: str, root: Path) -> Path:
    """Return where the run's `last.pt` lies: in the folder of its checkpoint callback, else in `checkpoints`."""
    for callback, _ in checkpoint_callbacks(config):
        if callback.get("save_last", True):
            return root / next((save_dir for save_dir, _ in writes_of(callback, ())), "") / LAST
    return root / run_dir / "checkpoints" / LAST


def to_go_on_from(run: Mapping[str, Any], config: Mapping[str, Any], run_dir: str, root: Path) -> list[Path]:
    """Return the checkpoints that a run may go on from, its own first; a child that has none yet has its parent's."""
    if own := checkpoints_of(run, config, run_dir, root):
        return own
    parent = run["lineage"].get("parent")
    for kept in archived_runs(root / run_dir) if parent else ():
        found = None if is_behind_link(kept) else read_run_or_none(kept)
        if found is not None and found["definition"] == parent:
            return checkpoints_in(kept, found)
    return []


def checkpoints_in(kept: Path, run: Mapping[str, Any]) -> list[Path]:
    """Return the checkpoints of an archived run that lie in its folder, its last one first, then the newest."""
    inside = [kept / name for name in reversed(run["outputs"]) if ".." not in Path(name).parts]
    return sorted(filter(holds_a_run, inside), key=lambda path: path.name != LAST)


def checkpoints_of(run: Mapping[str, Any], config: Mapping[str, Any], run_dir: str, root: Path) -> list[Path]:
    """Return the checkpoints that a run may go on from: its last one, the one before it, then the others, newest first.

    A killed run may have left some that its run.json does not list yet.
    """
    folder, last = root / run_dir, last_checkpoint(config, run_dir, root)
    listed = [folder / name for name in run["outputs"] if Path(name).name != LAST]
    saving = (root / save_dir for spec, _ in checkpoint_callbacks(config) for save_dir, _ in writes_of(spec, ()))
    folders = sorted({last.parent, *(path.parent for path in listed), *saving})
    known = {path.resolve() for path in listed}
    unlisted = [path for each in folders for path in each.glob("step_*.pt") if path.resolve() not in known]
    # Listed ones are in the order in which they were written; one that is called by no step follows those before it.
    reached = accumulate((named_step(path) or 0 for path in listed), max)
    steps = {path: named_step(path) or before for path, before in zip(listed, reached, strict=True)}
    others = sorted([*listed, *unlisted], key=lambda path: steps.get(path) or named_step(path) or 0)
    found = [path for path in (last, last.with_name(PREVIOUS)) if path.is_file()]
    return [*found, *(path for path in reversed(others) if holds_a_run(path))]


def named_step(path: Path) -> int | None:
    """Return the step that a checkpoint is called by."""
    name = STEP.fullmatch(path.name)
    return int(name[1]) if name else None


def newest_whole(paths: Sequence[Path], last: Path, root: Path) -> tuple[Path, str]:
    """Return the first of some checkpoints that is whole, and a warning where that is not the first one.

    A last one that is damaged is kept under another name, and the one before it takes its place. Raises ConfigError
    where none is whole, or one is there and cannot be read.
    """
    from otrainer.engine.checkpoint import damaged

    refuse_links((last, last.with_name(PREVIOUS)))
    flaws: dict[Path, str] = {}
    for path in paths:
        flaw = flaw_of(path)
        if flaw is None:
            return settled(path, last, flaws, root)
        flaws[path] = flaw
    raise damaged(*next(iter(flaws.items())))


def flaw_of(path: Path) -> str | None:
    """Say what is damaged in a checkpoint; None where it is whole. Raises ConfigError where it cannot be read."""
    from otrainer.engine.checkpoint import unreadable
    from otrainer.engine.checkpoint.file_format import DamagedError, check_container

    try:
        check_container(path)
    except DamagedError as cause:
        return str(cause)
    except OSError as cause:
        raise unreadable(path, cause) from cause
    return None


def settled(path: Path, last: Path, flaws: Mapping[Path, str], root: Path) -> tuple[Path, str]:
    """Put the damaged ones aside, and let the one before the last take its place."""
    from otrainer.engine.checkpoint.writer import replace_by_link

    said = []
    for bad, what in flaws.items():
        aside = vacant(bad.with_name(DAMAGED))
        bad.rename(aside)
        said.append(f"`{display_path(bad, root)}` is damaged ({what}), and kept as `{display_path(aside, root)}`")
    if path == last.with_name(PREVIOUS):
        said = said or [f"`{display_path(last, root)}` is gone"]
        replace_by_link(path, last)
        return last, f"{said[0]}; the one before it takes its place."
    return path, f"{'; '.join(said)}; the newest whole one takes its place." if said else ""
