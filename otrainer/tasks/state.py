"""Store doit's state as tasks end, start over where the file is damaged, and do without where it has to be so."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from doit.dependency import (  # type: ignore[import-untyped]  # doit ships no types
    DatabaseException,
    Dependency,
    SqliteDB,
    get_file_md5,
)
from doit.dependency import MD5Checker as OfDoit
from doit.exceptions import InvalidCommand  # type: ignore[import-untyped]  # doit ships no types

# From so many tasks on, one reading of all is quicker than one of each.
MANY = 16
# So long what ended may wait for being written, where very many brief tasks end: each writing takes as long as some do.
WAIT_S = 0.1
# What doit keeps of a task by these names; by any other, the state of a file: its time, size and hash.
KINDS = {"_values_:": (dict,), "result:": (dict, str), "checker:": (str,), "ignore:": (str,), "deps:": (list,)}
STATES = ([float, int, str], [int, int, str])
# A table of another shape is an SQLITE_ERROR; a full disk or another process at work is no damage.
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


class StateDB(SqliteDB):  # type: ignore[misc]  # doit ships no types
    """SQLite that writes when it is told to, starts over where the file is damaged, and does without where it has to.

    What can be neither read nor made, as in a project that is mounted read-only, is kept in memory.
    """

    _dirty: set[str]
    _asked = 0  # for tasks, one by one
    _read: dict[str, Any] | None = None  # all at once, since many were asked for

    def __init__(self, name: str, codec: Any, **_options: Any) -> None:
        self._path, self._codec = Path(name), codec
        self._in_memory: Exception | None = None
        self._open()

    def _open(self, damage: Exception | None = None) -> None:
        """Open the file, a damaged one anew; remember in memory, and why, where neither can be done."""
        why = damage or self._tried()
        if why is not None and is_damage(why):
            try:
                set_aside(self._path)
                why = self._tried()
            except OSError as error:
                why = error
        if why is not None:
            self._in_memory = why
            super().__init__(":memory:", self._codec)

    def _tried(self) -> Exception | None:
        """Open the file, and return why it cannot be opened."""
        try:
            super().__init__(str(self._path), self._codec)
            # Nothing here outlives a power cut for certain, nor has to: a damaged file is made anew.
            self._conn.execute("pragma synchronous = off")
            # Left in place and overwritten: making and removing a file with every task takes longer than all else.
            self._conn.execute("pragma journal_mode = persist")
        except (DatabaseException, sqlite3.Error) as error:
            return error if isinstance(error, sqlite3.Error) else error.__context__ or error
        return None

    def _start_over_after(self, error: Exception) -> bool:
        """Start over where `error` says that the file is damaged or gone; tell whether it does."""
        gone = is_gone(error, self._path)
        if not gone and not is_damage(error):
            return False
        self._conn.close()
        self._read = None
        if gone:
            with suppress(OSError):  # which opening it tells
                self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open(None if gone else error)
        return True

    def _get_task_data(self, task_id: str) -> dict[str, Any]:
        self._asked += 1
        if self._asked == MANY:
            with suppress(sqlite3.Error, ValueError):  # one row may be damaged, and never be asked for
                rows = self._conn.execute("select task_id, task_data from doit").fetchall()
                self._read = {row["task_id"]: row["task_data"] for row in rows}
        try:
            return checked(super()._get_task_data(task_id) if self._read is None else self._read.pop(task_id, {}))
        except (sqlite3.Error, ValueError, AttributeError, TypeError, RecursionError) as error:
            self._start_over_after(error)
            return {}

    def flush(self) -> Exception | None:
        """Write what changed, so that a process killed from now on has forgotten nothing; return why that failed."""
        if not (self._dirty or self._conn.in_transaction):
            return None
        rows = [(task_id, self.codec.encode(self._cache[task_id])) for task_id in sorted(self._dirty)]
        why = self._written(rows)
        if why is not None and self._start_over_after(why):
            why = self._written(rows)
        if why is not None:
            return why
        self._dirty = set()
        return self._in_memory

    def dump(self) -> None:
        self.flush()
        self._conn.close()

    def remove(self, task_id: str) -> None:
        """Forget a task. Raises InvalidCommand, which doit shows without a traceback, where that cannot be written."""
        if why := self.removed(task_id) or self._in_memory:
            raise InvalidCommand(not_kept(self._path, why))

    def remove_all(self) -> None:
        """Forget all tasks. Raises InvalidCommand where that cannot be written."""
        try:
            super().remove_all()
            why = self.flush() or self._in_memory
        except sqlite3.Error as error:
            why = error
        if why:
            raise InvalidCommand(not_kept(self._path, why))

    def removed(self, task_id: str) -> Exception | None:
        """Forget a task, and return why that could not be written."""
        try:
            # One that is not there would be written about all the same.
            if self._conn.execute("select 1 from doit where task_id = ?", (task_id,)).fetchone():
                super().remove(task_id)
            self._cache.pop(task_id, None)
            if self._read is not None:
                self._read.pop(task_id, None)
            self._dirty.discard(task_id)
        except sqlite3.Error as error:
            return None if self._start_over_after(error) else error
        return self.flush()

    def _written(self, rows: list[tuple[str, str]]) -> Exception | None:
        """Write rows, and end what was begun; return why that failed."""
        try:
            self._conn.executemany("insert or replace into doit values (?, ?)", rows)
            self._conn.commit()
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._conn.rollback()
            return error
        return None


class MD5Checker(OfDoit):  # type: ignore[misc]  # doit ships no types
    """doit's own, under its name, which it remembers; hashes a file once that many tasks depend on."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[int, int, int, int], str] = {}

    def get_state(self, dep: str, current_state: Any) -> tuple[float, int, str] | None:
        """Return when `dep` was written, its size and its hash; None where it is as `current_state` says."""
        status = os.stat(dep)  # noqa: PTH116 - asked of each of a thousand experiments
        if current_state and current_state[0] == status.st_mtime:
            return None
        which = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        if which not in self._hashes:
            self._hashes[which] = hashed(dep)
        return status.st_mtime, status.st_size, self._hashes[which]

    def check_modified(self, file_path: str, file_stat: os.stat_result, state: Any) -> bool:
        """Return whether a file has another content than `state` says."""
        time, size, known = state
        return bool(file_stat.st_mtime != time and (file_stat.st_size != size or hashed(file_path) != known))


