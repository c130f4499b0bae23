"""`_target_`: what it reaches is defined in an allowed module, truly, or refused before anything foreign is asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from otrainer.config import Settings
from otrainer.errors import Finding
from otrainer.registry import Registry, check_value, instantiate_value

GOOD = """
import functools
import json
import types
from dataclasses import dataclass
from functools import partial
from json import dumps as borrowed
from os import system

import lazy_lib
from foreign import Forged, Named, Plain, forged, wrapped

class Own:
    @classmethod
    def make(cls, size=1):
        return size

    @staticmethod
    def fixed(size=1):
        return size

    class Inner:
        def __init__(self, size=1):
            self.size = size

        def __eq__(self, other):
            return self.size == other

    taken = staticmethod(system)

class Sub(Own):
    pass

class Caller:
    def __call__(self, size=1):
        return size

@dataclass(slots=True)
class Data:
    size: int = 1

    def __eq__(self, other):
        return self.size == other

class P(partial):
    pass

class Proxy:
    __class__ = types.FunctionType

    def __call__(self):
        return "allowed code"

def own(size=1):
    return size

def maker():
    class Local:
        pass
    return Local

whole = functools.partial(functools.partial(own), 2)
bound = Own().make
caller = Caller()
sneaky = functools.partial(system, "true")
bound_foreign = Plain().method
instance = Plain()
sub_partial = P(system, "true")
cached = functools.cache(own)
computed = type("Computed", (), {})
local = maker()
escape = json.loads
data = 3
joined = "".join
here = exec
faked = types.FunctionType(compile("print(1)", "x", "exec"), {"__name__": __name__})
"""
FOREIGN = """
import functools
from os import system

class Plain:
    def method(self):
        return "foreign"
    def __call__(self):
        return "foreign"

class Forged:
    pass

class Named:
    pass

def forged():
    return "foreign"

@functools.wraps(forged)
def wrapped():
    return system("true")

def claim(home):
    for each in (Forged, Named, forged, wrapped):
        each.__module__ = home
    Named.__qualname__ = "Own"

claim("allowed_pkg.good")
"""
LAZY = """
import pathlib
def __getattr__(name):
    pathlib.Path("asked").write_text(name)
    import never_imported
