"""Every kind of mistake there is has a golden report, with a place and a next step in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .golden import DOORS, Case, cases

ROOT = Path(__file__).parents[2]
# Functions that take a title, and where among their positional arguments.
TITLED = {
    "Finding": 1,
    "ConfigError": None,
    "VariableError": 0,
    "note": 0,
    "stop": 0,
    "at_key": 4,
    "missing_entry": 2,
    "add": None,
}
# Titles that are made elsewhere, where they are counted: the parameter of one of these functions, or an attribute.
PASSED_ON = "title"


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.list}: {case.name}")
def test_a_mistake_is_reported_to_the_letter(case: Case) -> None:
    found, drawn = case.now()

    assert drawn == case.drawn
    for finding in found:
        assert finding.hint or finding.suggestions, f"no next step: {finding.message}"
    if case.list in DOORS:
        assert all(finding.location for finding in found)
    places = [(finding.location.file, finding.location.line) for finding in found if finding.location]
    assert places == sorted(places)


def test_a_config_with_ten_mistakes_shows_ten_reports() -> None:
    (ten,) = (case for case in cases() if case.name == "ten mistakes")

    assert len(ten.now()[0]) == 10
    assert ten.drawn.count("\n\n") == 9


def test_every_title_in_the_sources_has_a_golden_report() -> None:
    shown = shown_titles()
    lacking = {title: place for title, place in titles() if title not in shown}

    assert lacking == {}


def shown_titles() -> set[str]:
    """The headlines that stand in a test, to the letter."""
    headline = re.compile(r"""(?m)(?:^\s*|["'])([^"'\n]+?)(?: ── |\\n|$)""")
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    return {title for text in (*texts, *(case.drawn for case in cases())) for title in headline.findall(text)}


def titles() -> Iterator[tuple[str, str]]:
    """Every title that the sources give to a mistake, with its place."""
    for path in sorted((ROOT / "otrainer").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "otrainer.errors" not in text:
            continue
        tree = ast.parse(text)
        for call, scopes in titled_calls(tree, [tree]):
            for title in values(title_of(call), scopes):
                yield title, f"{path.relative_to(ROOT)}:{call.lineno}"


def titled_calls(node: ast.AST, scopes: list[ast.AST]) -> Iterator[tuple[ast.Call, list[ast.AST]]]:
    """The calls that take a title, each with the innermost function around it and the module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and called(child) in TITLED:
            yield child, scopes
        yield from titled_calls(child, [child, scopes[-1]] if isinstance(child, ast.FunctionDef) else scopes)


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def title_of(call: ast.Call) -> ast.expr | None:
    position = TITLED[called(call)]
    named = next((keyword.value for keyword in call.keywords if keyword.arg == "title"), None)
    return named or (call.args[position] if position is not None and len(call.args) > position else None)


def values(title: ast.expr | None, scopes: list[ast.AST]) -> Iterator[str]:
    """What a title may be: a text, one of two, or what a name was assigned."""
    if isinstance(title, ast.Constant):
        yield str(title.value)
    elif isinstance(title, ast.IfExp):
        yield from values(title.body, scopes)
        yield from values(title.orelse, scopes)
    elif isinstance(title, ast.Name):
        found = list(assigned(title.id, scopes)) or list(imported(title.id, scopes[-1]))
        assert found or title.id == PASSED_ON, f"a title that nobody can list: {title.id}"
        for each in found:
            yield from values(each, scopes)
    else:
        assert title is None or isinstance(title, ast.Attribute), f"a title that nobody can list: {ast.unparse(title)}"


def assigned(name: str, scopes: list[ast.AST]) -> Iterator[ast.expr]:
    for node in (node for scope in scopes for node in ast.walk(scope) if isinstance(node, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple):
                yield from unpacked(name, target, node.value)


def imported(name: str, module: ast.AST) -> Iterator[ast.expr]:
    """What a name is in the module of otrainer that it comes from."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            source = ROOT / f"{(node.module or '').replace('.', '/')}.py"
            yield from assigned(name, [ast.parse(source.read_text(encoding="utf-8"))])


def unpacked(name: str, target: ast.Tuple, value: ast.expr) -> Iterator[ast.expr]:
    """What a name among several is assigned; of two tuples, either's."""
    if isinstance(value, ast.IfExp):
        yield from unpacked(name, target, value.body)
        yield from unpacked(name, target, value.orelse)
    elif isinstance(value, ast.Tuple):
        for each, item in zip(target.elts, value.elts, strict=True):
            if isinstance(each, ast.Name) and each.id == name:
                yield item