class State(Dependency):  # type: ignore[misc]  # doit ships no types
    """What doit knows of a task, written as soon as the task has ended.

    Among very many that are `brief` by their meta it may be WAIT_S later; at the latest, before any other task runs.
    """

    _has_told = False
    _ended = 0
    _written_at = 0.0

    def __init__(self, _db_class: type, backend_name: str, **options: Any) -> None:
        super().__init__(StateDB, backend_name, **options)
        self.name = backend_name

    def save_success(self, task: Any, result_hash: str | None = None) -> None:
        if is_remembered(task):
            super().save_success(task, result_hash)
            self._ended += 1
            may_wait = is_brief(task) and self._ended > MANY and time.monotonic() < self._written_at + WAIT_S
            if not may_wait:
                self._write()

    def get_status(self, task: Any, tasks_dict: Any, get_log: bool = False) -> Any:
        if not is_brief(task):
            self._write()
        return super().get_status(task, tasks_dict, get_log)

    def remove_success(self, task: Any) -> None:
        if is_remembered(task):
            self.backend.removed(task.name)  # where that fails, what the task depends on still makes it stale

    def ignore(self, task: Any) -> None:
        super().ignore(task)
        if why := self.backend.flush():
            raise InvalidCommand(not_kept(Path(self.name), why))

    def _write(self) -> None:
        self._tell(self.backend.flush())
        self._written_at = time.monotonic()

    def _tell(self, why: Exception | None) -> None:
        """Tell once that what happened to a task could not be written; the task itself is not worse for it."""
        if why is None or self._has_told:
            return
        self._has_told = True
        from otrainer.diagnostics.drawing import show
        from otrainer.errors import Finding

        hint = "The stages that ran are done all the same; the next `doit` only looks at them again."
        show([Finding(not_kept(Path(self.name), why), "cannot write", hint=hint)])


def checked(data: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a task. Raises TypeError for what doit never writes of one, as another tool may."""
    for name, value in data.items():
        kinds = KINDS.get(name)
        is_state = isinstance(value, list) and [type(each) for each in value] in STATES
        if not (isinstance(value, kinds) if kinds else is_state):
            raise TypeError(f"doit keeps no such value of {name}")
    if not all(isinstance(each, str) for each in data.get("deps:") or ()):
        raise TypeError("doit names files by text")
    return dict(data)


def is_remembered(task: Any) -> bool:
    """Tell whether anything of a task counts later: not of a question, nor of a group, whose tasks count themselves."""
    is_query = task.meta and task.meta.get("query")
    return bool(not is_query and (task.actions or task.file_dep or task.uptodate))


def is_brief(task: Any) -> bool:
    """Tell whether a task takes no longer than to write that it has ended."""
    return bool(task.meta and task.meta.get("brief"))


def hashed(path: str) -> str:
    """Return the hash of a file as doit makes it, and nothing for what is no file, as a pipe would wait for ever."""
    return str(get_file_md5(path)) if os.path.isfile(path) else ""  # noqa: PTH113 - asked of a thousand experiments


def not_kept(path: Path, why: Exception) -> str:
    reason = why.strerror if isinstance(why, OSError) else why
    return f"`{path}`, where doit keeps its state: {reason}."


def is_damage(error: Exception | None) -> bool:
    """Tell whether `error` means that the file itself is broken, as values do that are no JSON mappings."""
    if isinstance(error, sqlite3.Error):
        return (error.sqlite_errorcode & 0xFF) in DAMAGE
    return isinstance(error, (ValueError, AttributeError, TypeError, RecursionError))


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
