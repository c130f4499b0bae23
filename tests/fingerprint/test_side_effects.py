"""What a statement does when its module is imported: one that only names a value counts for nobody else.

Every row of the tables has a sample. It is inserted into a module that a component uses, which must not change the
component's fingerprint; with an argument that code of the module computes, it must.
"""

from __future__ import annotations

import ast
import sys

import pytest

from otrainer.fingerprint.known_names import KNOWN_PACKAGES, PURE_CALLS, PURE_DECORATORS
from otrainer.fingerprint.side_effects import ORDERING_CALLS

from .package import Package

USED = """\
# imports

class Thing:
    def __or__(self, other):
        NOTED.append(other)


NOTED = []


def make(*given, **named):
    NOTED.append(given)
    return Thing()


# here


class Part:
    def run(self):
        return len(NOTED)
"""
# Arguments with which a call is plain; the others take any literal.
ARGUMENTS = {
    "builtins.bytes": "b'a'",
    "builtins.classmethod": "lambda cls: 1",
    "builtins.complex": "1, 2",
    "builtins.dict": "a=1",
    "builtins.enumerate": "[1]",
    "builtins.isinstance": "1, int",
    "builtins.max": "1, 2",
    "builtins.min": "[1, 2]",
    "builtins.object": "",
    "builtins.ord": "'a'",
    "builtins.property": "lambda self: 1",
    "builtins.range": "3",
    "builtins.reversed": "[1]",
    "builtins.slice": "1",
    "builtins.sorted": "[2, 1], reverse=True",
    "builtins.staticmethod": "lambda: 1",
    "builtins.sum": "[1, 2]",
    "builtins.super": "int, 1",
    "builtins.type": "'T', (), {}",
    "builtins.zip": "[1], [2]",
    "collections.OrderedDict": "a=1",
    "collections.defaultdict": "list",
    "collections.namedtuple": "'P', ['x', 'y']",
    "contextvars.ContextVar": "'v', default=1",
    "dataclasses.field": "default_factory=list",
    "datetime.date": "2020, 1, 2",
    "datetime.timedelta": "days=1",
    "decimal.Decimal": "'1.5'",
    "fractions.Fraction": "1, 2",
    "functools.partial": "make, 1",
    "logging.getLogger": "__name__",
    "operator.attrgetter": "'a'",
    "operator.methodcaller": "'a'",
    "pathlib.Path": "'a', 'b'",
    "pathlib.PurePath": "'a'",
    "re.compile": "r'a+'",
    "threading.Lock": "",
    "threading.RLock": "",
    "threading.local": "",
    "types.MappingProxyType": "{'a': 1}",
    "types.SimpleNamespace": "a=1",
    "typing.NamedTuple": "'P', []",
    "typing.NewType": "'N', int",
    "typing.ParamSpec": "'P'",
    "typing.TypeVar": "'T', bound=int",
    "typing.TypeVarTuple": "'T'",
    "typing.TypedDict": "'T', {}",
    "typing.cast": "int, 1",
}
ITERABLE = ("frozenset", "list", "set", "tuple", "len")
TAKES_ANY = ("bool", "float", "frozenset", "int", "len", "list", "set", "str", "tuple", "abs", "round", "chr")


@pytest.fixture
def plug(package: Package) -> Package:
    package.write({"plug/__init__": "", "plug/used": USED, "plug/other": "VALUE = 1\n"})
    return package


def counts(plug: Package, line: str, *, imports: str = "", target: str = "plug.used:Part") -> bool:
    """Whether a statement that is added to the module changes the fingerprint of a component that does not read it."""
    plug.write({"plug/used": USED.replace("# imports", imports)})
    before = plug.code(target).digest
    plug.edit("plug/used", "# here", line)
    return plug.code(target).digest != before


def called(name: str) -> tuple[str, str]:
    """The import that a full name needs, and how it is then written."""
    module, _, attribute = name.rpartition(".")
    return ("", attribute) if module == "builtins" else (f"import {module}", name)


