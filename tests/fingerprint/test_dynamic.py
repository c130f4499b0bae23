"""Code that hides what it reaches takes in more than it reaches, and the notes say where and how much more."""

from __future__ import annotations

import pytest

from .package import Package

HIDING = '''\
"""About this module."""
import gc
import importlib
import inspect
import pkgutil
import runpy
import sys
from importlib.util import spec_from_file_location
from inspect import getsource

from . import tools
from .starred import *


def part(name):
    """Do it."""
    return None


BESIDE = 1


def remark():
    """Say it."""
    return 1  # once
'''
LINE = 17
MODULE = "all of the module counts"
PACKAGE = "all modules of the package count"
BYTES = "sources count as they are written"
DOCS = "docstrings count"
EDITS = {
    MODULE: ("plug/hiding", "BESIDE = 1", "BESIDE = 2"),
    PACKAGE: ("plug/far/away", "DISTANT = 1", "DISTANT = 2"),
    BYTES: ("plug/hiding", "return None", "return None  # so far"),
    DOCS: ("plug/hiding", "Do it.", "Do it well."),
}
# What a function returns, what is named in the note, and what it costs.
WAYS = (
    ("globals()[name]", "`globals()`", MODULE),
    ("vars()[name]", "`vars()`", MODULE),
    ("locals()[name]", "`locals()`", MODULE),
    ("exec(name)", "`exec()`", MODULE),
    ("eval(name)", "`eval()`", MODULE),
    ("part.__globals__[name]", "`part.__globals__`", MODULE),
    ("object.__subclasses__()", "`object.__subclasses__`", PACKAGE),
    ("sys.modules[name]", "`sys.modules`", PACKAGE),
    ("sys._getframe(1).f_globals", "`sys._getframe`", PACKAGE),
    ("inspect.currentframe()", "`inspect.currentframe`", PACKAGE),
    ("gc.get_objects()", "`gc.get_objects`", PACKAGE),
    ("gc.get_referrers(name)", "`gc.get_referrers`", PACKAGE),
    ("list(pkgutil.iter_modules())", "`pkgutil.iter_modules`", PACKAGE),
    ("list(pkgutil.walk_packages())", "`pkgutil.walk_packages`", PACKAGE),
    ("importlib.import_module(name)", "`importlib.import_module()`", PACKAGE),
    ("importlib.import_module('.x', name)", "`importlib.import_module()`", PACKAGE),
    ("__import__(name)", "`__import__()`", PACKAGE),
    ("spec_from_file_location(name)", "`spec_from_file_location`", PACKAGE),
    ("runpy.run_path(name)", "`runpy.run_path`", PACKAGE),
    ("runpy.run_module(name)", "`runpy.run_module`", PACKAGE),
    ("spec_from_file_location('x').loader.exec_module(name)", "`exec_module`", PACKAGE),
    ("inspect.getsource(part)", "`inspect.getsource`", BYTES),
    ("getsource(part)", "`getsource`", BYTES),
    ("inspect.getsourcelines(part)", "`inspect.getsourcelines`", BYTES),
    ("part.__code__", "`part.__code__`", BYTES),
    ("part.__doc__", "`part.__doc__`", DOCS),
    ("__doc__", "`__doc__`", DOCS),
    ("inspect.getdoc(part)", "`inspect.getdoc`", DOCS),
    ("help(part)", "`help()`", DOCS),
)
TOOLS = """\
NEAR = 1
OTHER = 1
"""


@pytest.fixture
def plug(package: Package) -> Package:
    package.write(
        {
            "plug/__init__": "",
            "plug/hiding": HIDING,
            "plug/tools": TOOLS,
            "plug/starred": "__all__ = ['SHOWN', 'ASIDE']\nSHOWN = 1\nASIDE = 1\n",
            "plug/far/__init__": "",
            "plug/far/away": "DISTANT = 1\n",
        }
    )
    return package


def use(plug: Package, value: str) -> None:
    plug.edit("plug/hiding", "return None", f"return {value}")


@pytest.mark.parametrize("cost", EDITS)
def test_code_that_hides_nothing_takes_in_nothing_more(plug: Package, cost: str) -> None:
    before = plug.code("plug.hiding:part")
    plug.edit(*EDITS[cost])

    assert plug.code("plug.hiding:part").digest == before.digest
    assert before.notes == ()


@pytest.mark.parametrize(("value", "what", "cost"), WAYS, ids=[row[0] for row in WAYS])
def test_what_hides_widens_what_counts_and_is_noted(plug: Package, value: str, what: str, cost: str) -> None:
    use(plug, value)
    before = plug.code("plug.hiding:part")
    module, old, new = EDITS[cost]
    plug.edit(module, old.replace("return None", f"return {value}"), new.replace("return None", f"return {value}"))

    assert plug.code("plug.hiding:part").digest != before.digest
    assert f"`plug/hiding.py:{LINE}` uses {what}: {cost}." in before.notes


