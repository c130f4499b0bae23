"""The parts of doit that are replaced are still there to be replaced, and answer as doit's own do."""

from __future__ import annotations

import inspect
import tomllib

import doit
from doit import cmd_base, loader

from otrainer.tasks.doit_patches import further_names, task_creators
from otrainer.tasks.help import Help

from .processes import REPO


def task_two():
    """The later name."""
    return {"actions": []}


def task_one():
    """The earlier name."""
    return {"actions": []}


class Made:
    """Creates its tasks by itself."""

    @staticmethod
    def create_doit_tasks():
        return {"actions": []}


class Bound:
    """One whose objects create tasks; of the class itself doit would ask it in vain."""

    def create_doit_tasks(self):
        return {"actions": []}


def test_tasks_are_found_as_doit_finds_them():
    """The same names, functions and lines, without reading the file again."""
    names = ("task_two", "task_one", "Made", "made", "task_method", "task_params", "DelayedLoader")
    several = (task_two, task_one, Made, Made(), Made().create_doit_tasks, loader.task_params, loader.DelayedLoader)
    namespace = dict(zip(names, several, strict=True))
    ours = task_creators({**namespace, "task_three": "no function", "other": task_one}, ["list"])
    theirs = loader._get_task_creators(namespace, ["list"])
    assert [name for name, *_ in ours] == [name for name, *_ in theirs]
    assert [line for *_, line in ours] == [line for *_, line in theirs]
    assert [name for name, *_ in task_creators({"Bound": Bound, "bound": Bound()})] == ["bound"]


def test_the_names_that_creators_give_their_tasks_are_known():
    """Those of one that waits for another task are what it says that it creates."""

    def several():
        yield {"basename": "one", "actions": []}
        yield {"name": "part", "actions": []}

    @loader.create_after(creates=["later"])
    def waits():
        raise AssertionError

    namespace = {"task_several": several, "task_waits": waits, "task_two": task_two}
    assert list(further_names(namespace, ["two"])) == ["one", "several", "later"]


def test_doit_still_has_what_is_replaced():
    """Another version of doit may call these in another way; then this has to be looked at again."""
    assert doit.__version__[:2] == (0, 37)
    assert "Dependency(" in inspect.getsource(cmd_base.DoitCmdBase.execute)
    assert "_get_task_creators(namespace, command_names)" in inspect.getsource(loader.load_tasks)
    assert "loader.load_doit_config(self.namespace)" in inspect.getsource(cmd_base.NamespaceTaskLoader.load_doit_config)


def test_the_help_of_an_installed_package_and_of_a_checkout_are_one():
    """doit finds it by an entry point, and in a checkout by the file that it reads anyway."""
    settings = tomllib.loads((REPO / "pyproject.toml").read_text())
    installed = settings["project"]["entry-points"]["doit.COMMAND"]

    assert installed == settings["tool"]["doit"]["plugins"]["command"] == {"help": f"{Help.__module__}:Help"}
    assert Help.get_name() == "help"
