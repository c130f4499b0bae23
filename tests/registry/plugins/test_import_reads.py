"""What plugins read in the project when they are imported or asked to register counts, for those that reach it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from otrainer.config.settings import Settings
from otrainer.registry import Registry, load_plugins
from otrainer.registry.plugins.import_reads import asked_by, asks_of, read_by, reads_of, runs_of
from otrainer.storage.records import FileStamp, hash_text

FILES = {
    "rd_helper.py": "TABLE = open('table.txt').read()\n",
    "rd_first.py": "from rd_helper import TABLE\n\ndef register(registry):\n    open('words.txt').close()\n",
    "rd_second.py": "import rd_helper\n",
    "rd_third.py": (
        "import json, tempfile\nfrom pathlib import Path\n"
        "try:\n    Path('missing.txt').read_text()\nexcept OSError:\n    pass\n"
        "Path('build/x.json').read_text()\nPath('written.txt').write_text('1')\n"
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
    forget(monkeypatch)
    settings = Settings(allowed_import_prefixes=("rd_first", "rd_second", "rd_third"))
    for plugin in ("rd_first", "rd_second", "rd_third"):
        load_plugins([plugin], registry=Registry(), settings=settings)
    return tmp_path


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the modules be imported as in a new process."""
    for kept in (reads_of, runs_of, asks_of):
        kept.cache_clear()
    for name in [name for name in sys.modules if name.startswith("rd_")]:
        monkeypatch.delitem(sys.modules, name)


def read(root: Path, *modules: str) -> dict[str, FileStamp | None]:
    """Return what was read by modules that are followed by their names."""
    return read_by({module: root / f"{module}.py" for module in modules})


def test_a_file_counts_for_every_plugin_that_reaches_the_module_that_read_it(loaded: Path) -> None:
    """Also for one that came later, when the process had imported that module already."""
    assert list(read(loaded, "rd_first", "rd_helper")) == ["table.txt", "words.txt"]
    assert list(read(loaded, "rd_second", "rd_helper")) == ["table.txt"]


def test_a_file_that_is_missing_counts_and_outputs_and_what_is_written_do_not(loaded: Path) -> None:
    assert read(loaded, "rd_third") == {"missing.txt": None}


def test_it_is_the_content_that_was_read(loaded: Path) -> None:
    (stamp,) = read(loaded, "rd_helper").values()
    (loaded / "table.txt").write_text("3")

    assert stamp is not None
    assert stamp.again(loaded / "table.txt") is None


# A compiled module of Python's own that stands for one of the project's.
LIBRARY = Path(str(find_spec("_json").origin))
# What a plugin does while it is imported with the files "rd/part.*", which nothing names as a module.
WAYS = {
    "by a spec": (
        (
            "import importlib.util as util\nspec = util.spec_from_file_location('part', 'rd/part.py')\n"
            "spec.loader.exec_module(util.module_from_spec(spec))\n"
        ),
        ["rd/part.py", "rd/part.txt"],
    ),
    "as a script": ("import runpy\nrunpy.run_path('rd/part.py')\n", ["rd/part.py", "rd/part.txt"]),
    "as text": ("exec(open('rd/part.py').read(), {})\n", ["rd/part.py", "rd/part.txt"]),
    "as text of its own": ("MARK = hash(open(__file__).read())\n", ["rd_way.py"]),
    "as data of a package": (
        "import pkgutil\npkgutil.get_data('rd_way', 'rd/part.txt')\n",
        ["rd/part.txt"],
    ),
    "by a computed name": (
        "import importlib\nimportlib.import_module('.'.join(['rd', 'part']))\n",
        ["rd/part.py", "rd/part.txt"],
    ),
    "in a process": (
        "import subprocess, sys\nsubprocess.run([sys.executable, '-B', 'rd/part.py', 'rd/part.txt'], check=True)\n",
        ["rd/part.py", "rd/part.txt"],
    ),
    "in a shell": ("import os\nos.system('sh rd/part.sh > /dev/null')\n", ["rd/part.sh"]),
    "as a database": (
        "import sqlite3\nsqlite3.connect('rd/part.db').execute('select 1')\n",
        ["rd/part.db"],
    ),
    "as a database by its URI": (
        "import sqlite3\nsqlite3.connect('file:rd/part.db?mode=ro', uri=True)\n",
        ["rd/part.db"],
    ),
    "as a library": ("import ctypes\nctypes.CDLL('rd/lib.so')\n", ["rd/lib.so"]),
    "as a compiled module": (
        "import importlib.util as util\nutil.module_from_spec(util.spec_from_file_location('_json', 'rd/lib.so'))\n",
        ["rd/lib.so"],
    ),
    "by what opens files itself, and keeps them open": (
        "import ctypes\nctypes.CDLL(None).fopen(b'rd/part.txt', b'r')\n",
        ["rd/part.txt"],
    ),
    "by its name": ("import code_by_name\n", []),
    "what is not there": ("import sqlite3\nsqlite3.connect('rd/none.db').close()\n", []),
}


