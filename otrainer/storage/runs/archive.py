"""Earlier runs: moved aside and never overwritten, found again by their definition, and brought back."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otrainer.errors import ConfigError, nearest
from otrainer.storage.atomic import is_own_file, sweep, sync_folder
from otrainer.storage.project import display_path
from otrainer.storage.runs.files import ELSEWHERE, waiting_name
from otrainer.storage.runs.ownership import altered, is_checkpoint, is_output, is_written_under, refuse_links
from otrainer.storage.runs.run_json import (
    DAMAGED,
    KEPT,
    LAST,
    PREVIOUS,
    RUN_FILE,
    is_of,
    read_run,
    read_run_or_none,
    refuse_foreign,
    run_dirs,
)
from otrainer.storage.runs.whole import goes_on, spoilt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import StrPath


def move_aside(run_dir: StrPath) -> Path | None:
    """Keep the run in `run_dir` under `.kept` beside it, and say where; None if there is nothing to keep.

    What it left in other folders goes with it. Raises ConfigError where the folder holds something that is not a run
    of ours, or runs would be kept behind a link; nothing is touched then.
    """
    folder = Path(run_dir).resolve()
    run = read_run(folder)
    if run is None:
        refuse_foreign(folder, run_dir)
        sweep(folder)
        return None
    kept = archive_folder(folder)
    refuse_links((kept.parent, kept, folder / ELSEWHERE), ("run", "out_dir"))
    kept.mkdir(parents=True, exist_ok=True)
    place = vacant(kept / f"{str(run['started']).replace(':', '')}-{str(run['definition'])[:8]}")
    take_along(folder, run)
    folder.rename(place)
    sync_folder(kept)
    sync_folder(folder.parent)
    return place


def settle(run_dir: StrPath) -> None:
    """End a move that was cut off: what was taken along for it is laid out again. Call it under the lock of the run."""
    if (Path(run_dir) / ELSEWHERE).is_dir():
        lay_out(Path(run_dir).resolve())


def bring_back(run_dir: StrPath, definition: str, *, complete: bool) -> tuple[Path, Path | None] | None:
    """Give a kept run of `definition` its place in `run_dir` again, and keep the one that is there now.

    A `complete` one is one with all that it left; else one that stopped with a checkpoint. Says where the run came
    from and where the other one went; None if no such run is kept. Call it under the lock of the run.
    """
    settle(run_dir)
    found = next((path for path in archived_runs(run_dir) if fits(path, definition, complete=complete)), None)
    if found is None:
        return None
    folder = Path(run_dir).resolve()
    aside = move_aside(run_dir)
    if aside is None and folder.is_dir():
        folder.rmdir()  # it is empty
    found.rename(folder)
    lay_out(folder)
    return found, aside


def fits(kept: Path, definition: str, *, complete: bool) -> bool:
    """Return whether a kept run may come back: it is of this definition and in this state, and as it was left."""
    run = of_definition(kept, definition, complete=complete)
    return run is not None and (spoilt(kept, run) is None if complete else goes_on(kept, run))


def of_definition(kept: Path, definition: str, *, complete: bool) -> dict[str, Any] | None:
    """Return what is known of a kept run; None where it is another's, or tells nothing that can be believed."""
    run = None if is_behind_link(kept) else read_run_or_none(kept)
    wanted = run is not None and is_of(run, definition) and (run["state"] == "complete") == complete
    return run if wanted else None


def left_behind(run_dir: StrPath, definition: str, root: Path) -> Iterator[str]:
    """Yield a sentence for each finished run of a definition that is kept, and cannot come back as it is now."""
    for kept in archived_runs(run_dir):
        run = of_definition(kept, definition, complete=True)
        if run is not None and (damage := spoilt(kept, run)):
            yield f"The finished run in `{display_path(kept, root)}` does not come back: {damage}."


def archive_folder(run_dir: StrPath) -> Path:
    folder = Path(run_dir).resolve()
    return folder.parent / KEPT / folder.name


def archived_runs(run_dir: StrPath) -> list[Path]:
    """Return the archived runs of a run directory, newest first."""
    return [path.parent for path in sorted(archive_folder(run_dir).glob(f"*/{RUN_FILE}"), reverse=True)]


def is_behind_link(kept: Path) -> bool:
    """Return whether an archived run is a link, or lies in an archive that is one."""
    return any(path.is_symlink() for path in (kept, kept.parent, kept.parent.parent))


def take_along(folder: Path, run: dict[str, Any]) -> None:
    """Move a run's outputs that lie elsewhere into its folder; what it did not write, or another run has, stays."""
    for name in list(left_elsewhere(folder, run)):
        source, target = folder / name, folder / ELSEWHERE / waiting_name(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)


