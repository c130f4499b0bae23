"""`doit prune`: removes kept runs, which nothing else ever does; first it only says which."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otrainer.commands.runs import disk_use, wanted
from otrainer.diagnostics.quantities import size_text
from otrainer.diagnostics.say import in_a_line
from otrainer.errors import ConfigError
from otrainer.storage.project import display_path
from otrainer.storage.runs.archive import archived_runs, is_behind_link, remove_empty
from otrainer.storage.runs.files import files_below, foreign_files
from otrainer.storage.runs.lock import is_locked, lock_run
from otrainer.storage.runs.run_json import RUN_FILE, is_written, lock_written, read_run_or_none

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from otrainer.commands import Question


class Kept(NamedTuple):
    """A kept run; `stays` says why it is not to be removed, if it is not; `foreign` are files that it did not write."""

    folder: Path
    size: str
    bytes: int
    stays: str = ""
    foreign: tuple[str, ...] = ()


def prune(question: Question) -> str:
    """Describe what would be removed, or with YES=1 remove it.

    Raises ConfigError for another value of YES, OSError for what cannot be removed.
    """
    answer = question.variables.get("YES", "")
    if answer not in ("", "1"):
        message = f"`YES={answer}` is neither yes nor no."
        raise ConfigError(message, title="unclear answer", hint="Only `YES=1` removes anything.")
    act = removed if answer else foreseen
    found = [each for run_dir in wanted(question) for each in act(run_dir)]
    going, staying = [each for each in found if not each.stays], [each for each in found if each.stays]
    if not found:
        return "There are no kept runs to remove."
    words = [*describe_going(going, question, done=bool(answer))]
    if staying:
        words.append("This kept run stays:" if len(staying) == 1 else f"These {len(staying)} kept runs stay:")
        words += lines(staying, question)
    if foreign := [display_path(each.folder / name, question.root) for each in going for name in each.foreign]:
        words.append(f"What training did not write {'stayed' if answer else 'would stay'}:")
        words += [in_a_line(f"  {name}") for name in foreign]
    return "\n".join(words)


def foreseen(run_dir: Path) -> Iterator[Kept]:
    """Return the archived runs, without touching any."""
    return kept_of(run_dir, busy=is_written(run_dir) or is_locked(run_dir, claim=True))


def removed(run_dir: Path) -> Iterator[Kept]:
    """Yield the archived runs, each removed on the way; nobody trains into their run directory meanwhile."""
    if not archived_runs(run_dir):
        return
    with ExitStack() as locks:
        try:
            locks.enter_context(lock_run(run_dir, claim=True))
            locks.enter_context(lock_written(run_dir))
        except ConfigError:
            yield from kept_of(run_dir, busy=True)
            return
        for each in kept_of(run_dir, busy=False):
            if not each.stays:
                remove(each.folder, each.foreign)
            yield each


def kept_of(run_dir: Path, *, busy: bool) -> Iterator[Kept]:
    for folder in archived_runs(run_dir):
        used, stays = disk_use(folder), why_it_stays(folder, busy=busy)
        foreign = () if stays else tuple(foreign_files(folder, read_run_or_none(folder)))
        yield Kept(folder, size_text(used), used, stays, foreign)


def why_it_stays(folder: Path, *, busy: bool) -> str:
    if busy:
        return "its experiment is being trained"
    if is_behind_link(folder):
        return "it is a link to elsewhere"
    return "" if read_run_or_none(folder) else f"its {RUN_FILE} is damaged"


def remove(folder: Path, foreign: Collection[str]) -> None:
    """Remove a kept run but for what is `foreign` in its folder; cut off in the middle, it can still be pruned."""
    for name in list(files_below(folder)):
        if name not in foreign and name != RUN_FILE:
            (folder / name).unlink()
    (folder / RUN_FILE).unlink()
    remove_empty(folder)  # as far as nothing foreign is in it
    with suppress(OSError):  # others are kept there
        folder.parent.rmdir()


def describe_going(runs: list[Kept], question: Question, *, done: bool) -> Iterator[str]:
    if not runs:
        return
    total = size_text(sum(each.bytes for each in runs))
    what = "this kept run" if len(runs) == 1 else f"these {len(runs)} kept runs"
    yield f"Removed {what}, {total}:" if done else f"Would remove {what}, {total}:"
    yield from lines(runs, question)
    if not done:
        names = ",".join(each.name for each in question.experiments)
        yield f"`{' '.join(['doit prune', *([f'EXP={names}'] if names else []), 'YES=1'])}` does it."


def lines(runs: Iterable[Kept], question: Question) -> Iterator[str]:
    """Yield a line for each run, the sizes below each other."""
    rows = [(in_a_line(display_path(each.folder, question.root)), each) for each in runs]
    longest, widest = max(len(name) for name, _ in rows), max(len(each.size) for _, each in rows)
    for name, each in rows:
        yield f"  {name:<{longest}}  {each.size:>{widest}}{each.stays and f'  ({each.stays})'}"