@pytest.mark.parametrize(("does", "counts"), WAYS.values(), ids=list(WAYS))
def test_what_runs_or_is_loaded_without_a_name_to_follow_counts_as_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, counts: list[str]
) -> None:
    (tmp_path / "rd").mkdir()
    (tmp_path / "rd/part.py").write_text("X = open('rd/part.txt').read()\n")
    for name in ("part.txt", "part.sh", "part.db"):
        (tmp_path / "rd" / name).touch()
    (tmp_path / "rd/lib.so").write_bytes(LIBRARY.read_bytes())
    (tmp_path / "code_by_name.py").write_text("X = 1\n")
    (tmp_path / "rd_way.py").write_text(does)
    (tmp_path / "dodo.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("rd_way", "part", "rd", "rd.part", "code_by_name"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for ledger in (reads_of, runs_of):
        ledger.cache_clear()
    load_plugins(["rd_way"], registry=Registry(), settings=Settings(allowed_import_prefixes=("rd_way",)))

    assert list(read(tmp_path, "rd_way", "code_by_name")) == counts


ASKS = {
    "rd_first.py": "import os\nfrom pathlib import Path\nFACTOR = os.environ.get('RD_FACTOR')\n"
    "KEY = os.environ.get('RD_API_KEY')\nRANK = os.environ.get('RANK')\nHERE = Path.cwd()\n"
    "NAMES = sorted(HERE.joinpath('words').glob('*.txt'))\n",
    "rd_second.py": "import rd_helper\nfrom pathlib import Path\nON = Path('switch').exists()\n"
    "if not Path('cache').exists():\n    Path('cache').write_text('1')\nOUT = Path('runs/x').exists()\n",
    "rd_third.py": "import json\n",
    "rd_helper.py": "import os\nos.stat('table.txt')\n",
    "table.txt": "1",
    "words/a.txt": "2",
    "dodo.py": "",
}


def test_what_a_module_asks_counts_for_those_that_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words").mkdir()
    for name, text in ASKS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RD_FACTOR", "3")
    seen = []
    for _ in range(2):  # the second time finds what the first one made
        forget(monkeypatch)
        modules = {name: tmp_path / f"{name}.py" for name in ("rd_first", "rd_second", "rd_third")}
        settings = Settings(allowed_import_prefixes=tuple(modules))
        load_plugins(list(modules), registry=Registry(), settings=settings)
        seen.append([asked_by({name: path}) for name, path in modules.items()])
    first, second, third = seen[0]

    assert seen[0] == seen[1]
    assert (first.env, list(first.listings), first.kinds) == ({"RD_FACTOR": hash_text("3")}, ["words"], {})
    assert (second.env, second.listings, second.kinds) == ({}, {}, {"cache": "file", "switch": ""})
    assert (third.env, third.listings, third.kinds) == ({}, {}, {})
    assert list(read(tmp_path, "rd_second", "rd_helper")) == ["table.txt"]
