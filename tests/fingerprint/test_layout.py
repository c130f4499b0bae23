"""How code is laid out never counts; nor does the order of definitions that do nothing but define."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from otrainer.fingerprint.normal_form import normal_form

from .package import Package

CODE = '''\
"""About."""
import math
import os.path
from dataclasses import dataclass, field

WIDTH = (1 + 2) * 3
NAMES = ["a", 'b', "it's"]
TABLE = {"x": 1, "y": 2.50}
LONG = 1_000_000
TEXT = "one" "two"
SHOWN = f"{WIDTH:>4} and {NAMES[0]!r}"


def first(x, y=WIDTH, *rest, key=None, **more):
    """Say it."""
    if not x and (y or rest):
        return [each for each in rest if each is not None]
    return x ** 2, lambda z: z


@dataclass
class Options:
    """Some."""

    rate: float = 0.1
    names: list = field(default_factory=list)

    async def wait(self):
        async with self as other:
            await other
        return math.pi


class Part(Options):
    def run(self, x):
        try:
            a, *b = x
            match a:
                case {"k": [1, *_]} | None:
                    return os.path.join(str(first(a)), SHOWN, TEXT)
                case _:
                    del b
        except (ValueError, TypeError) as error:
            raise KeyError(LONG, TABLE) from error
'''
SAME = {
    "comments": lambda text: text.replace("\n", "  # so\n").replace('"""  # so', '"""  # so'),
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "a comment at the top": lambda text: f"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\n{text}",
    "other docstrings": lambda text: text.replace("Say it.", "Say it well.").replace("Some.", "A few.\n\n    All."),
    "no docstrings": lambda text: text.replace('    """Say it."""\n', "").replace('    """Some."""\n\n', ""),
    "another description of the module": lambda text: text.replace('"""About."""', '"""About it."""'),
    "other quotes": lambda text: text.replace('"x"', "'x'").replace("'b'", '"b"').replace('"it\'s"', "'it\\'s'"),
    "parentheses": lambda text: text.replace("x ** 2, lambda z: z", "((x ** 2), (lambda z: (z)))"),
    "fewer parentheses": lambda text: text.replace("math.pi", "(math.pi)").replace("{WIDTH:>4}", "{(WIDTH):>4}"),
    "a trailing comma": lambda text: text.replace('"y": 2.50}', '"y": 2.50,\n}'),
    "lines that go on": lambda text: text.replace("first(x, y=WIDTH,", "first(\n    x,\n    y=WIDTH,"),
    "a backslash": lambda text: text.replace("if not x and", "if not x \\\n            and"),
    "other numbers for the same": lambda text: text.replace("2.50", "2.5").replace("1_000_000", "0xF4240"),
    "texts joined": lambda text: text.replace('"one" "two"', '"onetwo"'),
    "escapes": lambda text: text.replace('"onetwo"', '"one\\x74wo"').replace('"one" "two"', '"one\\x74wo"'),
    "wider indentation": lambda text: text.replace("    ", "        "),
    "tabs": lambda text: text.replace("    ", "\t"),
    "lines ended as on Windows": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: f"\ufeff{text}",
    "a statement a line or several": lambda text: text.replace("LONG = 1_000_000\nTEXT", "LONG = 1_000_000; TEXT"),
    "what Python makes of it": lambda text: ast.unparse(ast.parse(text)),
    "a type comment": lambda text: text.replace("LONG = 1_000_000", "LONG = 1_000_000  # type: int"),
    "u before a text": lambda text: text.replace('"one" "two"', 'u"one" "two"'),
}  # fmt: skip
OTHER = {
    "parentheses that matter": ("(1 + 2) * 3", "1 + 2 * 3"),
    "a comma that matters": ("LONG = 1_000_000", "LONG = 1_000_000,"),
    "another kind of number": ("LONG = 1_000_000", "LONG = 1_000_000.0"),
    "minus nought": ("2.50", "-0.0"),
    "bytes for text": ('"one" "two"', 'b"one" b"two"'),
    "the order of entries": ('{"x": 1, "y": 2.50}', '{"y": 2.50, "x": 1}'),
    "the order of arguments": ("str(first(a)), SHOWN", "SHOWN, str(first(a))"),
    "a text that is no docstring": ("return math.pi", 'return "math.pi"'),
    "a blank in a text": ("{WIDTH:>4} and", "{WIDTH:>4}  and"),
    "how a value is shown": ("NAMES[0]!r", "NAMES[0]!s"),
    "how wide it is shown": (":>4}", ":>5}"),
    "indentation that matters": ("    return x ** 2", "        return x ** 2"),
    "a name": ("del b", "del a"),
}


