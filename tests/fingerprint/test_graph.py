"""What a component reaches counts, by whatever construct it does; what it does not reach does not."""

from __future__ import annotations

import pytest

from .package import Package

PARTS = '''\
"""Parts."""
from __future__ import annotations

import functools
from dataclasses import dataclass, field
from functools import partial

from . import deep, tools
from .deep import inner as within
from .tools import scale as by, Base, WIDTH
from .forward import passed_on


def deco(step):
    def wrap(fn):
        @functools.wraps(fn)
        def call(*args):
            return fn(*args) + step
        return call
    return wrap


class Meta(type):
    def __new__(meta, name, bases, space):
        space["made"] = MARK
        return super().__new__(meta, name, bases, space)


MARK = "m"
TABLE = {name: index for index, name in enumerate(["a", "b"])}
half = partial(by, 2)
UNUSED = 5
OTHER_UNUSED = [1, 2, {"x": UNUSED}]


def helper(x, limit=WIDTH):
    return min(x, limit)


@deco(3)
def stepped(x):
    return x


class Part(Base):
    kind = "plain"

    def __init__(self, width: int = 4):
        self.width = width

    def run(self, x):
        """Run it."""
        UNUSED = x
        squares = [OTHER_UNUSED for OTHER_UNUSED in range(3)]
        return helper(by(UNUSED)) + half() + tools.OFFSET + within.DEPTH + passed_on(x) + TABLE["a"] + len(squares)


class Late:
    def run(self, x):
        from .late import later

        return later(x)


@dataclass
class Settings:
    rate: float = 0.1
    names: list = field(default_factory=list)


class Made(metaclass=Meta):
    pass


class Unused(Base):
    def run(self, x):
        return -x


if __name__ == "__main__":
    print("a script")
'''
TOOLS = """\
OFFSET = 1
WIDTH = 8


class Base:
    bias = 0

    def base(self):
        return self.bias


def scale(x, by=2):
    return x * by * FACTOR


FACTOR = 3


def never():
    return 0
"""


@pytest.fixture
def plug(package: Package) -> Package:
    package.write(
        {
            "plug/__init__": "",
            "plug/parts": PARTS,
            "plug/tools": TOOLS,
            "plug/deep/__init__": "LEVEL = 0\n",
            "plug/deep/inner": "DEPTH = 2\nBESIDE = 0\n",
            "plug/forward": "from .origin import origin as passed_on\nfrom .origin import other\n",
            "plug/origin": "def origin(x):\n    return x\n\n\ndef other(x):\n    return -x\n",
            "plug/late": "def later(x):\n    return x\n",
        }
    )
    return package


COUNTS = (
    ("plug/parts", "return min(x, limit)", "return max(x, limit)", "a function it calls"),
    ("plug/parts", "limit=WIDTH", "limit=WIDTH + 1", "a default argument"),
    ("plug/parts", "width: int = 4", "width: int = 5", "a default of its own"),
    ("plug/parts", 'kind = "plain"', 'kind = "other"', "a class attribute"),
    ("plug/parts", 'enumerate(["a", "b"])', 'enumerate(["b", "a"])', "a comprehension"),
    ("plug/parts", "partial(by, 2)", "partial(by, 3)", "a partial"),
    ("plug/parts", "class Part(Base):", "class Part(Base, object):", "its bases"),
    (
        "plug/parts",
        "from .tools import scale as by,",
        "from .origin import other as by\nfrom .tools import",
        "an alias",
    ),
    ("plug/parts", "len(squares)", 'len("squares")', "its own body"),
    ("plug/tools", "bias = 0", "bias = 1", "a base in another module"),
    ("plug/tools", "by=2", "by=4", "a default in another module"),
    ("plug/tools", "FACTOR = 3", "FACTOR = 4", "a constant behind a function"),
    ("plug/tools", "OFFSET = 1", "OFFSET = 2", "an attribute of a module"),
    ("plug/tools", "WIDTH = 8", "WIDTH = 9", "an imported constant"),
    ("plug/deep/inner", "DEPTH = 2", "DEPTH = 3", "an attribute of a submodule under another name"),
    ("plug/forward", "import origin as passed_on", "import other as passed_on", "a re-export"),
    ("plug/origin", "    return x\n", "    return x + 1\n", "what is re-exported"),
    ("plug/tools", "OFFSET = 1", "OFFSET = 1\nprint(OFFSET)", "a statement that acts"),
    ("plug/__init__", "", "import sys\nsys.setrecursionlimit(2000)\n", "what a parent package does"),
    ("plug/origin", "def other", "import json\njson.dumps = None\ndef other", "a patch on the way"),
    ("plug/parts", "from . import deep, tools", "from . import deep, tools, late\ntools.OFFSET = 5", "a patch"),
)
COUNTS_NOT = (
    ("plug/parts", "UNUSED = 5", "UNUSED = 6", "a constant whose name is a local variable of it"),
    ("plug/parts", "OTHER_UNUSED = [1, 2,", "OTHER_UNUSED = [1, 3,", "one whose name is bound by a comprehension"),
    ("plug/parts", "return -x", "return x", "a class beside it"),
    ("plug/parts", "rate: float = 0.1", "rate: float = 0.2", "a dataclass beside it"),
    ("plug/parts", '"""Run it."""', '"""Run it well."""', "a docstring"),
    ("plug/parts", 'print("a script")', "pass", "what runs as a script"),
    ("plug/tools", "return 0", "return 1", "a function that nobody calls"),
    ("plug/origin", "return -x", "return x", "one that is passed on under another name"),
    ("plug/deep/inner", "BESIDE = 0", "BESIDE = 1", "another attribute of a submodule"),
    ("plug/deep/__init__", "LEVEL = 0", "LEVEL = 1", "an attribute of a package on the way"),
    ("plug/late", "return x", "return -x", "what another class imports late"),
    ("plug/parts", "class Unused(Base):", "class Extra:\n    pass\n\n\nclass Unused(Base):", "a new class"),
    (
        "plug/parts",
        "def helper(x, limit",
        "def helper(x,  # as wide as allowed\n           limit",
        "layout and comments",
    ),
)


