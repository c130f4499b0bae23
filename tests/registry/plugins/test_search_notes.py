"""Folders that plugins add to the search for modules: those of an experiment itself, whatever else was imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from otrainer.config import Settings
from otrainer.fingerprint import Fingerprints
from otrainer.registry import Registry, load_plugins
from otrainer.registry.plugins.search_notes import needed_by
from otrainer.storage import process_memory

SETTINGS = Settings(allowed_import_prefixes=("plug.",))
ADDS = "import sys\nfrom pathlib import Path\n\nHERE = Path(__file__).parents[1]\n"
BOTH = f"{ADDS}sys.path += [str(HERE / 'one'), str(HERE / 'two')]\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("plug", "one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "two/found.py").write_text("X = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for each in ("search path", "search additions"):
        process_memory.forget(each)
    yield tmp_path
    for each in ("search path", "search additions"):
        process_memory.forget(each)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("plug", "found")]:
        del sys.modules[name]


def write(root: Path, name: str, text: str) -> str:
    (root / f"plug/{name}.py").write_text(text)
    return f"plug.{name}"


def needed(root: Path, plugin: str, *before: str) -> list[str]:
    """The folders that are noted for an experiment with this plugin, by their names, after others were imported."""
    load_plugins([*before, plugin], registry=Registry(), settings=SETTINGS)
    prints = Fingerprints(root=root)
    noted = needed_by(prints.modules([plugin]), prints.sources.locator)
    return [Path(each).name for each in (*noted.front, *noted.back)]


def test_a_folder_in_which_nothing_is_found_yet_counts(root: Path) -> None:
    """A module that appears there is the one that is imported then."""
    assert needed(root, write(root, "a", f"{BOTH}import found\n")) == ["one", "two"]


def test_one_counts_in_front_of_which_a_module_is_found(root: Path) -> None:
    (root / "found.py").write_text("X = 2\n")

    assert needed(root, write(root, "a", f"{BOTH}import found\n")) == ["one", "two"]


@pytest.mark.parametrize("first", [True, False])
def test_what_a_helper_added_counts_for_each_plugin_that_imports_it(root: Path, first: bool) -> None:
    write(root, "helper", BOTH)
    other = write(root, "b", f"from plug import helper\n{ADDS}sys.path.append(str(HERE / 'three'))\n")
    plugin = write(root, "a", "from plug import helper\nimport found\n")

    assert needed(root, plugin, *([other] if first else [])) == ["one", "two"]


def test_what_is_added_as_a_plugin_registers_counts(root: Path) -> None:
    code = f"{ADDS}def register(registry):\n    sys.path.insert(0, str(HERE / 'three'))\n"

    assert needed(root, write(root, "a", code)) == ["three"]
