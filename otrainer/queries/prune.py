"""`doit prune`: removes kept runs, which nothing else ever does; first it only says which."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from otrainer.errors import ConfigError
from otrainer.kept import kept_runs
from otrainer.locks import is_locked
from otrainer.queries.runs import disk_use, size_text, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otrainer.tasks.question import Question


def prune(question: Question) -> str:
    """What would be removed, or with YES=1 what was. Raises ConfigError for another value of YES."""
    answer = question.variables.get("YES", "")
    if answer not in ("", "1"):
        message = f"`YES={answer}` is neither yes nor no."
        raise ConfigError(message, title="unclear answer", hint="Only `YES=1` removes anything.")
    folders = list(removable(question))
    if not folders:
        return "There are no kept runs to remove."
    lines = [f"  {shown(folder, question.root)}  {size_text(disk_use(folder))}" for folder in folders]
    freed = size_text(sum(map(disk_use, folders)))
    if not answer:
        what = "this kept run" if len(folders) == 1 else f"these {len(folders)} kept runs"
        again = " ".join(["doit prune", *(f"EXP={each.name}" for each in question.experiments), "YES=1"])
        return "\n".join([f"Would remove {what}, {freed} in all:", *lines, f"`{again}` does it."])
    for folder in folders:
        shutil.rmtree(folder)
    return "\n".join([f"Removed, {freed} in all:", *lines])


def removable(question: Question) -> Iterator[Path]:
    """The kept runs of run directories that nobody writes into right now."""
    for folder in wanted(question):
        if not is_locked(folder):
            yield from kept_runs(folder)


def shown(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