@pytest.mark.parametrize("name", sorted(PURE_CALLS))
def test_a_call_that_only_makes_a_value_does_not_count(plug: Package, name: str) -> None:
    imports, written = called(name)
    simple = "(1)" if name.startswith("builtins.") and written not in ITERABLE else "([1])"
    arguments = f"({ARGUMENTS[name]})" if name in ARGUMENTS else simple

    assert name in ARGUMENTS or written in TAKES_ANY or name.startswith(("collections.", "operator."))
    assert not counts(plug, f"VALUE = {written}{arguments}", imports=imports)
    assert counts(plug, f"VALUE = {written}(make())", imports=imports), "what computes the argument counts"
    assert counts(plug, f"def {written.partition('.')[0]}(*given): ...\n\nVALUE = {written}(1)"), "a name of its own"


@pytest.mark.parametrize("name", sorted(PURE_CALLS))
def test_the_samples_of_pure_calls_are_real_and_leave_nothing_behind(name: str) -> None:
    """Making the value calls nothing of what it is given, but for logging, which remembers a logger by its name."""
    imports, written = called(name)
    calls: list[object] = []
    simple = "(1)" if name.startswith("builtins.") and written not in ITERABLE else "([1])"
    namespace = {"make": lambda *given: calls.append(given), "__name__": "sample"}
    before = set(sys.modules)
    exec(f"{imports}\nVALUE = {written}{f'({ARGUMENTS[name]})' if name in ARGUMENTS else simple}", namespace)  # noqa: S102

    assert calls == []
    assert {
        each for each in set(sys.modules) - before if each.partition(".")[0] not in sys.stdlib_module_names
    } == set()


@pytest.mark.parametrize("name", sorted(ORDERING_CALLS))
def test_a_function_that_orders_is_called_and_counts(plug: Package, name: str) -> None:
    assert counts(plug, f"VALUE = {called(name)[1]}([2, 1], key=lambda item: NOTED.append(item) or item)")


@pytest.mark.parametrize("name", sorted(PURE_DECORATORS))
def test_a_decorator_that_only_wraps_does_not_count(plug: Package, name: str) -> None:
    imports, written = called(name)
    in_class = name in ("builtins.property", "builtins.classmethod", "builtins.staticmethod", "abc.abstractproperty")
    on_class = name in ("dataclasses.dataclass", "enum.unique", "functools.total_ordering", "typing.runtime_checkable")
    argument = {"functools.wraps": "(make)", "functools.lru_cache": "(maxsize=4)", "torch.no_grad": "()"}.get(name, "")
    function = "def extra(self):\n    return 1"
    if in_class:
        text = f"class Extra:\n    @{written}{argument}\n    def extra(self):\n        return 1"
    elif on_class:
        text = f"@{written}\nclass Extra:\n    value: int = 1"
    else:
        text = f"@{written}{argument}\n{function}"

    assert not counts(plug, text, imports=imports)
    assert counts(plug, text.replace(f"@{written}", "@make"), imports=imports), "a decorator of its own is called"
    assert counts(plug, f"def {written.partition('.')[0]}(*given): ...\n\n{text}"), "one that hides the known name too"


@pytest.mark.parametrize("name", sorted(KNOWN_PACKAGES))
def test_attributes_of_known_packages_do_not_count_and_neither_do_subclasses(plug: Package, name: str) -> None:
    imports = f"from {name} import some, Other"

    assert not counts(plug, "VALUE = some.attribute", imports=imports)
    assert not counts(plug, "class Extra(Other):\n    value = 1", imports=imports)
    assert counts(plug, "VALUE = some.attribute()", imports=imports), "a call that is not known"


def test_those_of_other_packages_count(plug: Package) -> None:
    """An attribute may be computed there, and a base may register its subclasses."""
    imports = "from pluggable import some, Other"

    assert counts(plug, "VALUE = some.attribute", imports=imports)
    assert counts(plug, "class Extra(Other):\n    value = 1", imports=imports)


OTHERS = {"numpy", "pandas", "PIL", "scipy", "sklearn", "typing_extensions"}
OTHERS |= {"torch", "torchaudio", "torchmetrics", "torchvision"}


