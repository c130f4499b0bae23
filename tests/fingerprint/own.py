"""otrainer's own package, as it is and edited, and what its fingerprints make of it."""

from __future__ import annotations

import ast
import atexit
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from otrainer.fingerprint import Fingerprints, named
from otrainer.fingerprint.excluded import is_excluded
from otrainer.fingerprint.messages import without_messages
from otrainer.fingerprint.scopes import Names
from otrainer.fingerprint.summary import Statement, Summarizer
from otrainer.registry import build_registry
from otrainer.registry.usage import COMPOSITION_ROOT

PACKAGE = Path(__file__).parents[2] / "otrainer"
TRAINED_BY = ("engine", "model", "components")
# Two words in a row: a mode, a key or a name of torch is never that.
PROSE = re.compile(r"[\w`'\")\].,:;] [\w`'\"(\[$]")
# What reads like a sentence, and decides: each with its reason.
NO_MESSAGE = {
    "<otrainer model ": "the name of a file, by which generated code is found",
    "Callable[[ModuleSpec, Registry, Settings], nn.Module]": "a type",
}
Find = Callable[[ast.stmt], Iterable[ast.expr]]
Change = Callable[[ast.expr], Callable[[], None]]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def targets() -> dict[str, str]:
    """Every built-in key and op with its target in otrainer, and the composition root."""
    registry = build_registry()
    found = {key: ":".join(named(registry.get_module(key).factory)) for key in registry.list_modules()}
    found |= {f"op:{key}": ":".join(named(registry.op_entry(key).factory)) for key in registry.list_ops()}
    return {**{key: each for key, each in found.items() if each.startswith("otrainer.")}, "otrainer": COMPOSITION_ROOT}


def looking_at(folder: Path) -> Fingerprints:
    """Fingerprints of the copy of the package that lies in a folder."""
    prints = Fingerprints(root=folder, cache=kept())
    prints.sources.locator._folders["otrainer"] = [str(folder / "otrainer")]
    prints.sources.locator._local["otrainer"] = folder / "otrainer/__init__.py"
    return prints


def digests_in(folder: Path, *moved: tuple[str, str]) -> dict[str, str]:
    """The digest of each key, whose target has the place that each of `moved` gives it."""
    prints, found = looking_at(folder), targets()
    for old, new in moved:
        found = {key: re.sub(rf"^{re.escape(old)}\b", new, target) for key, target in found.items()}
    return {key: prints.symbol(target).digest for key, target in found.items()}