@pytest.mark.parametrize(
    "value",
    [
        "name.eval()",
        "name.modules()",
        "name.locals",
        "vars(name)",
        "name.import_module('x').y",
        "{'globals': 1, 'exec': 'eval()'}",
        "getattr(name, 'eval')",
        "name.source.doc",
    ],
)
def test_words_that_only_look_so_hide_nothing(plug: Package, value: str) -> None:
    """A model's `eval()` is no built-in, nor is what stands in a text."""
    use(plug, value)
    before = plug.code("plug.hiding:part")
    plug.edit("plug/hiding", "BESIDE = 1", "BESIDE = 2")

    assert plug.code("plug.hiding:part").digest == before.digest
    assert before.notes == ()


@pytest.mark.parametrize("value", ["getattr(tools, name)", "vars(tools)[name]", "tools.__dict__[name]", "dir(tools)"])
def test_a_module_asked_for_any_name_counts_as_a_whole(plug: Package, value: str) -> None:
    use(plug, value)
    before = plug.code("plug.hiding:part").digest
    plug.edit("plug/tools", "OTHER = 1", "OTHER = 2")

    assert plug.code("plug.hiding:part").digest != before


def test_a_module_that_is_handed_on_counts_as_a_whole(plug: Package) -> None:
    plug.edit("plug/hiding", "BESIDE = 1", "BESIDE = [tools]")
    use(plug, "BESIDE[0]")
    before = plug.code("plug.hiding:part").digest
    plug.edit("plug/tools", "OTHER = 1", "OTHER = 2")

    assert plug.code("plug.hiding:part").digest != before


@pytest.mark.parametrize("value", ["importlib.import_module('plug.tools').NEAR", "__import__('plug.tools')"])
def test_a_module_imported_by_a_name_that_is_written_counts_alone(plug: Package, value: str) -> None:
    use(plug, value)
    before = plug.code("plug.hiding:part")
    plug.edit("plug/far/away", "DISTANT = 1", "DISTANT = 2")
    beside = plug.code("plug.hiding:part").digest
    plug.edit("plug/tools", "NEAR = 1", "NEAR = 2")

    assert beside == before.digest
    assert plug.code("plug.hiding:part").digest != before.digest
    assert before.notes == ()


def test_of_a_starred_module_what_is_read_counts_and_what_it_shows(plug: Package) -> None:
    use(plug, "SHOWN")
    seen = [plug.code("plug.hiding:part").digest]
    for old, new in (("SHOWN = 1", "SHOWN = 2"), ("'ASIDE']", "'ASIDE', 'x']"), ("ASIDE = 1", "ASIDE = 2")):
        plug.edit("plug/starred", old, new)
        seen.append(plug.code("plug.hiding:part").digest)

    assert len(set(seen[:3])) == 3
    assert seen[3] == seen[2]


@pytest.mark.parametrize(
    ("line", "value", "what", "cost"),
    [
        ("from sys import modules", "modules[name]", "`sys.modules`", PACKAGE),
        ("from importlib import import_module as load", "load(name)", "`importlib.import_module`", PACKAGE),
        ("from builtins import eval as run", "run(name)", "`builtins.eval`", MODULE),
        ("run = eval", "run(name)", "`eval`", MODULE),
        ("load = importlib.import_module", "load(name)", "`importlib.import_module`", PACKAGE),
        ("load = {'how': __import__}", "load['how'](name)", "`__import__`", PACKAGE),
        ("import builtins", "builtins.exec(name)", "`exec()`", MODULE),
    ],
)
def test_another_name_for_what_hides_hides_as_much(plug: Package, line: str, value: str, what: str, cost: str) -> None:
    plug.edit("plug/hiding", "BESIDE = 1", f"BESIDE = 1\n{line}")
    use(plug, value)
    before = plug.code("plug.hiding:part")
    plug.edit(*EDITS[cost])

    assert plug.code("plug.hiding:part").digest != before.digest
    assert any(f"uses {what}: {cost}." in note for note in before.notes)


def test_what_hides_two_imports_away_is_noted_where_it_stands(plug: Package) -> None:
    plug.edit("plug/tools", "OTHER = 1", "def found(name):\n    return globals()[name]")
    use(plug, "tools.found(name)")

    assert plug.code("plug.hiding:part").notes == (f"`plug/tools.py:3` uses `globals()`: {MODULE}.",)


def test_what_hides_in_code_that_is_not_reached_costs_nothing(plug: Package) -> None:
    plug.edit("plug/hiding", "return 1  # once", "return globals()")

    assert plug.code("plug.hiding:part").notes == ()


def test_what_hides_at_import_counts_for_every_component_of_the_module(plug: Package) -> None:
    plug.edit("plug/hiding", "BESIDE = 1", "for name in ('a', 'b'):\n    globals()[name] = 1\nBESIDE = 1")
    before = plug.code("plug.hiding:part")
    plug.edit("plug/hiding", "return 1  # once", "return 2")

    assert plug.code("plug.hiding:part").digest != before.digest
    assert before.notes == (f"`plug/hiding.py:21` uses `globals()`: {MODULE}.",)