def test_known_packages_are_those_of_python_and_of_a_few_others() -> None:
    """Whatever else is installed may do anything when it is subclassed or asked for an attribute."""
    assert sorted(KNOWN_PACKAGES - OTHERS - sys.stdlib_module_names) == []
    assert {"atexit", "site", "importlib"}.isdisjoint(KNOWN_PACKAGES)


INERT = {
    "a literal": "VALUE = {'a': [1, 2.0, (True, None)], 'b': -1, 'c': 1 + 2j}",
    "an expression of literals": "VALUE = 2 * 3 if 1 < 2 else [4][0]",
    "a name of a name": "VALUE = NOTED",
    "several names at once": "A, (B, C) = 1, (2, 3)",
    "an annotated name": "VALUE: int = 1",
    "a mere annotation": "VALUE: int",
    "plain data of names that hold such": "A = [1, 2]\nB = {key: A[0] for key in A if key > 1}\nC = f'{A}'",
    "a comprehension over literals": "VALUE = [x * y for x, y in [(1, 2)] if x]",
    "a function": "def extra(x, y=1, *, z=NOTED):\n    return make(x)",
    "a coroutine": "async def extra():\n    await make()",
    "a class": "class Extra(Thing):\n    value = 1\n    def run(self):\n        make()",
    "a lambda": "VALUE = lambda x: make(x)",
    "pass": "pass",
    "a string": "'a remark'",
    "an import of the standard library": "import json\nfrom math import pi",
    "an import of a module that does nothing": "from . import other\nfrom .other import VALUE",
    "an attribute of an imported module": "import json\nVALUE = json.dumps",
    "a condition on plain data": "if 1 < 2:\n    VALUE = 1\nelse:\n    VALUE = 2",
    "an import that may be missing": "try:\n    import json\nexcept ImportError:\n    json = None",
    "an assertion of plain data": "assert 1 < 2, 'never'",
    "a type of either": "VALUE = int | None",
    "a subscript of a known class": "from typing import Any, Callable\nVALUE = Callable[[Any], dict[str, list[int]]]",
    "what runs only as a script": "if __name__ == '__main__':\n    make()",
    "what only type checkers see": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .other import VALUE",
    "an accessor": "class Extra:\n    @property\n    def a(self): ...\n    @a.setter\n    def a(self, value): ...",
    "an enumeration": "import enum\n\nclass Extra(enum.Enum):\n    A = 1\n    B = enum.auto",
    "a named tuple": "from typing import NamedTuple\n\nclass Extra(NamedTuple):\n    a: int = 1",
    "a dataclass": "from dataclasses import dataclass, field\n\n@dataclass\nclass Extra:\n    a: list = field(default_factory=list)",
    "a generic class": "from typing import Generic, TypeVar\nT = TypeVar('T')\n\nclass Extra(Generic[T]):\n    pass",
}  # fmt: skip
ACTING = {
    "a call": "make()",
    "a call whose value is named": "VALUE = make()",
    "a call in a literal": "VALUE = [1, {'a': make()}]",
    "a call in a default": "def extra(x=make()):\n    return x",
    "a call in the default of a lambda": "VALUE = lambda x=make(): x",
    "a call in a class": "class Extra:\n    value = make()",
    "a call in a nested class": "class Extra:\n    class Inner:\n        value = make()",
    "a call in an annotation": "def extra(x: make(1)) -> int:\n    return x",
    "a call in an annotated name": "VALUE: make(1) = 1",
    "a decorator": "@make\ndef extra(): ...",
    "a decorator with arguments": "@make(1)\nclass Extra: ...",
    "a setter of something else": "setter = make\n\n@NOTED.setter\ndef extra(): ...",
    "an attribute of something": "Thing.value = 1",
    "an attribute that may be computed": "THING = Thing\nVALUE = THING.value",
    "an item of something": "NOTED[:] = [1]",
    "an item that may be computed": "VALUE = NOTED[Thing]",
    "an augmented assignment": "NOTED += [1]",
    "a deletion": "del NOTED[:]",
    "a loop": "for name in ('a', 'b'):\n    globals_ = name",
    "a condition": "while NOTED:\n    break",
    "a context": "with Thing as thing:\n    pass",
    "a condition that calls": "if make():\n    VALUE = 1",
    "a branch that acts": "if 1 < 2:\n    NOTED.append(1)",
    "a handler that acts": "try:\n    VALUE = 1\nexcept ValueError:\n    make()",
    "an assertion that calls": "assert make()",
    "an operator of something": "VALUE = NOTED + NOTED2",
    "an operator of what a list may hold": "A = []\nA.append(Thing())\nVALUE = A[0] + 1",
    "a walrus": "VALUE = [(other := make())]",
    "a mapping unpacked": "VALUE = {**Thing}",
    "a comprehension over something": "VALUE = [x for x in Thing]",
    "a text of something": "VALUE = f'{Thing}'",
    "unpacking something": "A, B = NOTED",
    "a class with a metaclass": "class Meta(type):\n    def __new__(meta, *given): NOTED.append(given)\n\nclass Extra(metaclass=Meta): ...",
    "a class whose metaclass initialises": "class Meta(type):\n    def __init__(cls, *given): NOTED.append(given)\n\nclass Extra(metaclass=Meta): ...",
    "a class whose metaclass is called": "class Meta(type):\n    def __call__(cls, *given): NOTED.append(given)\n\nclass Made(type, metaclass=Meta): ...\n\nclass Extra(metaclass=Made): ...",
    "a class whose base has a metaclass": "class Meta(type):\n    def __init__(cls, *given): NOTED.append(given)\n\nclass Base(metaclass=Meta): ...\n\nclass Extra(Base): ...",
    "a class whose base is told": "class Base:\n    def __init_subclass__(cls): NOTED.append(cls)\n\nclass Extra(Base): ...",
    "a class whose base is computed": "class Extra(make(1)): ...",
    "a class with a keyword": "class Extra(Thing, option=make(1)): ...",
    "an enumeration that calculates": "import enum\n\nclass Extra(enum.Enum):\n    A = 1\n    def __init__(self, x): make(x)",
    "a star that may rename what is built in": "from .other import *\nVALUE = max(1, 2)",
    "a warning filter": "import warnings\nwarnings.simplefilter('ignore')",
    "the environment": "import os\nos.environ['A'] = '1'",
    "a seed": "import random\nrandom.seed(0)",
    "an import of a module that acts": "from . import acting",
    "a module by name": "import importlib\nimportlib.import_module('plug.acting')",
}  # fmt: skip