@pytest.fixture
def plug(package: Package) -> Package:
    package.write({"plug/__init__": "", "plug/parts": CODE})
    return package


@pytest.mark.parametrize("what", SAME)
def test_layout_does_not_count(plug: Package, what: str) -> None:
    before = plug.code("plug.parts:Part").digest
    text = SAME[what](CODE)
    assert text != CODE
    (plug.folder / "plug/parts.py").write_bytes(text.encode())

    assert plug.code("plug.parts:Part").digest == before


@pytest.mark.parametrize("what", OTHER)
def test_what_only_looks_like_layout_counts(plug: Package, what: str) -> None:
    before = plug.code("plug.parts:Part").digest
    plug.edit("plug/parts", *OTHER[what])

    assert plug.code("plug.parts:Part").digest != before


def test_the_encoding_of_a_file_does_not_count(plug: Package) -> None:
    plug.write({"plug/parts": "def part():\n    return 'grün'\n"})
    before = plug.code("plug.parts:part").digest
    text = "# -*- coding: latin-1 -*-\ndef part():\n    return 'grün'\n"
    (plug.folder / "plug/parts.py").write_bytes(text.encode("latin-1"))

    assert plug.code("plug.parts:part").digest == before


def test_the_order_of_plain_definitions_does_not_count(plug: Package) -> None:
    """Functions, classes and constants may stand in any order in which none needs one below it."""
    pieces = [f"def f{n}(x):\n    return g{n}(x) + C{n}\n" for n in range(4)]
    pieces += [f"def g{n}(x):\n    return f{(n + 1) % 4}\n" for n in range(4)]
    pieces += [f"C{n} = {n}\n" for n in range(4)] + ["class Part:\n    def run(self):\n        return f0(1)\n"]
    digests = set()
    for seed in range(10):
        random.Random(seed).shuffle(pieces)  # noqa: S311 - an order like any other
        plug.write({"plug/parts": "\n".join(pieces)})
        digests.add(plug.code("plug.parts:Part").digest)

    assert len(digests) == 1


def test_the_order_of_imports_that_do_nothing_does_not_count(plug: Package) -> None:
    plug.write({"plug/a": "A = 1\n", "plug/b": "B = 1\n"})
    plug.write({"plug/parts": "from .a import A\nfrom .b import B\nimport json\ndef part():\n    return A, B, json\n"})
    before = plug.code("plug.parts:part").digest
    plug.write({"plug/parts": "import json\nfrom .b import B\nfrom .a import A\ndef part():\n    return A, B, json\n"})

    assert plug.code("plug.parts:part").digest == before


def test_the_order_of_imports_that_act_counts(plug: Package) -> None:
    plug.write({"plug/a": "print(end='')\n", "plug/b": "print(end='')\n"})
    plug.write({"plug/parts": "from . import a\nfrom . import b\ndef part():\n    return 1\n"})
    before = plug.code("plug.parts:part").digest
    plug.write({"plug/parts": "from . import b\nfrom . import a\ndef part():\n    return 1\n"})

    assert plug.code("plug.parts:part").digest != before


def test_a_text_that_some_pythons_add_to_a_nested_width_does_not_count() -> None:
    """3.12 parses `f"{x:{y}}"` with an empty text behind the inner value."""
    tree = ast.parse('f"{x:{y}}"')
    before = normal_form(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            node.values.append(ast.Constant(""))

    assert normal_form(tree) == before != normal_form(ast.parse('f"{x:{y}} "'))


def test_where_a_project_lies_does_not_count(plug: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plug.code("plug.parts:Part").digest
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (plug.folder / "plug").rename(elsewhere / "plug")
    monkeypatch.syspath_prepend(elsewhere)

    assert Package(elsewhere).code("plug.parts:Part").digest == before
