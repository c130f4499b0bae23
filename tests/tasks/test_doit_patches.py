"""The parts of doit that are replaced are still there to be replaced, and answer as doit's own do."""

from __future__ import annotations

import inspect
import tomllib

import doit
from doit import cmd_base, loader

from otrainer.tasks.doit_patches import task_creators
from otrainer.tasks.help import Help

from .processes import REPO


def task_two():
    """The later name."""
    return {"actions": []}


def task_one():
    """The earlier name."""
    return {"actions": []}


def test_tasks_are_found_as_doit_finds_them():
    """The same names, functions and lines, without reading the file again."""
    namespace = {"task_two": task_two, "task_one": task_one, "task_three": "no function", "other": task_one}
    ours = task_creators(namespace, ["list"])
    theirs = loader._get_task_creators({key: namespace[key] for key in ("task_two", "task_one")}, ["list"])
    assert ours == theirs


def test_doit_still_has_what_is_replaced():
    """Another version of doit may call these in another way; then this has to be looked at again."""
    assert doit.__version__[:2] == (0, 37)
    assert "Dependency(" in inspect.getsource(cmd_base.DoitCmdBase.execute)
    assert "_get_task_creators(namespace, command_names)" in inspect.getsource(loader.load_tasks)


def test_the_help_of_an_installed_package_and_of_a_checkout_are_one():
    """doit finds it by an entry point, and in a checkout by the file that it reads anyway."""
    settings = tomllib.loads((REPO / "pyproject.toml").read_text())
    installed = settings["project"]["entry-points"]["doit.COMMAND"]

    assert installed == settings["tool"]["doit"]["plugins"]["command"] == {"help": f"{Help.__module__}:Help"}
    assert Help.get_name() == "help"
