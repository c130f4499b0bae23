"""What plugins read in the project when they are imported or asked to register counts, for those that reach it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from otrainer.config.settings import Settings
from otrainer.registry import Registry, load_plugins
from otrainer.registry.plugins.import_reads import read_by, reads_of

FILES = {
    "rd_helper.py": "TABLE = open('table.txt').read()\n",
    "rd_first.py": "from rd_helper import TABLE\n\ndef register(registry):\n    open('words.txt').close()\n",
    "rd_second.py": "import rd_helper\n",
    "rd_third.py": (
        "import json, tempfile\nfrom pathlib import Path\n"
        "try:\n    Path('missing.txt').read_text()\nexcept OSError:\n    pass\n"
        "Path('build/x.json').read_text()\nPath('written.txt').write_text('1')\nPath(__file__).read_text()\n"
    ),
    "table.txt": "1",
    "words.txt": "2",
    "build/x.json": "{}",
    "dodo.py": "",
}


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "build").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    reads_of.cache_clear()
    for name in [name for name in sys.modules if name.startswith("rd_")]:
        monkeypatch.delitem(sys.modules, name)
    settings = Settings(allowed_import_prefixes=("rd_first", "rd_second", "rd_third"))
    for plugin in ("rd_first", "rd_second", "rd_third"):
        load_plugins([plugin], registry=Registry(), settings=settings)
    return tmp_path


def test_a_file_counts_for_every_plugin_that_reaches_the_module_that_read_it(loaded: Path) -> None:
    """Also for one that came later, when the process had imported that module already."""
    assert list(read_by(["rd_first", "rd_helper"])) == ["table.txt", "words.txt"]
    assert list(read_by(["rd_second", "rd_helper"])) == ["table.txt"]


def test_a_file_that_is_missing_counts_and_sources_outputs_and_what_is_written_do_not(loaded: Path) -> None:
    assert read_by(["rd_third"]) == {"missing.txt": None}


def test_it_is_the_content_that_was_read(loaded: Path) -> None:
    (stamp,) = read_by(["rd_helper"]).values()
    (loaded / "table.txt").write_text("3")

    assert stamp is not None
    assert stamp.again(loaded / "table.txt") is None
