"""What hides from a reader of the source what is reached: each kind widens what counts, and the manifest says so."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from otrainer.registry.fingerprint.inert import chain_of

# MODULE: all of the module counts. PACKAGE: all modules of its top-level package. BYTES: sources as they are written.
# DOCS: docstrings too. IMPORT: the named module.
MODULE, PACKAGE, BYTES, DOCS, IMPORT = "module", "package", "bytes", "docs", "import"
CALLS = {"globals": MODULE, "exec": MODULE, "eval": MODULE, "locals": MODULE, "vars": MODULE, "help": DOCS}
BARE = frozenset(("vars", "locals"))
IMPORTERS = frozenset(("__import__", "import_module", "importlib.import_module", "importlib.__import__"))
ATTRIBUTES = {
    "__subclasses__": PACKAGE,
    "__globals__": MODULE,
    "__code__": BYTES,
    "__doc__": DOCS,
    "_getframe": PACKAGE,
    "currentframe": PACKAGE,
    "getdoc": DOCS,
    "getsource": BYTES,
    "getsourcelines": BYTES,
    "get_objects": PACKAGE,
    "walk_packages": PACKAGE,
    "iter_modules": PACKAGE,
    "exec_module": PACKAGE,
    "spec_from_file_location": PACKAGE,
    "run_path": PACKAGE,
    "run_module": PACKAGE,
}
CHAINS = {"sys.modules": PACKAGE, "gc.get_objects": PACKAGE, "gc.get_referrers": PACKAGE}
# What hides as much under another name, or handed on: where it is read but not called.
HANDED_ON = {"globals": MODULE, "exec": MODULE, "eval": MODULE, **dict.fromkeys(IMPORTERS, PACKAGE)}
RENAMED = {("sys", "modules"): PACKAGE, ("importlib", "import_module"): PACKAGE, ("importlib", "__import__"): PACKAGE}
RENAMED |= {("builtins", name): kind for name, kind in HANDED_ON.items()}
TELLING = frozenset(name.rpartition(".")[2] for name in (*CALLS, *IMPORTERS, *ATTRIBUTES, *CHAINS))
NAMES = {name: kind for name, kind in ATTRIBUTES.items() if not name.startswith("__")} | {"__doc__": DOCS}


def opaque_calls(node: ast.AST) -> Iterator[tuple[str, str, int]]:
    """What kind of opacity, by which expression, in which line."""
    called = {id(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            yield from opaque_call(each)
        elif isinstance(each, ast.Attribute | ast.Name) and isinstance(each.ctx, ast.Load):
            chain = chain_of(each) or ""
            kind = HANDED_ON.get(chain.removeprefix("builtins.")) if id(each) not in called else None
            kind = kind or CHAINS.get(chain)
            kind = kind or (ATTRIBUTES.get(each.attr) if isinstance(each, ast.Attribute) else NAMES.get(each.id))
            if kind is not None:
                yield kind, f"`{chain or getattr(each, 'attr', '')}`", each.lineno
        elif isinstance(each, ast.ImportFrom):
            for one in each.names:
                kind = RENAMED.get((each.module or "", one.name))
                if kind is not None and (one.asname or one.name == "modules"):
                    yield kind, f"`{each.module}.{one.name}`", each.lineno


def may_hide(parts: Iterable[str]) -> bool:
    """Whether any of the names in a form is one that could hide something: most statements need no closer look."""
    return not TELLING.isdisjoint(parts)


def opaque_call(node: ast.Call) -> Iterator[tuple[str, str, int]]:
    chain = (chain_of(node.func) or "").removeprefix("builtins.")
    if chain in IMPORTERS:
        first = node.args[0] if node.args else None
        literal = isinstance(first, ast.Constant) and isinstance(first.value, str) and len(node.args) == 1
        if literal and not first.value.startswith("."):  # type: ignore[union-attr]  # it is a constant then
            yield IMPORT, first.value, node.lineno  # type: ignore[union-attr]  # the same
        else:
            yield PACKAGE, f"`{chain}()`", node.lineno
    elif chain in CALLS and not (chain in BARE and node.args):
        yield CALLS[chain], f"`{chain}()`", node.lineno
