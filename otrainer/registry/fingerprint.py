"""What decides that a component's code changed: the source of its module and of every local module that this imports.

The source counts by its syntax tree, so comments and layout do not. Installed packages are not looked into.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otrainer.registry.core import Factory

SILENT_FIELDS = ("ctx", "type_comment", "kind", "type_ignores")
STDLIB = tuple({sysconfig.get_path("stdlib"): None, sysconfig.get_path("platstdlib"): None})
INSTALLED = ("site-packages", "dist-packages")


class Fingerprints:
    """The fingerprints of one look at the sources: a module is followed once, whoever asks."""

    def __init__(self) -> None:
        self._modules: dict[str, str] = {}

    def of(self, factory: Factory) -> str:
        """A sha256 that changes when the code behind `factory` may have; the same in every process."""
        module, name = named(factory)
        if module not in self._modules:
            found = sorted(local_modules([module]).items())
            self._modules[module] = "\n".join(f"{local} {source_of(path, local).digest}" for local, path in found)
        return hashlib.sha256(f"{module}:{name}\n{self._modules[module]}".encode()).hexdigest()


def named(factory: Factory) -> tuple[str, str]:
    """The module and the name in it under which a factory is defined."""
    if isinstance(factory, str):
        module, _, name = factory.partition(":")
        return module, name
    defined: Any = factory if hasattr(factory, "__qualname__") else getattr(factory, "func", type(factory))
    return defined.__module__, defined.__qualname__


def local_modules(names: list[str]) -> dict[str, Path]:
    """The modules `names` and all that they import, directly or not, as far as they are local: name -> source file."""
    found: dict[str, Path] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = local_source(name)
        if path is not None and name not in found:
            found[name] = path
            waiting += [*parents(name), *source_of(path, name).imports]
    return found


def parents(name: str) -> Iterator[str]:
    """The packages around a module, whose `__init__` runs first."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def local_source(name: str) -> Path | None:
    """The source file of a module that is not installed and not Python's own; nothing is imported to find it."""
    path = source_file(name)
    if path is None or path.suffix != ".py" or any(part in INSTALLED for part in path.parts):
        return None
    return None if any(path.is_relative_to(folder) for folder in STDLIB) else path


def source_file(name: str) -> Path | None:
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is not None:
        return Path(loaded)
    package, _, last = name.rpartition(".")
    if not package:
        spec = PathFinder.find_spec(name)
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    around = source_file(package)
    if around is None or around.name != "__init__.py":
        folder = namespace_folder(package) if around is None else None
    else:
        folder = around.parent
    if folder is None:
        return None
    return next((path for path in (folder / f"{last}.py", folder / last / "__init__.py") if path.is_file()), None)


def namespace_folder(package: str) -> Path | None:
    """The folder of a package without `__init__.py`."""
    for entry in sys.path:
        folder = Path(entry or ".", *package.split("."))
        if folder.is_dir() and next(folder.glob("*.py"), None) is not None:
            return folder.resolve()
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """What counts of a source file: the sha256 of its syntax tree, and every module that it may import."""

    digest: str
    imports: tuple[str, ...]


def source_of(path: Path, module: str) -> Source:
    """The source file of `module`, parsed once as long as it is the same file."""
    status = path.stat()
    return _parsed(path, module, status.st_size, status.st_mtime_ns)


@cache
def _parsed(path: Path, module: str, _size: int, _mtime_ns: int) -> Source:
    content = path.read_bytes()
    try:
        tree = ast.parse(content, str(path))
    except (SyntaxError, ValueError):  # importing it says what is wrong with it
        return Source(hashlib.sha256(content).hexdigest(), ())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return Source(hashlib.sha256(normal_form(tree).encode()).hexdigest(), tuple(imported(tree, package)))


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that a syntax tree may import, by absolute name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def normal_form(node: Any) -> str:
    """A syntax tree as text without positions; empty fields are left out, so that newer Pythons' new ones are too."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if name not in SILENT_FIELDS)
        shown = (f"{name}={normal_form(value)}" for name, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({','.join(shown)})"
    if isinstance(node, list):
        return f"[{','.join(map(normal_form, node))}]"
    return repr(node)