@pytest.mark.parametrize(("module", "old", "new", "what"), COUNTS, ids=[row[-1] for row in COUNTS])
def test_it_counts(plug: Package, module: str, old: str, new: str, what: str) -> None:
    before = plug.code("plug.parts:Part").digest
    if old:
        plug.edit(module, old, new)
    else:
        (plug.folder / f"{module}.py").write_text(new)

    assert plug.code("plug.parts:Part").digest != before


@pytest.mark.parametrize(("module", "old", "new", "what"), COUNTS_NOT, ids=[row[-1] for row in COUNTS_NOT])
def test_it_does_not_count(plug: Package, module: str, old: str, new: str, what: str) -> None:
    before = plug.code("plug.parts:Part").digest
    plug.edit(module, old, new)

    assert plug.code("plug.parts:Part").digest == before


@pytest.mark.parametrize(
    ("target", "module", "old", "new"),
    [
        ("Made", "plug/parts", 'MARK = "m"', 'MARK = "n"'),
        ("stepped", "plug/parts", "+ step", "- step"),
        ("stepped", "plug/parts", "@deco(3)", "@deco(4)"),
        ("Settings", "plug/parts", "rate: float = 0.1", "rate: float = 0.2"),
        ("Settings", "plug/parts", "default_factory=list", "default_factory=dict"),
        ("Late", "plug/late", "return x", "return -x"),
        ("Late", "plug/late", "def later", "print(1)\ndef later"),
    ],
)
def test_metaclasses_decorators_fields_and_late_imports_count(
    plug: Package, target: str, module: str, old: str, new: str
) -> None:
    before = plug.code(f"plug.parts:{target}").digest
    plug.edit(module, old, new)

    assert plug.code(f"plug.parts:{target}").digest != before


def test_a_changed_symbol_is_named_with_the_way_to_it(plug: Package) -> None:
    from otrainer.fingerprint import chain

    before = plug.code("plug.parts:Part")
    plug.edit("plug/tools", "FACTOR = 3", "FACTOR = 4")
    after = plug.code("plug.parts:Part")
    changed = [name for name, digest in after.symbols.items() if before.symbols.get(name) != digest]

    assert changed == ["plug.tools:FACTOR"]
    assert chain(after, changed[0]) == ["plug.parts:Part", "plug.parts:by", "plug.tools:scale", "plug.tools:FACTOR"]


def test_names_that_lead_in_circles_end(package: Package) -> None:
    package.write(
        {
            "round/__init__": "",
            "round/a": "from .b import x, y\nclass A(x): ...\ndef f():\n    return y.z.w\n",
            "round/b": "from .a import x, y\nfrom . import a as y\n",
        }
    )

    assert package.code("round.a:f").symbols.keys() >= {"round.a:f"}
    assert package.code("round.a:A").symbols.keys() >= {"round.a:A"}


def test_a_star_import_that_may_fail_is_followed_like_any_other(package: Package) -> None:
    package.write(
        {
            "plug/__init__": "",
            "plug/fast": "def run(x):\n    return x\n",
            "plug/slow": "def run(x):\n    return 2 * x\n",
            "plug/parts": "try:\n    from .fast import *\nexcept ImportError:\n    from .slow import *\n\n\n"
            "def part(x):\n    return run(x)\n",
        }
    )
    before = package.code("plug.parts:part").digest
    package.edit("plug/slow", "2 * x", "3 * x")
    slow = package.code("plug.parts:part").digest
    package.edit("plug/fast", "return x", "return -x")

    assert len({before, slow, package.code("plug.parts:part").digest}) == 3


@pytest.mark.parametrize(
    "way", ["from . import tools", "from plug.b import tools", "from . import tools as tools", "import plug.b.tools"]
)
@pytest.mark.parametrize(
    "user",
    [
        ("plug/b/__init__", "{way}\n\n\ndef part(x):\n    return {name}.WIDTH\n"),
        ("plug/user", "from plug.b import tools\n\n\ndef part(x):\n    return tools.WIDTH\n"),
        ("plug/user", "from . import b\n\n\ndef part(x):\n    return b.tools.WIDTH\n"),
        ("plug/user", "import plug.b\n\n\ndef part(x):\n    return plug.b.tools.WIDTH\n"),
    ],
)
def test_a_module_that_its_package_shows_is_followed(package: Package, way: str, user: tuple[str, str]) -> None:
    """A name that `from . import tools` binds in the package stands for the module, from wherever it is asked for."""
    place, text = user
    name = "plug.b.tools" if way.startswith("import") else "tools"
    package.write({"plug/__init__": "", "plug/b/__init__": f"{way}\n", "plug/b/tools": "WIDTH = 1\nBESIDE = 1\n"})
    package.write({place: text.format(way=way, name=name)})
    target = f"{place.removesuffix('/__init__').replace('/', '.')}:part"
    before = package.code(target).digest
    package.edit("plug/b/tools", "BESIDE = 1", "BESIDE = 2")
    beside = package.code(target).digest
    package.edit("plug/b/tools", "WIDTH = 1", "WIDTH = 2")

    assert beside == before
    assert package.code(target).digest != before
