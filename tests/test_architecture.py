"""The rooms of the package: imports go down only, in no circle, and the light rooms stay light.

The order is the one that CONTRIBUTING states. Rooms to come and circles left over are listed, and may only become less.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mutable_globals import mutable_globals
from package_imports import Graph, circles, imports, layers, room_of, upward

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ORDER = layers(CONTRIBUTING) or {}
MOST_ENTRIES = 16

LIGHT = [
    "otrainer",
    "otrainer.config",
    "otrainer.registry",
    "otrainer.commands",
    "otrainer.commands.schema",
    "otrainer.tasks",
    "otrainer.stages",
    "otrainer.stages.resolve",
    "otrainer.stages.manifest",
]


@pytest.fixture(scope="module")
def graph() -> Graph:
    """What imports what; made here, since each process that runs a part of the tests imports this file."""
    return imports(ROOT)


def test_the_order_names_each_entry_of_the_package(graph: Graph) -> None:
    rooms = {room_of(module) for module in graph}

    assert rooms - {"__init__"} == set(ORDER)
    assert len(rooms) <= MOST_ENTRIES


def test_imports_go_down_only(graph: Graph) -> None:
    """At the top, inside functions and for types alike; rooms of one layer do not import each other."""
    assert [f"{module}:{line} imports {name}" for module, name, line in upward(graph, ORDER)] == []


def test_no_modules_import_each_other_in_a_circle(graph: Graph) -> None:
    """All kinds of imports count."""
    assert circles(graph) == []


def test_what_outlives_a_call_is_kept_in_one_place() -> None:
    trees = {
        path.relative_to(ROOT / "otrainer").as_posix(): ast.parse(path.read_text())
        for path in (ROOT / "otrainer").rglob("*.py")
    }

    assert mutable_globals(trees) == [("storage/process_memory.py", "_memory")]


@pytest.mark.parametrize("room", LIGHT)
def test_the_light_rooms_load_no_torch(room: str) -> None:
    code = f"import sys, {room}; print([name for name in ('torch', 'numpy', 'rich') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_what_doit_loads_to_find_that_nothing_changed_reads_no_config_and_no_code() -> None:
    heavy = ("yaml", "otrainer.config", "otrainer.fingerprint", "otrainer.registry")
    code = f"import sys, otrainer.tasks.project; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_the_loop_loads_no_more_than_it_trains_with() -> None:
    """The engine and storage, errors, protocols and what hides secrets: no configs, registry, models or drawing."""
    code = "import sys, otrainer.engine.trainer; print(*(n for n in sys.modules if n.split('.')[0] == 'otrainer'))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = result.stdout.split()

    assert {room_of(name) for name in loaded if "." in name} == {
        "diagnostics", "engine", "errors", "protocols", "storage",
    }  # fmt: skip
    assert {name for name in loaded if name.startswith("otrainer.diagnostics.")} == {
        "otrainer.diagnostics.redaction",
        "otrainer.diagnostics.redaction.exceptions",
        "otrainer.diagnostics.redaction.records",
        "otrainer.diagnostics.redaction.streams",
        "otrainer.diagnostics.redaction.values",
    }


def test_an_import_counts_wherever_it_stands(tmp_path: Path) -> None:
    """A package of three rooms whose lowest one imports the others in every way, the upper ones each other."""
    package = tmp_path / "otrainer"
    for room in ("low", "left", "right"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "low/a.py").write_text("def f():\n    from ..left import b\n")
    (package / "low/c.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import otrainer.right.d\n"
    )
    (package / "left/b.py").write_text("from otrainer.right.d import x\nfrom otrainer.low.a import f\n")
    (package / "right/d.py").write_text("def x():\n    from otrainer.left.b import f\n")
    graph = imports(tmp_path)

    assert upward(graph, layers("```\nlow < left, right\n```") or {}) == [
        ("otrainer.left.b", "otrainer.right.d", 1),
        ("otrainer.low.a", "otrainer.left.b", 2),
        ("otrainer.low.c", "otrainer.right.d", 3),
        ("otrainer.right.d", "otrainer.left.b", 2),
    ]
    assert circles(graph) == [["otrainer.left.b", "otrainer.low.a", "otrainer.right.d"]]


SPINE = re.search(r"## The spine\n.*?```\n(.*?)```", CONTRIBUTING, re.DOTALL)
SPINE_LINES = 4_000


def test_the_spine_can_be_read_in_an_afternoon() -> None:
    assert SPINE is not None
    files = [ROOT / "otrainer" / name for name in SPINE[1].split()]

    assert len(files) >= 28
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < SPINE_LINES


def test_the_map_of_the_package_names_files_that_are_there() -> None:
    page = (ROOT / "otrainer/README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", page))

    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / "otrainer" / name).exists()] == []
    assert set(ORDER) <= {name.removesuffix("/").removesuffix(".py") for name in named}
