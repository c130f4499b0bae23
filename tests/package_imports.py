"""What the package's modules import, read without importing any: at the top, inside functions and for types alike."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import networkx

Graph = dict[str, dict[str, int]]  # module -> imported module -> the first line that imports it


def sources(root: Path) -> dict[str, Path]:
    """Map the modules of the package in a checkout to their files, a package under its own name."""
    found = {}
    for path in sorted((root / "otrainer").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> Graph:
    """Return which modules of the package each of them imports; parents that come along are not counted."""
    files = sources(root)
    graph: Graph = {module: {} for module in files}
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in imported(node, path, module):
                while name not in files and "." in name:
                    name = name.rpartition(".")[0]
                if name in files and name != module:
                    graph[module].setdefault(name, node.lineno)
    return graph


def imported(node: ast.AST, path: Path, module: str) -> Iterator[str]:
    """Yield the dotted names that a statement imports; the last part may be no module but a name in one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
        start = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        base = ".".join(part for part in (start, node.module) if part)
        yield from (f"{base}.{alias.name}" for alias in node.names)


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that reach each other by imports."""
    found = networkx.strongly_connected_components(networkx.DiGraph(graph))
    return sorted(sorted(group) for group in found if len(group) > 1)


def room_of(module: str) -> str:
    """Return the entry of the package that a module lies in; `__init__` for the package itself."""
    return module.split(".")[1] if "." in module else "__init__"


def layers(text: str) -> dict[str, int] | None:
    """Read the order of rooms, `a, b < c < ...`, from a fenced block of CONTRIBUTING; None where there is none."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    order = next((block for block in blocks if " < " in block), None)
    if order is None:
        return None
    levels = enumerate(order.split("<"))
    return {room.strip(): level for level, group in levels for room in group.split(",")}


def upward(graph: Graph, levels: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Return the imports of a room from a higher one, or from another one of its own layer, each with its line.

    The package's `__init__` stands above all rooms. Raises KeyError for a room that has no level.
    """
    top = max(levels.values()) + 1
    rooms = {module: room_of(module) for module in graph}
    at = {module: top if room == "__init__" else levels[room] for module, room in rooms.items()}
    return [
        (module, name, line)
        for module, names in graph.items()
        for name, line in names.items()
        if rooms[module] != rooms[name] and at[module] <= at[name]
    ]
