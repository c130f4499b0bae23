"""`doit runs`: the runs there are, with the kept ones below theirs, and what they take on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otrainer.errors import ConfigError
from otrainer.kept import all_kept, kept_runs
from otrainer.locks import is_locked
from otrainer.runs import read_run, run_dirs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from otrainer.tasks.question import Question

RUNS = "runs"
MOST_METRICS = 2
HEAD = ("run", "state", "step", "metrics", "started", "size", "definition")


class Row(NamedTuple):
    """A line of the table; a kept run's name is indented."""

    name: str
    state: str
    step: str
    metrics: str
    started: str
    size: int
    definition: str


def runs(question: Question) -> str:
    """The table of all runs below `runs`, or of those of the experiments that EXP names."""
    folders = wanted(question)
    rows = [row for folder in folders for row in rows_of(folder, question.root)]
    if not rows:
        return "There are no runs yet: `doit train EXP=NAME` makes one."
    total, kept = sum(row.size for row in rows), sum(row.size for row in rows if row.name.startswith(" "))
    count = f"{len(rows)} run{'' if len(rows) == 1 else 's'}, {size_text(total)}"
    spare = f", of which kept runs take {size_text(kept)} (`doit prune` removes those)" if kept else ""
    return "\n".join([*table(rows), count + spare])


def wanted(question: Question) -> list[Path]:
    """The run directories to show: those that are there, and those of which only kept runs are left."""
    root = question.root / RUNS
    found = dict.fromkeys(run_dirs(root))
    found |= {kept.parent.parent.parent / kept.parent.name: None for kept in all_kept(root)}
    if question.experiments:
        chosen = {str(question.root / each.file) for each in question.experiments}
        return [folder for folder in sorted(found) if experiment_of(folder, question.root) in chosen]
    return sorted(found)


def experiment_of(folder: Path, root: Path) -> str | None:
    """The YAML file that a run directory's runs come from."""
    for each in (folder, *kept_runs(folder)):
        try:
            run = read_run(each)
        except ConfigError:
            continue
        if run is not None and run["experiment"] is not None:
            return str(root / run["experiment"])
    return None


def rows_of(folder: Path, root: Path) -> Iterator[Row]:
    name = folder.relative_to(root / RUNS).as_posix()
    if (folder / "run.json").exists():
        yield row_of(folder, name)
    else:
        yield Row(name, "only kept runs", "", "", "", 0, "")
    for kept in kept_runs(folder):
        yield row_of(kept, f"  {kept.name}")


def row_of(folder: Path, name: str) -> Row:
    size = disk_use(folder)
    try:
        run = read_run(folder)
    except ConfigError:
        return Row(name, "damaged run.json", "", "", "", size, "")
    if run is None:
        return Row(name, "gone", "", "", "", size, "")
    metrics = ", ".join(f"{key} {value:.4g}" for key, value in list(run["metrics"].items())[:MOST_METRICS])
    started = str(run["started"]).replace("T", " ").removesuffix("Z")
    return Row(name, state_of(folder, run), f"{run['global_step']:,}", metrics, started, size, run["definition"][:8])


def state_of(folder: Path, run: Mapping[str, Any]) -> str:
    """Its state in words; a run whose process is gone was cut off."""
    state = str(run["state"])
    if state == "running":
        state = f"running ({run['pid']})" if is_locked(folder) else "cut off"
    parent = run["lineage"].get("parent")
    return f"{state}, from {parent[:8]} at {run['lineage']['global_step']:,}" if parent else state


def disk_use(folder: Path) -> int:
    """Bytes of all files below `folder`; one with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for here, _, files in os.walk(folder):
        for name in files:
            try:
                status = Path(here, name).lstat()
            except OSError:
                continue
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def size_text(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def table(rows: list[Row]) -> Iterator[str]:
    """Aligned columns under a headline; numbers to the right."""
    cells = [HEAD, *((*row[:5], size_text(row.size) if row.size else "", row.definition) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    for line in cells:
        aligned = (
            text.rjust(width) if head in ("step", "size") else text.ljust(width)
            for text, width, head in zip(line, widths, HEAD, strict=True)
        )
        yield "  ".join(aligned).rstrip()
