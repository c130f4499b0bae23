"""What code uses that no reading of sources follows: the environment, other processes, libraries, code by its path.

What happens while a module is imported is watched and counts: here is what comes later, and what cannot be watched.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

from otrainer.fingerprint.dynamic import TEXTS, reads_files
from otrainer.fingerprint.known_names import kinds, sections
from otrainer.fingerprint.scopes import defaults
from otrainer.fingerprint.side_effects import chain_of

ENVIRONMENT, PROCESS, NATIVE, LOADED, NAMED = "environment", "process", "native", "loaded", "named"
UNFOLLOWED = {
    ENVIRONMENT: "what it reads is not followed, unlike `${env:NAME}` in the config",
    PROCESS: "what the process reads is not followed, unlike what `files()` names",
    NATIVE: "what the library is and reads is not followed, unlike what `files()` names",
    LOADED: "the code that it loads is not followed, unlike what is imported by its name",
    NAMED: "of what it imports, only the package's own modules and those that the config names are followed",
}
VARIABLE = "the environment variable "
FULL_NAMES, ATTRIBUTES = kinds("unfollowed"), kinds("unfollowed attribute")
MAPPINGS = frozenset(("os.environ", "os.environb"))
GETTERS = frozenset(("os.getenv", "os.getenvb"))
# What a mapping is asked for one name by, and what is no reading where nobody takes what it returns.
ASKING, WRITING = frozenset(("get", "pop", "setdefault")), frozenset(("setdefault", "update", "pop", "clear"))
IMPORTERS = sections()["importers"]
TELLING = {name.rpartition(".")[2] for name in (*FULL_NAMES, *ATTRIBUTES, *MAPPINGS, *GETTERS, *IMPORTERS, *TEXTS)}
# The variable that is read, where that is computed, where it may be each of them, and where none is read.
COMPUTED, ALL, NONE = "?", "", "="
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

Found = tuple[str, str, int]


def may_lead_out(parts: Iterable[str], aliases: Mapping[str, tuple[str, str | None]]) -> bool:
    """Return whether a name in a form is one of those, under its own name or another: most need no closer look."""
    return any(part in TELLING or (part in aliases and aliases[part][1] in TELLING) for part in parts)


class Unfollowed:
    """Looks through one statement; `full` leads from a chain of names to what it stands for."""

    def __init__(self, statement: ast.stmt, full: Callable[[str], str]) -> None:
        self.full = full
        self.reads_files = reads_files(statement)
        self.found = tuple(self.within(statement, later=False))

    def within(self, node: ast.AST, *, later: bool) -> Iterator[Found]:
        """Yield what is not followed in `node`, which runs `later` than at import, or then."""
        if isinstance(node, FUNCTIONS):
            for each in (*defaults(node.args), *getattr(node, "decorator_list", ())):
                yield from self.within(each, later=later)
            for each in node.body if isinstance(node.body, list) else [node.body]:
                yield from self.within(each, later=True)
            return
        rest = [each for each in ast.iter_child_nodes(node) if each is not getattr(node, "annotation", None)]
        if (variable := self.variable(node)) is not None:
            name, rest = variable
            if name == ALL or (later and name != NONE):
                yield ENVIRONMENT, self.shown(node, name), line_of(node)
        elif isinstance(node, ast.Call):
            yield from self.call(node, later=later)
            rest = rest if self.kind(node.func) is None else rest[1:]
        elif isinstance(node, ast.Attribute | ast.Name) and (kind := self.kind(node)) is not None:
            yield kind, self.shown(node), node.lineno  # handed on, to be called by somebody
        for each in rest:
            yield from self.within(each, later=later)

    def variable(self, node: ast.AST) -> tuple[str, list[ast.AST]] | None:
        """Return which variable of the environment is read, and what of `node` remains to be looked at."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self.asks(node.value, WRITING):
            return NONE, [*node.value.args, *node.value.keywords]
        if isinstance(node, ast.Subscript) and self.is_mapping(node.value):
            return (literal(node.slice) if isinstance(node.ctx, ast.Load) else NONE), [node.slice]
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and self.is_mapping(node.comparators[0]):
            return literal(node.left), [node.left]
        if isinstance(node, ast.Call) and (self.asks(node, ASKING) or self.name(node.func) in GETTERS):
            return (literal(node.args[0]) if node.args else COMPUTED), [*node.args, *node.keywords]
        if isinstance(node, ast.expr) and (self.is_mapping(node) or self.name(node) in GETTERS):
            return ALL, []
        return None

    def call(self, node: ast.Call, *, later: bool) -> Iterator[Found]:
        name, kind = self.name(node.func), self.kind(node.func)
        if name in IMPORTERS and not (node.args and isinstance(node.args[0], ast.Constant)):
            kind = NAMED if later else None
        elif name in TEXTS and self.reads_files:
            kind = LOADED if later else None
        if kind is not None and (later or kind == PROCESS or (kind == NATIVE and not names_file(node))):
            yield kind, self.shown(node.func), node.lineno

    def kind(self, node: ast.expr) -> str | None:
        last = node.attr if isinstance(node, ast.Attribute) else ""
        return FULL_NAMES.get(self.name(node)) or ATTRIBUTES.get(last)

    def asks(self, call: ast.Call, methods: frozenset[str]) -> bool:
        return isinstance(call.func, ast.Attribute) and call.func.attr in methods and self.is_mapping(call.func.value)

    def is_mapping(self, node: ast.expr) -> bool:
        return self.name(node) in MAPPINGS

    def name(self, node: ast.expr) -> str:
        return self.full(chain_of(node) or "").removeprefix("builtins.")

    def shown(self, node: ast.AST, variable: str = ALL) -> str:
        """Return an expression as a note names it: the names in it, with the one variable that it asks for."""
        if variable not in (ALL, COMPUTED):
            return variable_shown(variable)
        if isinstance(node, ast.Attribute | ast.Name):
            return f"`{chain_of(node) or getattr(node, 'attr', '')}`"
        return "variables of the environment"


def variable_shown(name: str) -> str:
    return f"{VARIABLE}`{name}`"


def literal(node: ast.expr) -> str:
    """Return the text or bytes that an expression is."""
    return str(node.value) if isinstance(node, ast.Constant) else COMPUTED


def names_file(call: ast.Call) -> bool:
    """Return whether a library may be given by its path: then it is seen when it is loaded."""
    given = call.args[0] if call.args else ast.Constant(None)
    return not isinstance(given, ast.Constant) or "/" in str(given.value)


def line_of(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))
