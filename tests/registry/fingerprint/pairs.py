"""Edits of small packages that change what a component does, and whether its fingerprint sees them.

    python tests/registry/fingerprint/pairs.py

prints for each pair whether it really does something else, found by running it, and whether it is seen. It forks, so it
wants a process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import textwrap
import warnings
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "campaigns"))

from oracle import in_child, values_of

from otrainer.registry.fingerprint import Fingerprints, named

PLUGIN = "plug.plugin"
# What a plugin gets that defines no part, and one that does not register.
PART = "\nclass Part:\n    def value(self, x):\n        return X\n"
REGISTER = "\ndef register(registry):\n    registry.register_module('part', Part)\n"
# What an edit does: the modules below `plug`, each after its name (`/name` lies beside `plug`), then old and new texts.
# The part of the plugin has the value `X` where it is not written.
PAIRS: dict[str, tuple[str, ...]] = {}


def pair(what: str, text: str, *edit: str) -> None:
    PAIRS[what] = (textwrap.dedent(text), *edit)


pair(
    "a keyword gets a default of None",
    """
    @ plugin
    def f(*, k):
        return 1

    class Part:
        def value(self, x):
            return f()
    """,
    "*, k",
    "*, k=None",
)
pair(
    "a mapping is unpacked instead of standing behind None",
    """
    @ plugin
    X = {None: {1: 2}}
    """,
    "{None: {1: 2}}",
    "{**{1: 2}}",
)
pair(
    "a class binds a name of its module",
    """
    @ plugin
    X = 1

    class Other:
        global X
        X = 2
    """,
    "X = 2",
    "X = 3",
)
pair(
    "a comprehension puts its items into a place that a name of the module says",
    """
    @ plugin
    PLACE = 0

    class Part:
        def value(self, x):
            found = [0, 0]
            [x for found[PLACE] in [5]]
            return found
    """,
    "PLACE = 0",
    "PLACE = 1",
)
pair(
    "a method is imported in the body of its class",
    """
    @ tools
    def value(self, x):
        return 1
    @ plugin
    class Part:
        from .tools import value
    """,
    "return 1",
    "return 2",
)
pair(
    "a module is imported in the body of a class",
    """
    @ tools
    X = 1
    @ plugin
    class Part:
        from . import tools as its

        def value(self, x):
            return self.its.X
    """,
    "X = 1",
    "X = 2",
)
pair(
    "a private name of a class is one of its module",
    """
    @ plugin
    _Part__width = 1

    class Part:
        def value(self, x):
            return __width
    """,
    "= 1",
    "= 2",
)


def edited(text: str, *edit: str) -> str:
    for old, new in zip(edit[::2], edit[1::2], strict=True):
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {text}"
        text = text.replace(old, new)
    return text


def write(folder: Path, text: str) -> None:
    """The modules of a pair, each under a line `@ name`."""
    modules = {"__init__": ""}
    for part in text.strip().removeprefix("@ ").split("\n@ "):
        name, _, body = part.partition("\n")
        modules[name] = body + "\n"
    if "class Part" not in text:
        modules["plugin"] += PART
    if "register" not in modules["plugin"]:
        modules["plugin"] += REGISTER
    for name, body in modules.items():
        path = folder / (f"{name[1:]}.py" if name.startswith("/") else f"plug/{name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)


def ran(folder: Path) -> list[str]:
    """The target that is registered in `folder`, and its values."""
    from otrainer.config.settings import Settings
    from otrainer.registry import Registry, load_plugins

    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    registry = Registry()
    load_plugins([PLUGIN], registry=registry, settings=Settings(allowed_import_prefixes=("plug.",)))
    entry = registry.get_module("part")
    return [":".join(named(entry.factory)), in_child(partial(values_of, entry.target))]


def judged(text: str) -> tuple[str, list[str]]:
    """What a package does, and the code part of its component's definition."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), text)
        target, values = json.loads(in_child(lambda: json.dumps(ran(Path(folder)))))
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            look = Fingerprints()
            return values, [target, look.registered(PLUGIN, "part", target).digest, look.plugin(PLUGIN).digest]
        finally:
            sys.path.remove(folder)


def verdict(text: str, *edit: str) -> tuple[bool, bool]:
    """Whether an edit changes what a component does, and whether its definition says so."""
    before, after = judged(text), judged(edited(text, *edit))
    return before[0] != after[0], before[1] != after[1]


if __name__ == "__main__":
    print(json.dumps({what: verdict(*given) for what, given in PAIRS.items()}))
