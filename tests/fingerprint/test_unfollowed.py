"""What leads out of the sources that are followed is told, once for each place, with what is followed instead."""

from __future__ import annotations

import pytest

from otrainer.fingerprint.unfollowed import ENVIRONMENT, LOADED, NAMED, NATIVE, PROCESS, UNFOLLOWED

from .package import Package

IMPORTS = """\
import ctypes, functools, importlib, os, runpy, subprocess
import importlib.util as loading
import subprocess as sp
from ctypes import CDLL
from importlib import import_module as take
from os import environ as variables, getenv
from pathlib import Path
import torch
"""
LINE = len(IMPORTS.splitlines()) + 3
# What a method does, what is told of it, and by which words.
LATER = (
    ("os.environ['A']", "the environment variable `A`", ENVIRONMENT),
    ("os.environ.get('A', '1')", "the environment variable `A`", ENVIRONMENT),
    ("variables.pop('A')", "the environment variable `A`", ENVIRONMENT),
    ("getenv('A')", "the environment variable `A`", ENVIRONMENT),
    ("os.getenvb(b'A')", "the environment variable `b'A'`", ENVIRONMENT),
    ("'A' in os.environ", "the environment variable `A`", ENVIRONMENT),
    ("os.environ[name]", "variables of the environment", ENVIRONMENT),
    ("getenv(f'{name}_ROOT')", "variables of the environment", ENVIRONMENT),
    ("{**os.environ}", "`os.environ`", ENVIRONMENT),
    ("[key for key in variables.items()]", "`variables`", ENVIRONMENT),
    ("functools.partial(getenv)", "`getenv`", ENVIRONMENT),
    ("subprocess.run(['tool'])", "`subprocess.run`", PROCESS),
    ("sp.check_output(name)", "`sp.check_output`", PROCESS),
    ("os.system(name)", "`os.system`", PROCESS),
    ("map(subprocess.getoutput, name)", "`subprocess.getoutput`", PROCESS),
    ("ctypes.CDLL('lib/fast.so')", "`ctypes.CDLL`", NATIVE),
    ("CDLL(name)", "`CDLL`", NATIVE),
    ("ctypes.cdll.LoadLibrary(name)", "`ctypes.cdll.LoadLibrary`", NATIVE),
    ("torch.ops.load_library(name)", "`torch.ops.load_library`", NATIVE),
    ("self.ffi.dlopen(name)", "`self.ffi.dlopen`", NATIVE),
    ("torch.hub.load('parts', 'net', source='local')", "`torch.hub.load`", LOADED),
    ("loading.spec_from_file_location('x', name).loader.exec_module(name)", "`exec_module`", LOADED),
    ("runpy.run_path(name)", "`runpy.run_path`", LOADED),
    ("exec(Path(name).read_text())", "`exec`", LOADED),
    ("exec(compile(open(name).read(), name, 'exec'), {})", "`exec`", LOADED),
    ("importlib.import_module(name)", "`importlib.import_module`", NAMED),
    ("take(f'parts.{name}')", "`take`", NAMED),
)
# What says by itself all that it does, or only writes.
FOLLOWED = (
    "os.environ.setdefault('A', '1')\n        return 1",
    "os.environ['A'] = '1'\n        return 1",
    "del os.environ['A']\n        return 1",
    "variables.update(A='1')\n        return 1",
    "importlib.import_module('json')",
    "exec('x = 1')",
    "self.run(name.load('a'), name.environ, name.CDLL(1))",
    "os.path.join(name, os.sep)",
    "torch.load(name)",
)


def written(package: Package, body: str) -> Package:
    package.write({"plug/parts": f"{IMPORTS}class Part:\n    def take(self, name):\n        {body}\n"})
    return package


@pytest.mark.parametrize(("value", "what", "kind"), LATER, ids=[row[0] for row in LATER])
def test_what_a_method_reaches_without_a_name_is_told_once(package: Package, value: str, what: str, kind: str) -> None:
    code = written(package, f"return {value}").code("plug.parts:Part")
    place = f"plug/parts.py:{LINE}"

    assert code.unfollowed == ((place, f"`{place}` uses {what}: {UNFOLLOWED[kind]}.", kind, what),)
    can_be_seen = kind != PROCESS and what.count("the env") == (kind == ENVIRONMENT)
    assert [each.counts([place]) for each in code.unfollowed] == [can_be_seen and "variables" not in what]
    assert not any(each.counts([]) for each in code.unfollowed)


@pytest.mark.parametrize("body", FOLLOWED)
def test_what_is_followed_or_only_written_is_not_told(package: Package, body: str) -> None:
    body = body if "\n" in body else f"return {body}"

    assert written(package, body).code("plug.parts:Part").unfollowed == ()


def test_what_happens_at_import_is_left_to_who_watches_it_but_for_what_nobody_sees(package: Package) -> None:
    lines = (
        "A = os.environ.get('A'), getenv(f'{os.sep}B'), 'C' in os.environ",
        "LIB = ctypes.CDLL('lib/fast.so')",
        "CODE = runpy.run_path('code.py')",
        "exec(open('code.py').read())",
        "take('.'.join(['a', 'b']))",
        "ALL = dict(os.environ)",
        "DONE = subprocess.run(['tool'])",
        "C = ctypes.CDLL(None)",
    )
    package.write({"plug/parts": "\n".join([*IMPORTS.splitlines(), *lines, "Part = A, LIB, CODE, ALL, DONE, C"])})
    told = [text.partition(" uses ")[2].partition(":")[0] for _, text, *_ in package.code("plug.parts:Part").unfollowed]

    assert told == ["`os.environ`", "`subprocess.run`", "`ctypes.CDLL`"]


def test_only_what_is_reached_is_told_and_a_place_that_two_reach_once(package: Package) -> None:
    text = "import os\n\n\ndef read():\n    return os.getenv('A')\n\n\ndef beside():\n    return os.getenv('B')\n\n\n"
    text += "def both():\n    return read(), read()\n\n\nTABLE = {'a': both, 'b': read}\n"
    package.write({"plug/parts": text})

    assert [place for place, *_ in package.code("plug.parts:TABLE").unfollowed] == ["plug/parts.py:5"]


def test_what_is_told_counts_for_nothing(package: Package) -> None:
    """Another line, and so another note, of the same code."""
    before = written(package, "return os.getenv('A')").code("plug.parts:Part")
    package.edit("plug/parts", "class Part", "\n\nclass Part")
    after = package.code("plug.parts:Part")

    assert after.digest == before.digest
    assert after.unfollowed != before.unfollowed


def test_what_is_only_perhaps_imported_is_not_told(package: Package) -> None:
    """All modules of the package count then, which costs a training, but a note on each would say nothing."""
    package.write({"plug/beside": "import os\n\n\ndef other():\n    return os.getenv('A')\n"})
    code = written(package, "return importlib.import_module(name)").code("plug.parts:Part")

    assert [place for place, *_ in code.unfollowed] == [f"plug/parts.py:{LINE}"]
    assert "plug.beside:other" in code.symbols