@cache
def kept() -> Path:
    """Where it is kept until this process ends what was parsed of copies, most of whose files are the same."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return folder


@cache
def reached() -> frozenset[str]:
    """Every symbol of the package that some component or the composition root reaches."""
    prints = Fingerprints()
    return frozenset(name for target in targets().values() for name in prints.symbol(target).symbols)


@cache
def modules() -> dict[str, Path]:
    """The modules of the package that may count, with their files."""
    locator = Fingerprints().sources.locator
    every = {name: locator.source(name) for name in locator.all_modules("otrainer")}
    return {name: path for name, path in every.items() if path is not None and not is_excluded(name)}


class Reading(Summarizer):
    """What counts of a module, without what hides in its statements: that is told with places, not counted."""

    def opaque(self, node: ast.stmt, names: Names, parts: Collection[str]) -> Iterator[tuple[str, str, int]]:
        return iter(())

    def at(self, line: int) -> Statement | None:
        """What counts of the statement that begins there, if anything."""
        both = zip(self.body, self.names, strict=True)
        return next((self.statement(node, names) for node, names in both if node.lineno == line), None)


class Silent:
    """The statements of a module without their messages, each made anew only when it was changed."""

    def __init__(self, tree: ast.Module, module: str, path: Path) -> None:
        self.module, self.is_package = module, path.name == "__init__.py"
        self.bodies = {each.lineno: silent(each) for each in tree.body}

    def reading(self, changed: Mapping[int, ast.stmt]) -> Reading:
        bodies = self.bodies | {line: silent(each) for line, each in changed.items()}
        body = [each for found in bodies.values() for each in found]
        return Reading(ast.Module(body, []), self.module, is_package=self.is_package)


def silent(statement: ast.stmt) -> list[ast.stmt]:
    return without_messages(ast.Module([copied(statement)], [])).body


def copied(node: Any) -> Any:
    """A copy of a tree, as `deepcopy` makes it in many times the time."""
    if isinstance(node, list):
        return [copied(each) for each in node]
    if not isinstance(node, ast.AST):
        return node
    made = type(node)(**{name: copied(value) for name, value in ast.iter_fields(node)})
    return ast.copy_location(made, node)


class Edit(NamedTuple):
    """A place that was changed, whether its statement counts otherwise then, and the names that the statement binds."""

    place: str
    shows: bool
    binds: tuple[str, ...]

    def is_reached(self) -> bool:
        return any(f"{self.place.partition(' ')[0]}:{name}" in reached() for name in self.binds)

    def is_told(self) -> bool:
        return self.shows and self.is_reached()


def edits(module: str, path: Path, find: Find, change: Change) -> Iterator[Edit]:
    """Change what `find` finds in each statement of a module, one place at a time.

    Statements are read each for itself, so that one place in each of them is changed and looked at in one go; that
    the others stay as they are is looked at the first time.
    """
    tree = ast.parse(path.read_bytes())
    statements, silent = {each.lineno: each for each in tree.body}, Silent(tree, module, path)
    reading = silent.reading({})
    before = {line: reading.at(line) for line in statements}
    todo = {line: list(find(statement)) for line, statement in statements.items()}
    for turn in range(max(map(len, todo.values()), default=0)):
        changed = {line: found[turn] for line, found in todo.items() if turn < len(found)}
        undo = [change(node) for node in changed.values()]
        after = silent.reading({line: statements[line] for line in changed})
        for each in undo:
            each()
        assert turn or all(before[line] == after.at(line) for line in before if line not in changed)
        for line, node in changed.items():
            binds = was.binds if (was := before[line]) is not None else ()
            yield Edit(f"{module} line {node.lineno}", was != after.at(line), binds)


def edits_at_once(module: str, path: Path, find: Find, change: Change) -> Iterator[Edit]:
    """Change all that `find` finds in a module, and tell of each statement what came of it."""
    tree = ast.parse(path.read_bytes())
    lines, before = [each.lineno for each in tree.body], Silent(tree, module, path).reading({})
    for statement in tree.body:
        for node in list(find(statement)):
            change(node)
    after = Silent(tree, module, path).reading({})
    for line in lines:
        was = before.at(line)
        yield Edit(f"{module} line {line}", was != after.at(line), was.binds if was is not None else ())


def messages_in(statement: ast.stmt) -> Iterator[ast.expr]:
    """Every text in a statement that people read: where only messages stand, and what reads like a sentence."""
    told = told_in(statement)
    for node in ast.walk(statement):
        if is_text(node) and (id(node) in told or reads_like_a_sentence(node)):
            yield node


def told_in(statement: ast.stmt) -> set[int]:
    """The nodes below errors, findings, logs, prints, docstrings and what is called a hint or a title."""
    roots: list[ast.AST] = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            roots.append(node.value)
        elif isinstance(node, ast.Assert) and node.msg is not None:
            roots.append(node.msg)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            roots += node.exc.args
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.endswith(("Error", "Finding")) or any(each.arg == "title" for each in node.keywords):
                roots += [*node.args, *(each.value for each in node.keywords)]
            elif name in ("print", "warnings.warn") or name.startswith(("log.", "super().__init__")):
                roots += filter(is_text, node.args)
            roots += [each.value for each in node.keywords if each.arg in ("hint", "message", "what", "why")]
    return {id(each) for root in roots for each in ast.walk(root)}


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def reads_like_a_sentence(node: ast.AST) -> bool:
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return any(PROSE.search(text) and text not in NO_MESSAGE for text in texts)


def reworded(node: ast.expr) -> Callable[[], None]:
    """Say something else in a text, and return what takes it back."""
    name = "values" if isinstance(node, ast.JoinedStr) else "value"
    old = getattr(node, name)
    setattr(node, name, [ast.Constant("Said otherwise.")] if isinstance(old, list) else f"{old} In other words.")
    return partial(setattr, node, name, old)


def constants_in(statement: ast.stmt) -> Iterator[ast.Constant]:
    """Every number, truth value and word in the functions of a statement, messages and annotations aside."""
    inside = {id(each): each for node in ast.walk(statement) if isinstance(node, FUNCTIONS) for each in ast.walk(node)}
    sentences = [node for node in inside.values() if is_text(node) and reads_like_a_sentence(node)]
    left_out = told_in(statement)
    left_out |= {id(each) for node in [*sentences, *annotations_in(statement)] for each in ast.walk(node)}
    for key, node in inside.items():
        counts = isinstance(node, ast.Constant) and isinstance(node.value, int | float | str)
        if counts and key not in left_out:
            yield node


def annotations_in(statement: ast.stmt) -> Iterator[ast.expr]:
    for node in ast.walk(statement):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                yield getattr(node, name)


def another(node: ast.Constant) -> Callable[[], None]:
    """Put another value in place of a constant, and return what takes it back."""
    old = node.value
    node.value = not old if isinstance(old, bool) else f"{old}x" if isinstance(old, str) else old + 1
    return partial(setattr, node, "value", old)


def move(folder: Path, name: str, source: str, target: str) -> None:
    """Move a definition from one module of a copy of the package to another, and rewrite all imports of it."""
    old, new = file_of(folder, source), file_of(folder, target)
    tree, lines = ast.parse(old.read_text()), old.read_text().splitlines()
    node = next(each for each in tree.body if name in names_bound(each))
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) - 1
    moved, lines[first : node.end_lineno] = lines[first : node.end_lineno], []
    there = {bound for each in ast.parse(new.read_text()).body for bound in names_bound(each)}
    needed = [needed_of(each, source, names_read(node) - there) for each in tree.body if each is not node]
    new.write_text("\n".join([new.read_text(), *filter(None, needed), *moved, ""]))
    old.write_text("\n".join([*lines, f"from {target} import {name}", ""]))
    for path in (folder / "otrainer").rglob("*.py"):
        if path not in (old, new):
            path.write_text(imported_from(path.read_text(), name, source, target))


def file_of(folder: Path, module: str) -> Path:
    path = folder.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def names_bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [each.asname or each.name for each in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [getattr(node, "name", ""), *(each.id for each in targets if isinstance(each, ast.Name))]


def needed_of(statement: ast.stmt, source: str, names: Collection[str]) -> str:
    """What brings those of the names that a statement of the module `source` binds to another one."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        bound = [name for name in names_bound(statement) if name in names]
        return f"from {source} import {', '.join(bound)}" if bound else ""
    found = [each for each in statement.names if (each.asname or each.name).partition(".")[0] in names]
    again = ast.Import(found) if isinstance(statement, ast.Import) else ast.ImportFrom(statement.module, found, 0)
    return ast.unparse(again) if found else ""


def names_read(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def imported_from(text: str, name: str, source: str, target: str) -> str:
    """A source in which `name` is imported from `target`, where it was from `source`."""
    if name not in text:
        return text
    lines = text.splitlines()
    for node in reversed([each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.ImportFrom)]):
        if node.module == source and name in [each.name for each in node.names]:
            indent = " " * node.col_offset
            kept = [ast.alias(each.name, each.asname) for each in node.names if each.name != name]
            taken = [ast.alias(each.name, each.asname) for each in node.names if each.name == name]
            made = [(source, kept), (target, taken)]
            made = [f"{indent}{ast.unparse(ast.ImportFrom(module, each, 0))}" for module, each in made if each]
            lines[node.lineno - 1 : node.end_lineno] = made
    return "\n".join([*lines, ""])