@pytest.mark.parametrize("what", INERT)
def test_what_only_binds_names_does_not_count(plug: Package, what: str) -> None:
    assert not counts(plug, INERT[what])


@pytest.mark.parametrize("what", ACTING)
def test_what_may_do_more_counts(plug: Package, what: str) -> None:
    plug.write({"plug/acting": "print(end='')\n"})

    assert counts(plug, ACTING[what])


@pytest.mark.parametrize("text", [*INERT.values(), *ACTING.values()])
def test_the_samples_are_python(text: str) -> None:
    ast.parse(text)


def test_annotations_that_stay_text_do_not_count(plug: Package) -> None:
    """Under `from __future__ import annotations` nothing evaluates them."""
    imports = "from __future__ import annotations"

    assert not counts(plug, "def extra(x: make(1)) -> make(2):\n    return x", imports=imports)
    assert not counts(plug, "VALUE: make(1) = 1", imports=imports)


def test_of_a_function_with_an_acting_default_only_the_default_counts_for_others(plug: Package) -> None:
    """Its body runs when somebody calls it."""
    plug.write({"plug/used": USED.replace("# here", "def extra(x=make()):\n    return x")})
    before = plug.code("plug.used:Part").digest
    plug.edit("plug/used", "    return x", "    return -x")
    same = plug.code("plug.used:Part").digest
    plug.edit("plug/used", "x=make()", "x=make(1)")

    assert same == before
    assert plug.code("plug.used:Part").digest != before


def test_all_of_a_function_counts_that_a_decorator_may_call(plug: Package) -> None:
    plug.write({"plug/used": USED.replace("# here", "@make\ndef extra(x):\n    return x")})
    before = plug.code("plug.used:Part").digest
    plug.edit("plug/used", "    return x", "    return -x")

    assert plug.code("plug.used:Part").digest != before
