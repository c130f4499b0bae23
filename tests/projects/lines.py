"""How many lines the projects take, less empty ones, comments and docstrings: `python tests/projects/lines.py`."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def lines_of(path: Path) -> int:
    """Return the lines of a YAML or Python file that are neither empty, nor comments, nor docstrings."""
    text = path.read_text() if path.exists() else ""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, DOCUMENTED)] if path.suffix == ".py" else []
    told = [node.body[0] for node in nodes if ast.get_docstring(node) is not None]
    said = {line for each in told for line in range(each.lineno, (each.end_lineno or each.lineno) + 1)}
    numbered = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and not line.startswith("#") and number not in said for number, line in numbered)


def rows() -> dict[str, tuple[int, int, int]]:
    """Return by project the lines of its YAML, its plugin and its plain program."""
    names = sorted(path.parent.name for path in FOLDER.glob("*/experiment.yaml"))
    files = "experiment.yaml", "plugin.py", "plain.py"
    return {name: tuple(lines_of(FOLDER / name / file) for file in files) for name in names}  # type: ignore[misc]


if __name__ == "__main__":
    for name, (config, plugin, plain) in rows().items():
        print(f"{name:10} YAML {config:3}  plugin {plugin:3}  otrainer {config + plugin:3}  plain torch {plain:3}")
