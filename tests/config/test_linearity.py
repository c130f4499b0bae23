"""Ten times the config is ten times the work, whatever it consists of.

Calls are counted, which no busy machine disturbs. What one call does inside (copying a dict) is not counted, so
the time is looked at too, with room for noise: work that is quadratic would take a hundred times as long.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otrainer.config import resolve_config
from otrainer.config.expressions import parse_text
from otrainer.errors import ConfigError
from otrainer.storage import process_memory

from .config_project import HEAD, Project

SMALL, FACTOR = 250, 10


def plain(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "".join(f"s{k}: {{a: 1, b: text, c: [1.5, true, null], d: {{e: 'quoted'}}}}\n" for k in range(n))


def expressions(n: int) -> Iterator[tuple[str, str]]:
    yield (
        "exp",
        "run: {name: n}\n" + "".join(f"s{k}: ['x/${{run.name}}/y', '${{run}}', '${{t{k}}}']\n" for k in range(n)),
    )
    yield "exp", "".join(f"t{k}: ${{env:int:X,{k}}}\n" for k in range(n))


def chain(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "".join(f"k{k}: ${{k{k + 1}}}\n" for k in range(n)) + f"k{n}: 1\n"


def chain_of_paths(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "".join(f"k{k}: {{v: '${{k{k + 1}.v}}', w: [1, 2]}}\n" for k in range(n)) + f"k{n}: {{v: 1}}\n"


def one_long_string(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "a: 1\nb: '" + "x ${a} $${a} " * n + "'\n"


def templates(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "templates: {t: {a: 1, b: {c: [1, 2]}}}\n"
    yield (
        "exp",
        "".join(f"s{k}: {{_template_: t, b: {{d: 1, c: {{_merge_: append, _value_: [3]}}}}}}\n" for k in range(n)),
    )


def many_templates(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "templates:\n  t0: {a: 1}\n"
    yield "exp", "".join(f"  t{k}: {{x: 1, deep: {{_template_: t0}}}}\n" for k in range(1, n))


def merging(n: int) -> Iterator[tuple[str, str]]:
    yield (
        "exp",
        "defaults: [base.yaml]\n"
        + "".join(f"s{k}: {{b: 2, l: {{_merge_: append, _value_: [2]}}}}\n" for k in range(n)),
    )
    yield "base", "".join(f"s{k}: {{a: 1, l: [1]}}\n" for k in range(n))


def keyed(n: int) -> Iterator[tuple[str, str]]:
    yield (
        "exp",
        "defaults: [base.yaml]\nl: {_merge_: keyed, key: n, _value_: ["
        + ", ".join(f"{{n: {k}, w: 1}}" for k in range(n))
        + "]}\n",
    )
    yield "base", "l: [" + ", ".join(f"{{n: {k}, v: 1}}" for k in range(n)) + "]\n"


def diamonds(n: int) -> Iterator[tuple[str, str]]:
    """Each file lists the next two by both ways: two to the power of n ways lead to the last one."""
    yield "exp", "defaults: [f0.yaml, g0.yaml]\n"
    for k in range(n // 10):
        for name in "fg":
            yield f"{name}{k}", f"defaults: [f{k + 1}.yaml, g{k + 1}.yaml]\nrun: {{level: {k}, {name}: {k}}}\n"
    yield f"f{n // 10}", "run: {name: n}\n"
    yield f"g{n // 10}", "run: {seed: 1}\n"


def aliases(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "a: &x {v: [1, 2]}\n" + "".join(f"s{k}: *x\n" for k in range(n))


def mistakes(n: int) -> Iterator[tuple[str, str]]:
    yield "exp", "".join(f"t{k}: ${{env:GONE}}\nu{k}: ${{a{k}..b}}\nv{k}: '${{v{k}}}'\n" for k in range(n))


CASES = (
    plain, expressions, chain, chain_of_paths, one_long_string, templates, many_templates, merging, keyed, diamonds,
    aliases, mistakes,
)  # fmt: skip


def write(project: Project, make: Callable[[int], Iterator[tuple[str, str]]], n: int) -> Path:
    texts: dict[str, str] = {"exp": HEAD}
    for name, text in make(n):
        texts[name] = texts.get(name, "") + text
    for name, text in texts.items():
        project.write(f"{n}/{name}.yaml", text)
    return project.folder / str(n) / "exp.yaml"


def resolved(path: Path) -> None:
    process_memory.forget("trees")
    try:
        resolve_config(path, env={})
    except ConfigError as error:
        assert error.findings[0].title == "missing variable"


def calls(path: Path) -> int:
    """How many functions are called, in Python and in C."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    parse_text.cache_clear()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        resolved(path)
    finally:
        sys.setprofile(before)
    return count


def best_time(path: Path) -> float:
    times = []
    for _ in range(3):
        started = time.process_time()
        resolved(path)
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_work_grows_with_the_config_and_not_faster(project: Project, make):
    small, large = write(project, make, SMALL), write(project, make, SMALL * FACTOR)
    resolved(small)  # imports, and what the first run caches
    assert calls(large) <= 1.05 * FACTOR * calls(small)
    assert best_time(large) <= 4 * FACTOR * best_time(small)