"""


@pytest.fixture
def targets(tmp_path, monkeypatch):
    """Settings that allow `allowed_pkg.`, which holds all that a module may hold of others."""
    (tmp_path / "allowed_pkg").mkdir()
    (tmp_path / "allowed_pkg" / "good.py").write_text(GOOD)
    (tmp_path / "allowed_pkg" / "broken.py").write_text("1 / 0\n")
    (tmp_path / "allowed_pkg" / "alias.py").write_text("import os, sys\nsys.modules[__name__] = os\n")
    (tmp_path / "allowed_pkg_evil.py").write_text("raise SystemError('imported')\n")
    (tmp_path / "foreign.py").write_text(FOREIGN)
    (tmp_path / "lazy_lib.py").write_text(LAZY)
    (tmp_path / "never_imported.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield Settings(allow_target=True, allowed_import_prefixes=("allowed_pkg.",))
    for name in [name for name in sys.modules if name.startswith(("allowed_pkg", "foreign", "lazy_lib", "never_"))]:
        del sys.modules[name]


def finding(name: str, settings: Settings, **arguments: object) -> Finding:
    (found,) = check_value({"_target_": name, **arguments}, registry=Registry(), settings=settings)
    return found


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("good.own", 5),
        ("good.Own.make", 5),
        ("good.Own.fixed", 5),
        ("good.Own.Inner", 5),
        ("good.Sub.make", 5),
        ("good.Data", 5),
        ("good.bound", 5),
        ("good.caller", 5),
        ("good.whole", 2),
    ],
)
def test_a_target_builds_what_an_allowed_module_defines(targets, name, result):
    spec = {"_target_": f"allowed_pkg.{name}", **({} if name == "good.whole" else {"size": 5})}
    assert instantiate_value(spec, registry=Registry(), settings=targets) == result


def test_an_object_that_claims_to_be_another_is_what_it_is(targets):
    assert (
        instantiate_value({"_target_": "allowed_pkg.good.Proxy"}, registry=Registry(), settings=targets)()
        == "allowed code"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.system", "lies in `os`, which is under no allowed prefix"),
        ("allowed_pkg_evil.x", "lies in `allowed_pkg_evil`, which is under no allowed prefix"),
        ("allowed_pkg.good.system", f"is defined in `{os.name}`"),
        ("allowed_pkg.good.borrowed", "is defined in `json`"),
        ("allowed_pkg.good.escape", "is defined in `json`"),
        ("allowed_pkg.good.json.dumps", "`allowed_pkg.good.json` is defined in `json`"),
        ("allowed_pkg.good.sneaky", f"is defined in `{os.name}`"),
        ("allowed_pkg.good.Own.taken", f"is defined in `{os.name}`"),
        ("allowed_pkg.good.bound_foreign", "is defined in `foreign`"),
        ("allowed_pkg.good.instance", "is defined in `foreign`"),
        ("allowed_pkg.good.Plain", "is defined in `foreign`"),
        ("allowed_pkg.good.Plain.method", "`allowed_pkg.good.Plain` is defined in `foreign`"),
        ("allowed_pkg.good.cached", "is defined in `functools`"),
        ("allowed_pkg.good.here", "is defined in `builtins`"),
        ("allowed_pkg.good.data", "is defined in `builtins`"),
        ("allowed_pkg.alias.system", "`allowed_pkg.alias` is defined in `os`"),
        # What says that it is of the allowed module, and is not.
        ("allowed_pkg.good.forged", "is defined in `foreign`"),
        ("allowed_pkg.good.wrapped", "is defined in `foreign`"),
        ("allowed_pkg.good.Forged", "and there is no such class in the source"),
        ("allowed_pkg.good.Named", "which is another class"),
        # What cannot be told.
        ("allowed_pkg.good.computed", "and there is no such class in the source"),
        ("allowed_pkg.good.local", "and there is no such class in the source"),
        ("allowed_pkg.good.sub_partial", "it may call anything"),
        ("allowed_pkg.good.faked", "it is a function that no module holds"),
        ("allowed_pkg.good.joined", "it is a method of a built-in object"),
        ("allowed_pkg.good.Own.__subclasses__", "it is a method of a built-in object"),
        # What is not there.
        ("allowed_pkg.good.nothing", "AttributeError"),
        ("allowed_pkg.broken.x", "ZeroDivisionError"),
        ("allowed_pkg.missing.x", "cannot be imported"),
        ("nodots", "no dotted name"),
        ("allowed_pkg.good.own()", "no dotted name"),
        ("allowed_pkg.good:own", "no dotted name"),
        ("allowed_pkg..good.own", "no dotted name"),
        (".allowed_pkg.good.own", "no dotted name"),
    ],
)
def test_a_target_outside_the_allowed_prefixes_is_refused(targets, name, message):
    found = finding(name, targets)
    assert message in found.message
    assert found.config_path == ("_target_",)


@pytest.mark.parametrize(
    "name", ["lazy_lib.x", "allowed_pkg.good.lazy_lib.x", "never_imported.x", "allowed_pkg_evil.x"]
)
def test_nothing_foreign_is_imported_or_asked_before_it_is_refused(targets, name):
    assert "under no allowed prefix" in finding(name, targets).message
    assert not {"never_imported", "allowed_pkg_evil"} & set(sys.modules)
    assert not Path("asked").exists()


def test_arguments_of_a_target_are_checked_where_they_can_be(targets):
    assert finding("allowed_pkg.good.own", targets, siez=1).suggestions == ("size",)


def test_a_prefix_that_is_a_module_allows_it_and_what_lies_below(targets):
    narrow = Settings(allow_target=True, allowed_import_prefixes=("allowed_pkg.good",))

    assert instantiate_value({"_target_": "allowed_pkg.good.own"}, registry=Registry(), settings=narrow) == 1
    assert "lies in `allowed_pkg.broken`" in finding("allowed_pkg.broken.x", narrow).message


def test_torchs_own_classes_and_functions_are_told():
    torch_allowed = Settings(allow_target=True, allowed_import_prefixes=("torch",))
    layer = instantiate_value({"_target_": "torch.nn.Identity"}, registry=Registry(), settings=torch_allowed)

    assert type(layer).__name__ == "Identity"
    (missing,) = check_value({"_target_": "torch.nn.functional.relu"}, registry=Registry(), settings=torch_allowed)
    assert "needs the argument `input`" in missing.message
