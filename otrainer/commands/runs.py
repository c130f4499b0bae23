"""`doit runs`: the runs there are, with the kept ones below theirs, and what they take on the disk."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from otrainer.diagnostics.quantities import size_text
from otrainer.diagnostics.say import in_a_line
from otrainer.errors import ConfigError
from otrainer.stages.built import configured_run_dir
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import all_archived, archived_runs
from otrainer.storage.runs.evaluations import read_evaluations
from otrainer.storage.runs.fields import LARGEST
from otrainer.storage.runs.run_json import is_written, read_run, read_run_or_none, run_dirs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otrainer.commands import Question

RUNS = "runs"
MOST_METRICS = 2
MOST_EVALUATIONS = 2
HEAD = ("run", "state", "step", "metrics", "evaluated", "started (UTC)", "size", "definition", "continued from")
TO_THE_RIGHT = ("step", "size")
# What a narrow terminal does without, one after the other: a kept run's name holds its start and definition.
SPARE = ("metrics", "evaluated", "started (UTC)", "definition", "continued from", "step")


class Row(NamedTuple):
    """A line of the table; a kept run's name is indented."""

    name: str
    state: str
    step: str = ""
    metrics: str = ""
    evaluated: str = ""
    started: str = ""
    size: int = 0
    definition: str = ""
    origin: str = ""
    flaw: str = ""

    def cells(self) -> dict[str, str]:
        """Return the texts of the row's columns by their heads."""
        texts = (*self[:6], size_text(self.size) if self.size else "", *self[7:-1])
        return dict(zip(HEAD, map(in_a_line, texts), strict=True))


def runs(question: Question) -> str:
    """Return the table of all runs below `runs`, or of those of the experiments that EXP names."""
    folders = wanted(question)
    rows = [row for folder in folders for row in rows_of(folder, question.root)]
    if not rows:
        return "There are no runs yet: `doit train EXP=NAME` makes one."
    total, kept = sum(row.size for row in rows), sum(row.size for row in rows if row.name.startswith(" "))
    count = f"{len(rows)} run{'' if len(rows) == 1 else 's'}, {size_text(total)}"
    spare = f"; kept runs take {size_text(kept)} (`doit prune` removes them)" if kept else ""
    flaws = dict.fromkeys(row.flaw for row in rows if row.flaw)
    return "\n".join([*table([row.cells() for row in rows], width()), count + spare, *map(in_a_line, flaws)])


def width() -> int | None:
    """Return the width of the terminal; None where the answer goes to a file or another program."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wanted(question: Question) -> list[Path]:
    """Return the run directories to show: those that are there, and those of which only archived runs are left."""
    root = question.root / RUNS
    found = dict.fromkeys(run_dirs(root))
    found |= {kept.parent.parent.parent / kept.parent.name: None for kept in all_archived(root)}
    if not question.experiments:
        return sorted(found)
    chosen = {str(question.root / each.file) for each in question.experiments}
    theirs = [folder for folder in found if experiment_of(folder, question.root) in chosen]
    configured = (configured_run_dir(each, question.root) for each in question.experiments)
    elsewhere = [folder for folder in configured if folder and (read_run_or_none(folder) or archived_runs(folder))]
    return sorted({*theirs, *elsewhere})


def experiment_of(folder: Path, root: Path) -> str | None:
    """Return the YAML file that a run directory's runs come from."""
    for each in (folder, *archived_runs(folder)):
        run = read_run_or_none(each)
        if run is not None and run["experiment"] is not None:
            return str(root / run["experiment"])
    return None


def rows_of(folder: Path, root: Path) -> Iterator[Row]:
    name = display_path(folder, root / RUNS)
    yield row_of(folder, name) if (folder / "run.json").exists() else Row(name, "only kept runs")
    for kept in archived_runs(folder):
        yield row_of(kept, f"  {kept.name}")


def row_of(folder: Path, name: str) -> Row:
    size = disk_use(folder)
    try:
        run = read_run(folder)
    except ConfigError as error:
        return Row(name, "damaged run.json", size=size, flaw=error.findings[0].message)
    if run is None:
        return Row(name, "gone", size=size)
    metrics = ", ".join(f"{key} {number(value)}" for key, value in list(run["metrics"].items())[:MOST_METRICS])
    started = str(run["started"]).replace("T", " ").removesuffix("Z")
    step, definition = "?" if run["global_step"] is None else f"{run['global_step']:,}", run["definition"][:8]
    evaluated = evaluated_in(folder)
    return Row(name, state_of(folder, run), step, metrics, evaluated, started, size, definition, origin_of(run))


def evaluated_in(folder: Path) -> str:
    """Return the first values of each split and checkpoint of a run that was evaluated."""
    told = []
    for each in read_evaluations(folder):
        values = [f"{key} {number(value)}" for key, value in list(each["values"].items())[:MOST_METRICS]]
        told.append(f"{each['split']} of {each['checkpoint']}: {', '.join(values)}")
    more = [f"{len(told) - MOST_EVALUATIONS} more"] if told[MOST_EVALUATIONS:] else []
    return "; ".join([*told[:MOST_EVALUATIONS], *more])


def number(value: Any) -> str:
    """Return a logged value with four digits; run.json has null for one that is not finite."""
    if isinstance(value, int | float):
        return f"{value:.4g}" if isinstance(value, float) or abs(value) < LARGEST else "very large"
    return "not finite" if value is None else "not a number"


def state_of(folder: Path, run: Mapping[str, Any]) -> str:
    """Return the state of a run in words; one whose process is gone was cut off."""
    if run["state"] != "running":
        return str(run["state"])
    return f"running ({run['pid']})" if is_written(folder) else "cut off"


def origin_of(run: Mapping[str, Any]) -> str:
    """Return a child's parent by its definition, and the step at which the child went on."""
    parent = run["lineage"].get("parent")
    step = run["lineage"].get("global_step")
    return f"{parent[:8]} at {'?' if step is None else f'{step:,}'}" if parent else ""


def disk_use(folder: Path) -> int:
    """Return the bytes of all files below `folder`; one with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for here, _, files in os.walk(folder):
        for name in files:
            try:
                status = Path(here, name).lstat()
            except OSError:
                continue
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def table(rows: list[dict[str, str]], most: int | None) -> Iterator[str]:
    """Yield aligned columns, numbers to the right, without empty ones and those that `most` has no room for."""
    heads = [head for head in HEAD if any(row[head] for row in rows)]
    widths = {head: max(len(head), *(len(row[head]) for row in rows)) for head in heads}
    left_out = []
    for head in SPARE:
        if most is not None and head in heads and sum(widths[each] + 2 for each in heads) - 2 > most:
            heads.remove(head)
            left_out.append(head)
    for cells in ({head: head for head in heads}, *rows):
        aligned = (f"{cells[head]:{'>' if head in TO_THE_RIGHT else '<'}{widths[head]}}" for head in heads)
        yield "  ".join(aligned).rstrip()
    if left_out:
        yield f"(a wider terminal also shows: {', '.join(left_out)})"
