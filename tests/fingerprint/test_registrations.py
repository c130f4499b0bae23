"""How a plugin registers: written straight down, each registration counts for its own key, else all of it for all."""

from __future__ import annotations

import pytest

from .package import Package

PLUGIN = """\
import functools
import torch

TAGS = ("a",)
POLICY = "strict"
MORE = 1


class One:
    pass


class Two:
    pass


def swapped(x):
    return x


def helper(registry):
    registry.register_module("loss.three", Two)


def register(registry):
    '''Bring two parts.'''
    registry.register_module("loss.one", One, tags=TAGS)
    registry.register_module("loss.two", Two)
    registry.register_op("swapped", swapped)
"""
ONE = 'registry.register_module("loss.one", One, tags=TAGS)'
TWO = 'registry.register_module("loss.two", Two)'
KEYS = {"loss.one": "One", "loss.two": "Two", "op:swapped": "swapped"}
# What `register` also does, and with which it is not a straight line any more.
CROOKED = {
    "a loop": "for name in ('x', 'y'):\n        registry.register_module(f'loss.{name}', One)",
    "a condition": "if MORE:\n        registry.register_module('loss.x', One)",
    "a handler": "try:\n        import thing\n    except ImportError:\n        pass",
    "a context": "with open('x') as file:\n        pass",
    "a helper": "helper(registry)",
    "an alias of the registry": "other = registry\n    other.register_module('loss.x', One)",
    "an alias of its method": "add = registry.register_module\n    add('loss.x', One)",
    "a key that is computed": "registry.register_module('loss.' + POLICY, One)",
    "a part that is computed": "registry.register_module('loss.x', functools.reduce(max, [One]))",
    "arguments that are unpacked": "registry.register_module(*('loss.x', One))",
    "keywords that are unpacked": "registry.register_module(**{'name': 'loss.x', 'factory': One})",
    "a key again": "registry.register_module('loss.two', One)",
    "another method": "registry.plugins.clear()",
    "an assertion": "assert registry",
    "a name of its own": "made = One",
    "an inner function": "def make():\n        return One()",
    "a global": "global MORE\n    MORE = 2",
}


@pytest.fixture
def plug(package: Package) -> Package:
    package.write({"plug/__init__": "", "plug/parts": PLUGIN, "plug/lazy": "class Lazy:\n    pass\n"})
    return package


def prints(plug: Package) -> dict[str, str]:
    """The fingerprint of each component, and that of the plugin whatever is used of it."""
    found = {key: plug.registered("plug.parts", key, f"plug.parts:{name}") for key, name in KEYS.items()}
    return {**found, "plugin": plug.plugin("plug.parts")}


def changed(plug: Package, old: str, new: str) -> set[str]:
    before = prints(plug)
    plug.edit("plug/parts", old, new)
    after = prints(plug)
    return {key for key in before if before[key] != after[key]}


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        (ONE, ONE.replace("TAGS", "('b',)"), {"loss.one"}),
        (ONE, ONE.replace(")", ", signature_policy=POLICY)"), {"loss.one"}),
        (ONE, ONE.replace(")", ", doc='One.')"), {"loss.one"}),
        (ONE, ONE.replace("One,", "functools.partial(One),"), {"loss.one"}),
        (ONE, ONE.replace('"loss.one", One', 'name="loss.one", factory=One'), {"loss.one"}),
        (ONE, ONE.replace("One,", "lambda: One(),"), {"loss.one"}),
        (ONE, ONE.replace("One,", "torch.nn.MSELoss,"), {"loss.one"}),
        (TWO, TWO.replace("Two", "One"), {"loss.two"}),
        ('"swapped", swapped', '"swapped", swapped, doc="So."', {"op:swapped"}),
        ('TAGS = ("a",)', 'TAGS = ("b",)', {"loss.one"}),
        ('POLICY = "strict"', 'POLICY = "best_effort"', set()),
        (TWO, f'{TWO}\n    registry.register_module("loss.new", Two)', set()),
        (TWO, f"{TWO}  # a remark", set()),
        ("'''Bring two parts.'''", "'''Bring parts.'''", set()),
        (ONE, f"{ONE}\n    pass", set()),
        ("swapped)\n", "swapped)\n    return None\n", set()),
        (f"{ONE}\n    {TWO}", f"{TWO}\n    {ONE}", set()),
    ],
)
def test_a_straight_line_counts_per_registration(plug: Package, old: str, new: str, keys: set[str]) -> None:
    assert changed(plug, old, new) == keys


