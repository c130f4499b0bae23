"""doit's memory: written after every task, shared by processes, and never the reason of a traceback."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from doit.dependency import JSONCodec, MD5Checker, SqliteDB
from doit.exceptions import InvalidCommand

from otrainer.tasks.state import MANY, WAIT_S, State, is_damage
from otrainer.tasks.state import MD5Checker as OurChecker


class Task:
    """As much of a doit task as is saved."""

    def __init__(self, name, actions=("train",), meta=None):
        self.name = name
        self.values = {}
        self.result = None
        self.file_dep = []
        self.uptodate = []
        self.actions = actions
        self.meta = meta


def state(path):
    return State(SqliteDB, str(path), checker_cls=MD5Checker, codec_cls=JSONCodec)


def remembered(path):
    with sqlite3.connect(path) as connection:
        return [name for (name,) in connection.execute("select task_id from doit order by task_id")]


def test_a_finished_task_is_on_the_disk_at_once(tmp_path):
    """Nothing has to be closed, so nothing is lost when doit is killed."""
    kept = state(tmp_path / "db")
    kept.save_success(Task("fit:a"))
    assert remembered(tmp_path / "db") == ["fit:a"]
    kept.remove_success(Task("fit:a"))
    assert remembered(tmp_path / "db") == []
    kept.close()


def test_among_very_many_brief_tasks_the_last_ones_may_wait_until_another_task_runs(tmp_path, monkeypatch):
    """Each writing takes as long as such a task; what takes its time has everything before it on the disk."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    kept = state(tmp_path / "db")
    names = [f"validate:{number:02}" for number in range(MANY + 3)]
    for name in names:
        kept.save_success(Task(name, meta={"brief": True}))
    assert remembered(tmp_path / "db") == names[:MANY]
    kept.get_status(Task("validate:x", meta={"brief": True}), {})
    assert remembered(tmp_path / "db") == names[:MANY]
    kept.get_status(Task("fit:a"), {})
    assert remembered(tmp_path / "db") == names

    kept.save_success(Task("validate:x", meta={"brief": True}))
    kept.close()
    assert remembered(tmp_path / "db") == [*names, "validate:x"]


def test_no_brief_task_waits_longer_than_it_may(tmp_path, monkeypatch):
    kept = state(tmp_path / "db")
    names = [f"validate:{number:02}" for number in range(MANY + 1)]
    for name in names:
        kept.save_success(Task(name, meta={"brief": True}))
    later = time.monotonic() + WAIT_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    kept.save_success(Task("validate:x", meta={"brief": True}))
    assert remembered(tmp_path / "db") == [*names, "validate:x"]
    kept.close()


def test_two_doits_share_one_memory(tmp_path):
    """Each writes its own tasks, and neither keeps the file to itself in between."""
    first, second = state(tmp_path / "db"), state(tmp_path / "db")
    first.remove_success(Task("fit:a"))
    second.save_success(Task("fit:b"))
    first.save_success(Task("fit:a"))
    assert remembered(tmp_path / "db") == ["fit:a", "fit:b"]
    first.close()
    second.close()


@pytest.mark.parametrize("size", [0, 50, 100, 4096, 6000])
def test_a_truncated_file_is_replaced(tmp_path, capsys, size):
    """However much of it is left, doit starts over, and says so once."""
    path = tmp_path / "db"
    kept = state(path)
    for number in range(300):
        kept.save_success(Task(f"fit:{number}"))
    kept.close()
    path.write_bytes(path.read_bytes()[:size])
    again = state(path)
    assert again.get_values("fit:299") == {}
    again.save_success(Task("fit:a"))
    again.close()
    assert remembered(path) == ["fit:a"]
    assert capsys.readouterr().err.count("was damaged") == (1 if size else 0)


def test_what_was_set_aside_before_stays(tmp_path):
    """Whoever wrote it."""
    for text in ("mine", "mine too"):
        (tmp_path / "db").write_text(text * 1000)
        state(tmp_path / "db").close()

    assert (tmp_path / "db.damaged").read_text() == "mine" * 1000
    assert (tmp_path / "db.damaged-2").read_text() == "mine too" * 1000


