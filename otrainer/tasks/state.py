"""Store doit's state after every task, and start over where the file is damaged."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from doit.dependency import DatabaseException, Dependency, SqliteDB  # type: ignore[import-untyped]  # doit ships no types
from doit.exceptions import InvalidCommand  # type: ignore[import-untyped]  # doit ships no types

# A table of another shape is an SQLITE_ERROR; a full disk or another process at work is no damage.
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class StateDB(SqliteDB):  # type: ignore[misc]  # doit ships no types
    """SQLite that writes when it is told to, and starts over where the file cannot be read.

    Raises InvalidCommand, which doit shows without a traceback, where it cannot be opened at all.
    """

    _dirty: set[str]

    def __init__(self, name: str, codec: Any, **_options: Any) -> None:
        self._arguments = (name, codec)
        try:
            self._open()
        except (DatabaseException, sqlite3.OperationalError) as error:
            why = error.__context__ or error
            if not is_damage(why):
                raise InvalidCommand(f"`{name}`, where doit keeps its state, cannot be opened: {why}.") from error
            self._start_over()

    def _open(self) -> None:
        super().__init__(*self._arguments)
        # Nothing here outlives a power cut for certain, nor has to: a damaged file is made anew.
        self._conn.execute("pragma synchronous = off")
        # Left in place and overwritten: a file made and removed with every task takes longer than all else about it.
        self._conn.execute("pragma journal_mode = persist")

    def _start_over(self) -> None:
        set_aside(Path(self._arguments[0]))
        self._open()

    def _start_over_after(self, error: Exception) -> None:
        """Start over, or let `error` go on if it is not about the file itself."""
        path = Path(self._arguments[0])
        gone = is_gone(error, path)
        if not gone and not is_damage(error):
            raise error
        self._conn.close()
        if gone:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        else:
            self._start_over()

    def _get_task_data(self, task_id: str) -> dict[str, Any]:
        try:
            return dict(super()._get_task_data(task_id).items())
        except (sqlite3.Error, ValueError, AttributeError) as error:
            self._start_over_after(error)
            return {}

    def flush(self) -> None:
        """Write what changed, so that a process killed from now on has forgotten nothing."""
        if not (self._dirty or self._conn.in_transaction):
            return
        rows = [(task_id, self.codec.encode(self._cache[task_id])) for task_id in sorted(self._dirty)]
        try:
            self._write(rows)
        except sqlite3.Error as error:
            self._start_over_after(error)
            self._write(rows)
        self._dirty = set()

    def remove(self, task_id: str) -> None:
        try:
            super().remove(task_id)
        except sqlite3.Error as error:
            self._start_over_after(error)

    def _write(self, rows: list[tuple[str, str]]) -> None:
        self._conn.executemany("insert or replace into doit values (?, ?)", rows)
        self._conn.commit()


class State(Dependency):  # type: ignore[misc]  # doit ships no types
    """What doit knows of a task, written as soon as the task has ended."""

    def __init__(self, _db_class: type, backend_name: str, **options: Any) -> None:
        super().__init__(StateDB, backend_name, **options)

    def save_success(self, task: Any, result_hash: str | None = None) -> None:
        super().save_success(task, result_hash)
        self.backend.flush()

    def remove_success(self, task: Any) -> None:
        super().remove_success(task)
        self.backend.flush()


def is_damage(error: BaseException | None) -> bool:
    """Tell whether `error` means that the file itself is broken, as values do that are no JSON mappings."""
    if isinstance(error, sqlite3.Error):
        return (error.sqlite_errorcode & 0xFF) in DAMAGE
    return isinstance(error, (ValueError, AttributeError))


def is_gone(error: Exception, path: Path) -> bool:
    """Tell whether the file was deleted, as `build` may be at any time, even if another process has made one since."""
    moved = isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_READONLY_DBMOVED
    return moved or not path.exists()


def set_aside(path: Path) -> None:
    """Rename a damaged file, its journal with it, and say so; one that was set aside before stays."""
    from otrainer.storage.runs.archive import vacant

    kept = vacant(path.with_name(f"{path.name}.damaged"))
    path.replace(kept)
    journal = path.with_name(f"{path.name}-journal")
    if journal.exists():
        # Left where it is, it would be played into the new file.
        journal.replace(kept.with_name(f"{kept.name}-journal"))
    print(f"`{path}` was damaged: it is kept as `{kept}`, and doit starts a new one.", file=sys.stderr)
