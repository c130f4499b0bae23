"""Plugin code runs where the settings allow it and it is needed: not for reading, and never where it is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from incremental.steps import edit, write
from trained import A, ask, copy, forget_plugins, inside
from warm import doit

from otrainer.errors import ConfigError
from otrainer.experiment import run_experiment
from otrainer.stages.load_model import load_model
from otrainer.stages.resolve import resolve_fully
from otrainer.storage import process_memory
from otrainer.storage.experiments import find_experiment
from otrainer.tasks.worker.table import run_stage

MARK = "open('ran', 'a').write(__name__ + ' ')\n"


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A trained project whose modules note that they are imported."""
    folder = copy(original, tmp_path / "project")
    with inside(folder):
        for name in ("__init__", "parts", "helper"):
            path = folder / f"extensions/{name}.py"
            text = path.read_text()
            future = "from __future__ import annotations\n"
            path.write_text(text.replace(future, future + MARK) if future in text else MARK + text)
        yield folder


def ran(root: Path) -> list[str]:
    return (root / "ran").read_text().split() if (root / "ran").exists() else []


def stage(name: str) -> Callable[[Path], object]:
    return lambda root: run_stage(name, find_experiment("a", root), root=root)


def question(name: str) -> Callable[[Path], object]:
    return lambda root: ask(name, root, "a", **({"WITH": "runs/a"} if name == "diff" else {}))


WAYS: dict[str, Callable[[Path], object]] = {
    "resolve": stage("resolve"),
    "manifest": stage("manifest"),
    "validate": stage("validate"),
    "examine": stage("examine"),
    "resolving fully": lambda root: resolve_fully(root / A, root),
    "run_experiment": lambda root: run_experiment(root / A),
    **{name: question(name) for name in ("why", "show", "diff", "audit", "runs")},
}
REFUSED = [
    "settings: {allow_imports: false}",
    "settings: {allowed_import_prefixes: []}",
    "settings: {allowed_import_prefixes: [otrainer., extensions.part, extensions.parts.x, extension]}",
    "imports: [extensions.parts, nowhere.x]",
]


@pytest.mark.parametrize("settings", REFUSED)
def test_where_imports_are_refused_nothing_of_them_is_imported_by_anything(root: Path, settings: str) -> None:
    edit(A, "run:", f"{settings}\nrun:")(root)
    stage("resolve")(root)
    forget_plugins()
    for name, way in WAYS.items():
        process_memory.forget("manifests")
        try:
            way(root)
        except ConfigError as error:
            assert "import" in str(error.findings[0].title), name
    imported = [name for name in sys.modules if name.partition(".")[0] in ("extensions", "nowhere")]

    assert (imported, ran(root)) == ([], [])


def test_a_module_beside_an_allowed_one_is_not_imported_for_the_packages_around_it(root: Path) -> None:
    """What lies above a plugin is imported with it, and so only if the plugin is."""
    for name in ("extensions_evil/__init__.py", "extensions_evil/deep/__init__.py", "extensions_evil/deep/x.py"):
        (root / name).parent.mkdir(exist_ok=True)
        write(name, MARK)(root)
    edit(A, "run:", "imports: [extensions_evil.deep.x]\nrun:")(root)
    stage("resolve")(root)
    with pytest.raises(ConfigError, match="is under no allowed prefix"):
        stage("manifest")(root)

    assert ran(root) == []


@pytest.mark.parametrize("name", ["resolve", "why", "show", "diff", "audit", "runs"])
def test_reading_imports_no_plugin_although_it_may(root: Path, name: str) -> None:
    forget_plugins()
    WAYS[name](root)

    assert ran(root) == []


@pytest.mark.parametrize("name", ["manifest", "validate"])
def test_validating_imports_them(root: Path, name: str) -> None:
    forget_plugins()
    process_memory.forget("manifests")
    WAYS[name](root)

    assert ran(root) == ["extensions", "extensions.parts", "extensions.helper"]


def test_a_model_is_built_with_the_plugins_of_its_run_where_the_run_allows_them(root: Path) -> None:
    """Whoever made a run folder says which modules of the project around it are imported for it."""
    forget_plugins()
    load_model(root / "runs/a")
    assert ran(root) == ["extensions", "extensions.parts", "extensions.helper"]
    (root / "ran").unlink()
    forget_plugins()
    edit("runs/a/run.json", '"allowed_import_prefixes": ["otrainer.", "extensions."]', '"allow_imports": false')(root)
    with pytest.raises(ConfigError, match="The settings allow no imports"):
        load_model(root / "runs/a")
    assert ran(root) == []


def test_listing_experiments_runs_dodo_py_and_no_plugin(root: Path) -> None:
    write("dodo.py", f"{(root / 'dodo.py').read_text()}\n{MARK}")(root)
    done = doit(root, "list")

    assert done.returncode == 0, done.stderr
    assert "train:a" in done.stdout
    assert ran(root) == ["dodo"]