def test_damage_that_only_shows_when_it_is_written_to_is_replaced(tmp_path):
    """A page that nobody read yet may be broken too."""
    path = tmp_path / "db"
    kept = state(path)
    for number in range(300):
        kept.save_success(Task(f"fit:{number}"))
    kept.close()
    broken = path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)
    for name, change, left in (("writing", "save_success", ["fit:a"]), ("removing", "remove_success", [])):
        copy = tmp_path / name
        copy.write_bytes(broken)
        opened = state(copy)
        getattr(opened, change)(Task("fit:a"))
        assert remembered(copy) == left
        opened.close()


def test_values_that_are_no_json_are_replaced(tmp_path, capsys):
    """A row of another program, or of a bad disk, does not stop doit."""
    path = tmp_path / "db"
    state(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("insert into doit values ('fit:a', '{nonsense')")
        connection.execute("insert into doit values ('fit:b', ?)", [json.dumps([1])])
    assert state(path).get_values("fit:a") == {}
    assert "was damaged" in capsys.readouterr().err
    with sqlite3.connect(path) as connection:
        connection.execute("insert into doit values ('fit:b', ?)", [json.dumps([1])])
    assert state(path).get_values("fit:b") == {}


@pytest.mark.parametrize(
    "row",
    [
        {"deps:": 3},
        {"deps:": [3]},
        {"checker:": ["MD5Checker"]},
        {"_values_:": [1]},
        {"result:": 7},
        {"ignore:": {}},
        {"build/a/resolved.json": 7},
        {"build/a/resolved.json": [1.5, 2]},
        {"build/a/resolved.json": ["new", 2, "x"]},
        None,
        "x",
    ],
    ids=str,
)
def test_values_that_doit_never_writes_are_replaced(tmp_path, capsys, row):
    """What doit does with them would end in a traceback."""
    path = tmp_path / "db"
    state(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("insert into doit values ('fit:a', ?)", [json.dumps(row)])
    task = Task("fit:a")
    task.file_dep, task.targets = {str(path)}, []
    assert state(path).get_status(task, {}).status == "run"
    assert "was damaged" in capsys.readouterr().err


def test_what_doit_writes_is_kept(tmp_path):
    path = tmp_path / "db"
    (tmp_path / "dep").write_text("x")
    task = Task("fit:a")
    task.file_dep, task.targets, task.result = {str(tmp_path / "dep")}, [], {"x": 1}
    task.values = {"steps": 3}
    first = state(path)
    first.save_success(task)
    first.ignore(task)
    first.close()
    again = state(path)
    assert again.get_values("fit:a") == {"steps": 3}
    assert again.get_status(task, {}).status == "up-to-date"
    assert again.status_is_ignore(task)
    again.close()


def test_a_pipe_that_a_task_depends_on_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "dep")
    task = Task("mine")
    task.file_dep, task.targets = {str(tmp_path / "dep")}, []
    kept = State(SqliteDB, str(tmp_path / "db"), checker_cls=OurChecker, codec_cls=JSONCodec)
    kept.save_success(task)
    assert kept.get_status(task, {}).status == "up-to-date"
    (tmp_path / "dep").unlink()
    (tmp_path / "dep").write_text("x")
    assert kept.get_status(task, {}).status == "run"
    kept.close()


def test_a_file_with_other_tables_is_replaced(tmp_path):
    """Another program's database is set aside whole, not written into."""
    path = tmp_path / "db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table doit (something text)")
    assert state(path).get_values("fit:a") == {}
    assert remembered(tmp_path / "db") == []
    with sqlite3.connect(tmp_path / "db.damaged") as connection:
        assert connection.execute("select * from doit").fetchall() == []


@pytest.mark.parametrize("again", [False, True], ids=["gone", "made anew by another doit"])
def test_a_file_that_was_deleted_meanwhile_is_made_anew(tmp_path, capsys, again):
    """Without a word: nothing was damaged, and `build` may be deleted at any time."""
    path = tmp_path / "build" / "db"
    path.parent.mkdir()
    kept = state(path)
    kept.save_success(Task("fit:a"))
    shutil.rmtree(path.parent)
    if again:
        path.parent.mkdir()
        other = state(path)
        other.save_success(Task("fit:other"))
        other.close()
    kept.remove_success(Task("fit:a"))
    kept.save_success(Task("fit:b"))
    kept.close()

    assert remembered(path) == ["fit:b", *(["fit:other"] if again else [])]
    assert capsys.readouterr().err == ""


