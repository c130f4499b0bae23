"""What hides from a reader of the source what is reached: each kind widens what counts, and the manifest says so."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping

from otrainer.fingerprint.known_names import kinds, sections
from otrainer.fingerprint.side_effects import chain_of

# MODULE: all of the module counts. PACKAGE: all modules of its top-level package. BYTES: sources as they are written.
# DOCS: docstrings too. IMPORT: the named module. BELOW: all modules of the named top-level package.
MODULE, PACKAGE, BYTES, DOCS, IMPORT, BELOW = "module", "package", "bytes", "docs", "import", "below"
CALLS, ATTRIBUTES, FULL_NAMES = kinds("called"), kinds("attribute"), kinds("full name")
IMPORTERS, FINDERS = sections()["importers"], sections()["finders"]
TEXTS = ("exec", "eval")
BARE = frozenset(("vars", "locals", "dir"))
# Those that run a module as a script, which is what its last lines are for.
SCRIPTS = frozenset(("run_path", "run_module"))
# What hides as much under another name, or handed on: where it is read but not called.
HANDED_ON = {"globals": MODULE, "exec": MODULE, "eval": MODULE, **dict.fromkeys((*IMPORTERS, *FINDERS), PACKAGE)}
RENAMED = {f"builtins.{name}": kind for name, kind in HANDED_ON.items()} | HANDED_ON | FULL_NAMES
NAMES = {name: kind for name, kind in ATTRIBUTES.items() if not name.startswith("__")}
NAMES |= {"__doc__": DOCS, "__annotations__": MODULE, "__builtins__": MODULE}
# Attributes that are asked for by a text as well.
ASKED = {name: kind for name, kind in ATTRIBUTES.items() if name.startswith("__")}
TELLING = {name.rpartition(".")[2] for name in (*CALLS, *IMPORTERS, *FINDERS, *ATTRIBUTES, *FULL_NAMES, *NAMES)}
TELLING |= {f"str {name!a}" for name in (*ASKED, "import_module", "modules")}
# Where a text that is executed may come from, and what says in one that it imports.
READERS = frozenset(("open", "read", "read_text", "read_bytes", "get_data"))
IMPORTING_TEXT = re.compile(r"\bimport\s+\S|__import__|import_module")
PACKAGE_TEXT = re.compile(r"([^\W\d]\w*)[.:]")

LOAD = ast.Load()
# From a chain of names to what it stands for, through the imports of the module.
Full = Callable[[str], str]


def opaque_calls(node: ast.AST, full: Full, *, imports_in_texts: bool) -> Iterator[tuple[str, str, int]]:
    """Yield what kind of opacity, by which expression, in which line.

    With `imports_in_texts` some text of the module imports, which one that is executed may be.
    """
    may_import = imports_in_texts or reads_files(node)
    called = {id(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            yield from opaque_call(each, full, may_import=may_import)
        if isinstance(each, ast.Attribute | ast.Name | ast.Call) and isinstance(getattr(each, "ctx", LOAD), ast.Load):
            yield from opaque_name(each, full, is_called=id(each) in called)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value in ASKED:
            yield ASKED[each.value], f"`{each.value}`", each.lineno
        elif isinstance(each, ast.ImportFrom):
            for one in each.names:
                kind = RENAMED.get(f"{each.module}.{one.name}")
                if kind is not None and (one.asname or one.name == "modules"):
                    yield kind, f"`{each.module}.{one.name}`", each.lineno


def may_hide(parts: Collection[str], aliases: Mapping[str, tuple[str, str | None]]) -> bool:
    """Return whether a name in a form is one that could hide something, or stands for one: most statements need no
    closer look."""
    return not TELLING.isdisjoint(parts) or any(
        each in TELLING and name in parts for name, (_, each) in aliases.items()
    )


def named(node: ast.expr, full: Full) -> str:
    """Return the full name of a chain, also where `getattr` is asked for a part of it."""
    if isinstance(node, ast.Call) and chain_of(node.func) == "getattr" and len(node.args) > 1:
        inner, name = named(node.args[0], full), node.args[1]
        text = name.value if isinstance(name, ast.Constant) else None
        return f"{inner}.{text}" if inner and isinstance(text, str) else ""
    return full(chain_of(node) or "").removeprefix("builtins.")


def opaque_name(
    node: ast.Attribute | ast.Name | ast.Call, full: Full, *, is_called: bool
) -> Iterator[tuple[str, str, int]]:
    chain = named(node, full)
    last = node.attr if isinstance(node, ast.Attribute) else chain.rpartition(".")[2]
    kind = HANDED_ON.get(chain) if not is_called else None
    kind = kind or FULL_NAMES.get(chain)
    kind = kind or (NAMES.get(node.id) if isinstance(node, ast.Name) else ATTRIBUTES.get(last))
    if kind is not None:
        what = f"`{chain_of(node) or chain or last}`"
        yield kind, what, node.lineno
        if last in SCRIPTS:
            yield BYTES, what, node.lineno


def opaque_call(node: ast.Call, full: Full, *, may_import: bool) -> Iterator[tuple[str, str, int]]:
    chain = named(node.func, full)
    what = f"`{(chain_of(node.func) or chain).removeprefix('builtins.')}()`"
    if chain in IMPORTERS | FINDERS:
        first = node.args[0] if node.args else None
        name = first.value if isinstance(first, ast.Constant) and len(node.args) == 1 else None
        if isinstance(name, str) and not name.startswith("."):
            yield IMPORT, name.partition(":")[0], node.lineno
            if chain.endswith("__import__"):  # which gives the outermost package
                yield IMPORT, name.partition(".")[0], node.lineno
        else:
            yield PACKAGE, what, node.lineno
            found = (PACKAGE_TEXT.match(text) for text in texts_in(node))
            yield from ((BELOW, match[1], node.lineno) for match in found if match)
    elif chain in CALLS and not (chain in BARE and node.args):
        yield CALLS[chain], what, node.lineno
        if chain in TEXTS and may_import:
            yield PACKAGE, what, node.lineno


def reads_files(node: ast.AST) -> bool:
    found = (getattr(each, "id", None) or getattr(each, "attr", None) for each in ast.walk(node))
    return not READERS.isdisjoint(found)


def texts_in(*nodes: ast.AST) -> Iterator[str]:
    found = (each.value for node in nodes for each in ast.walk(node) if isinstance(each, ast.Constant))
    return (value for value in found if isinstance(value, str))
