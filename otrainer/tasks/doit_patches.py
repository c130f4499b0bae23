"""Replace private parts of doit that its configuration does not reach."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from doit import cmd_base, control, loader  # type: ignore[import-untyped]  # doit ships no types

from otrainer.tasks.state import State

Creator = tuple[str, Callable[..., Any], int]
TASK = "task_"


def install() -> None:
    """Replace doit's memory by `State`, and how it writes, finds the tasks of dodo.py and orders them."""
    cmd_base.Dependency = State
    cmd_base.DoitCmdBase.outstream = property(stream_of, keep_stream)
    loader._get_task_creators = task_creators
    control.ExecNode = Node


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
    functions = {name[len(TASK) :].replace("_", "-"): each for name, each in namespace.items() if name.startswith(TASK)}
    return [(name, each, each.__code__.co_firstlineno) for name, each in functions.items() if inspect.isfunction(each)]