def test_questions_and_groups_are_not_remembered(tmp_path):
    """So that they write nothing, where nothing can be written too."""
    path = tmp_path / "db"
    kept = state(path)
    kept.save_success(Task("why", meta={"query": True}))
    kept.save_success(Task("train", actions=None))
    kept.remove_success(Task("prune", meta={"query": True}))
    kept.close()

    assert remembered(path) == []


@contextmanager
def unopened(path):
    path.mkdir()
    yield


@contextmanager
def on_a_full_disk(path):
    """As many bytes as a file may have stand for a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def read_only(path):
    kept = state(path)
    kept.save_success(Task("fit:a"))
    kept.close()
    with sqlite3.connect(path) as connection:
        connection.execute("create trigger never before insert on doit begin select raise(abort, 'read-only'); end")
        connection.execute("create trigger gone before delete on doit begin select raise(abort, 'read-only'); end")
    yield


@pytest.mark.parametrize("way", [unopened, on_a_full_disk, read_only])
def test_what_cannot_be_written_is_told_once_and_ends_nothing(tmp_path, capsys, way):
    """A training that is done shall not fail over it; `doit forget`, which does nothing else, fails."""
    with way(tmp_path / "db"):
        kept = state(tmp_path / "db")
        kept.save_success(Task("why", meta={"query": True}))
        assert capsys.readouterr().err == ""
        for name in "ab":
            kept.save_success(Task(f"fit:{name}"))
            assert kept.get_values(f"fit:{name}") == {}
        for change in (lambda: kept.remove("fit:a"), kept.remove_all, lambda: kept.ignore(Task("fit:c"))):
            with pytest.raises(InvalidCommand, match="db`, where doit keeps its state: "):
                change()
        kept.remove_success(Task("fit:a"))
        kept.close()
    said = capsys.readouterr().err
    assert said.count("cannot write") == 1
    assert f"`{tmp_path}/db`, where doit keeps its state: " in said


def test_what_could_not_be_written_is_written_once_there_is_room(tmp_path, capsys):
    kept = state(tmp_path / "db")
    with on_a_full_disk(tmp_path / "db"):
        kept.save_success(Task("fit:a"))
    kept.save_success(Task("fit:b"))
    kept.close()

    assert remembered(tmp_path / "db") == ["fit:a", "fit:b"]
    assert "cannot write" in capsys.readouterr().err


def test_a_damaged_file_that_cannot_be_set_aside_is_left(tmp_path, capsys, monkeypatch):
    """As where the folder cannot be written."""
    (tmp_path / "db").write_text("mine" * 1000)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda _self, to: (to / "none").touch())
        kept = state(tmp_path / "db")
    kept.save_success(Task("fit:a"))
    kept.close()

    assert (tmp_path / "db").read_text() == "mine" * 1000
    assert "cannot write" in capsys.readouterr().err


def test_a_busy_file_is_not_damaged(tmp_path):
    """Another process at work is waited for, and its file never set aside."""
    connection = sqlite3.connect(tmp_path / "db", timeout=0)
    connection.execute("create table doit (task_id text)")
    with sqlite3.connect(tmp_path / "db") as other:
        other.execute("begin exclusive")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("select * from doit")
        assert not is_damage(caught.value)
    connection.close()


def many_saved(folder):
    """A file with more tasks than are asked for one by one, each with its name as its result."""
    path, names = folder / "db", [f"fit:{number}" for number in range(2 * MANY)]
    kept = state(path)
    for name in names:
        kept.save_success(Task(name), result_hash=name)
    kept.close()
    return path, names


def test_a_task_is_known_as_it_is_also_where_many_are_asked_for(tmp_path):
    """From some number on they are read all at once; what is forgotten or written since then counts."""
    path, names = many_saved(tmp_path)
    second = state(path)
    assert [second._get(name, "result:") for name in names[: MANY + 2]] == names[: MANY + 2]
    second.remove_success(Task(names[-1]))
    second.save_success(Task(names[-2]), result_hash="another")
    assert [second._get(name, "result:") for name in names[MANY:]] == [*names[MANY:-2], "another", None]
    second.close()
    assert state(path)._get(names[-2], "result:") == "another"


def test_a_damaged_row_among_many_is_no_reason_to_forget_the_others(tmp_path):
    path, names = many_saved(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("insert into doit values ('not asked for', 'no json')")

    second = state(path)
    assert [second._get(name, "result:") for name in names] == names
