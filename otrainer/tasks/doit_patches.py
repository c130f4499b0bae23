"""Replace private parts of doit that its configuration does not reach."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from doit import cmd_base, control, loader  # type: ignore[import-untyped]  # doit ships no types

from otrainer.tasks.state import State

Creator = tuple[str, Callable[..., Any], int]
TASK = "task_"


def install(once_loaded: Callable[[], None]) -> None:
    """Replace doit's memory by `State`, and how it writes, finds the tasks of dodo.py and orders them.

    `once_loaded` is called when all of dodo.py has run, before doit makes its tasks.
    """
    cmd_base.Dependency = State
    cmd_base.DoitCmdBase.outstream = property(stream_of, keep_stream)
    loader._get_task_creators = task_creators
    control.ExecNode = Node
    loader.load_doit_config = partial(config_of, once_loaded)


def config_of(once_loaded: Callable[[], None], namespace: Mapping[str, Any]) -> Any:
    """Return the configuration in dodo.py, which doit asks for once, when it has read it."""
    once_loaded()
    return namespace.get("DOIT_CONFIG", {})


def stream_of(command: Any) -> Any:
    """Return where a command writes: to stdout as it is now, which doit asked for before there was one that lasts."""
    given = command.__dict__["outstream"]
    return sys.stdout if given in (None, sys.__stdout__) else given


def keep_stream(command: Any, stream: Any) -> None:
    command.__dict__["outstream"] = stream


class InOrder(dict[Any, None]):
    """A set that is gone through in the order in which it was filled."""

    def add(self, item: Any) -> None:
        self[item] = None


class Node(control.ExecNode):  # type: ignore[misc]  # doit ships no types
    """A task on its way: those that wait for it go on in their order, which doit leaves to addresses in memory.

    A task whose meta says `partial` makes do with what those before it have left, also where some of them failed.
    """

    def __init__(self, task: Any, parent: Any) -> None:
        super().__init__(task, parent)
        self.waiting_me = InOrder()

    def parent_status(self, parent_node: Any) -> None:
        if not (self.task.meta and self.task.meta.get("partial")):
            super().parent_status(parent_node)


def task_creators(namespace: Mapping[str, Any], _command_names: object = ()) -> list[Creator]:
    """Return name, function and line of each task in dodo.py; a name's words are joined by hyphens.

    doit asks `inspect` for the lines, which then tokenizes the file once for every task: a third of all that finding
    nothing to do may cost.
    """
    found: dict[str, Callable[..., Any]] = {}
    for name, each in namespace.items():
        if each is loader.task_params:
            continue
        if name.startswith(TASK) and (inspect.isfunction(each) or inspect.ismethod(each)):
            found[name[len(TASK) :].replace("_", "-")] = each
        elif (creator := getattr(each, "create_doit_tasks", None)) is not None and not needs_an_instance(each):
            found[getattr(creator, "basename", name)] = creator
    return [(name, each, line_of(each)) for name, each in found.items()]


def needs_an_instance(creator: object) -> bool:
    """Return whether this is a class whose objects create tasks, and not the class itself."""
    if not isinstance(creator, type):
        return False
    return inspect.isfunction(inspect.getattr_static(creator, "create_doit_tasks"))


def line_of(creator: Any) -> int:
    code = getattr(getattr(creator, "__func__", creator), "__code__", None)
    return 0 if code is None else code.co_firstlineno


def further_names(namespace: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    """Yield the names of tasks that creators in dodo.py give by themselves, by calling all but those in `known`."""
    for name, creator, _ in task_creators(namespace):
        later = getattr(creator, "doit_create_after", None)
        if later is not None:
            yield from later.creates
        elif name not in known:
            made = creator()
            for task in [made] if isinstance(made, dict) else made or ():
                yield str(task.get("basename", name) if isinstance(task, dict) else getattr(task, "name", name))