def test_what_a_registration_names_counts_even_where_the_component_is_another(plug: Package) -> None:
    """A factory behind a name that the call reads is part of how the key comes about."""
    plug.edit("plug/parts", ONE, ONE.replace("One,", "functools.partial(helper, MORE),"))

    assert changed(plug, "MORE = 1", "MORE = 2") == {"loss.one"}


@pytest.mark.parametrize("what", CROOKED)
def test_anything_else_counts_as_a_whole(plug: Package, what: str) -> None:
    """Then no registration can be told from another: all of it counts for every key, and for the plugin."""
    everything = {*KEYS, "plugin"}

    assert changed(plug, TWO, f"{TWO}\n    {CROOKED[what]}") == everything
    assert changed(plug, ONE, ONE.replace("TAGS", "('b',)")) == everything


def test_a_plain_loop_takes_in_what_it_reads(plug: Package) -> None:
    plug.edit("plug/parts", TWO, f"{TWO}\n    {CROOKED['a condition']}")

    assert changed(plug, "MORE = 1", "MORE = 2") == {*KEYS, "plugin"}
    assert changed(plug, 'POLICY = "strict"', 'POLICY = "runtime_only"') == set()


def test_a_helper_that_registers_counts(plug: Package) -> None:
    plug.edit("plug/parts", TWO, f"{TWO}\n    helper(registry)")

    assert changed(plug, '"loss.three", Two', '"loss.three", One') == {*KEYS, "plugin"}


@pytest.mark.parametrize(
    "head",
    [
        "@functools.cache\ndef register(registry):",
        "def register(registry, more=None):",
        "if torch:\n  def register(registry):",
        "def register(*registry):",
    ],
)
def test_a_register_of_another_shape_counts_as_a_whole(plug: Package, head: str) -> None:
    plug.edit("plug/parts", "def register(registry):", head)

    assert "loss.two" in changed(plug, ONE, ONE.replace("TAGS", "('b',)"))


def test_a_register_from_elsewhere_counts_as_a_whole(plug: Package) -> None:
    plug.write({"plug/shown": "from .parts import register\n"})
    before = plug.registered("plug.shown", "loss.two", "plug.parts:Two")
    plug.edit("plug/parts", ONE, ONE.replace("TAGS", "('b',)"))

    assert plug.registered("plug.shown", "loss.two", "plug.parts:Two") != before


def test_what_register_imports_counts_by_what_is_named(plug: Package) -> None:
    """An import in a straight line runs for every key, but only what it does on import counts for all."""
    plug.edit("plug/parts", TWO, "from .lazy import Lazy\n    registry.register_module('loss.two', Lazy)")
    before = {key: plug.registered("plug.parts", key, f"plug.parts:{name}") for key, name in KEYS.items()}
    lazy = plug.registered("plug.parts", "loss.two", "plug.lazy:Lazy")
    plug.edit("plug/lazy", "pass", "value = 1")
    after = {key: plug.registered("plug.parts", key, f"plug.parts:{name}") for key, name in KEYS.items()}

    assert {key for key in KEYS if before[key] != after[key]} <= {"loss.two"}
    assert plug.registered("plug.parts", "loss.two", "plug.lazy:Lazy") != lazy
    plug.edit("plug/lazy", "class Lazy", "print(end='')\n\n\nclass Lazy")
    assert plug.registered("plug.parts", "loss.one", "plug.parts:One") != after["loss.one"]


def test_a_plugin_without_register_is_what_its_import_does(plug: Package) -> None:
    plug.write({"plug/bare": "VALUE = 1\n"})
    before = plug.plugin("plug.bare")
    plug.edit("plug/bare", "VALUE = 1", "VALUE = 2")
    same = plug.plugin("plug.bare")
    plug.edit("plug/bare", "VALUE = 2", "print(end='')")

    assert same == before
    assert plug.plugin("plug.bare") != before