def lay_out(folder: Path) -> None:
    """Move what was taken along back to where it lay."""
    run = read_run(folder)
    if run is None:
        return
    for name in names_elsewhere(run):
        source, target = folder / ELSEWHERE / waiting_name(name), folder / name
        if is_left(source, run["outputs"].get(name)) and not os.path.lexists(target) and not is_in_a_run(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    remove_empty(folder / ELSEWHERE)


def remove_empty(folder: Path) -> None:
    """Remove the folders below, and this one, as far as nothing is left in them."""
    for here, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(here).rmdir()


def is_left(path: Path, mark: list[Any] | None) -> bool:
    """Return whether a run left this file; a checkpoint found damaged is only known by its name."""
    return is_output(path, mark) or (path.name == DAMAGED and is_own_file(path))


def is_in_a_run(path: Path) -> bool:
    """Return whether a file lies in the folder of a run."""
    return any((above / RUN_FILE).exists() for above in path.resolve().parents)


def left_elsewhere(folder: Path, run: dict[str, Any]) -> Iterator[str]:
    """Yield those files outside of a run's folder that it left there, and nobody else.

    A file is its own where it is as run.json says; a checkpoint also where it was written under its definition, since
    a run that was killed may have saved once more. Beside its last one lies the one before it, which nobody lists.
    """
    for name in run["outputs"]:
        if ".." not in Path(name).parts:
            continue
        is_own = is_of_run(folder / name, run, run["outputs"][name])
        if is_own:
            yield name
        for spare in (PREVIOUS, DAMAGED) if Path(name).name == LAST else ():
            path = (folder / name).with_name(spare)
            if is_left(path, None) and not is_in_a_run(path) and (is_own or is_written_under(path, run["definition"])):
                yield str(Path(name).with_name(spare))


def is_of_run(path: Path, run: dict[str, Any], mark: list[Any]) -> bool:
    """Return whether a file outside of all runs is the one that this run left there."""
    if not is_left(path, mark) or is_in_a_run(path):
        return False
    return not altered(path, mark) or is_written_under(path, run["definition"])


def names_elsewhere(run: dict[str, Any]) -> Iterator[str]:
    """Yield what a run may have left outside of its folder."""
    for name in run["outputs"]:
        if ".." in Path(name).parts:
            yield name
            if Path(name).name == LAST:
                yield from (str(Path(name).with_name(spare)) for spare in (PREVIOUS, DAMAGED))


def archived_path(path: Path, run_dir: Path, archived: Path | None) -> Path:
    """Return where a file of a run lies once the run was moved to `archived`."""
    if archived is None:
        return path
    name = os.path.relpath(path, run_dir)
    moved = archived / (ELSEWHERE / waiting_name(name) if name.startswith("..") else Path(name))
    return moved if moved.exists() else path


def left_by_the_run_of(checkpoint: StrPath, name: str) -> Path | None:
    """Return the output `name` of the run that a checkpoint belongs to; None unless it is as that run left it."""
    folder = next((above for above in Path(checkpoint).resolve().parents if (above / RUN_FILE).exists()), None)
    run = None if folder is None else read_run_or_none(folder)
    mark = None if run is None else run["outputs"].get(name)
    if folder is None or mark is None:
        return None
    path = archived_path(folder / name, folder, folder)
    return path if is_checkpoint(path) and not altered(path, mark) else None


def vacant(place: Path) -> Path:
    """Return `place`, with a number behind it where it is taken."""
    taken, number = place, 1
    while os.path.lexists(taken):
        number += 1
        taken = place.with_name(f"{place.name}-{number}")
    return taken


def all_archived(runs_root: Path) -> list[Path]:
    """Return every archived run below `runs_root`, sorted; those of runs in subfolders too."""
    return sorted(path.parent for path in runs_root.rglob(f"{KEPT}/*/*/{RUN_FILE}"))


def find_run(text: str, root: Path) -> Path:
    """Find the run that `text` means: a folder, a name, or the beginning of a definition or of an archived folder.

    Raises ConfigError with the nearest names where there is none, or where several begin so.
    """
    path = root / text
    if (path / RUN_FILE).is_file():
        return path
    current, kept = list(run_dirs(root / "runs")), all_archived(root / "runs")
    by_name = {folder.relative_to(root / "runs").as_posix(): folder for folder in current}
    if text in by_name:
        return by_name[text]
    begun = [folder for folder in [*current, *kept] if begins(folder, text)]
    if len(begun) == 1:
        return begun[0]
    names = [folder.relative_to(root).as_posix() for folder in begun]
    raise ConfigError(
        f"`{text}` begins {len(begun)} runs: {', '.join(names)}." if begun else f"There is no run `{text}`.",
        title="ambiguous run" if begun else "unknown run",
        suggestions=() if begun else nearest(text, by_name),
        hint="`doit runs` shows all runs, the kept ones with their definitions.",
    )


def begins(folder: Path, text: str) -> bool:
    run = read_run_or_none(folder)
    definition = str(run["definition"]) if run else ""
    return len(text) >= 4 and (definition.startswith(text) or folder.name.startswith(text))
