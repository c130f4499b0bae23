"""What may be imported by what: the light rooms stay light, and checking that nothing changed stays lightest."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "otrainer"
FLOORS = (
    ("errors", "protocols"),
    ("storage",),
    ("diagnostics", "fingerprint"),
    ("config",),
    ("registry",),
    ("model",),
    ("engine",),
    ("components",),
    ("stages",),
    ("experiment", "commands"),
    ("tasks",),
    ("deps",),
)


LIGHT = [
    "otrainer",
    "otrainer.config",
    "otrainer.registry",
    "otrainer.commands.schema",
    "otrainer.tasks",
    "otrainer.stages.manifest",
    "otrainer.commands",
]


@pytest.mark.parametrize("room", LIGHT)
def test_the_light_rooms_load_no_torch(room: str) -> None:
    code = f"import sys, {room}; print([name for name in ('torch', 'numpy', 'rich') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def floor_of(module: str) -> int:
    room = module.split(".")[1] if "." in module else "errors"
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imports_of(path: Path) -> list[tuple[int, str]]:
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    return [(node.lineno, node.module) for node in nodes if node.module and node.module.startswith("otrainer.")]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_downward(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    own = floor_of(f"otrainer.{room}")

    upward = [(line, module) for line, module in imports_of(path) if floor_of(module) > own]

    assert upward == []
