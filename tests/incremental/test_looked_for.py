"""What an import looked for in vain, or would find first by now, makes the manifest stale, and nothing else does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from otrainer.fingerprint import Fingerprints
from otrainer.stages.manifest import searched
from otrainer.storage import process_memory
from otrainer.storage.module_search import finders_at_start
from otrainer.storage.records import Record, reasons, stamp_files

from .steps import remove, write

FILES = {
    "plug/__init__.py": "",
    "plug/main.py": "try:\n    from plug import local\nexcept ImportError:\n    local = None\n"
    "import beside, random, nspace.inner\nfrom plug.helper import x\ndef later():\n    import optional\n",
    "plug/helper.py": "x = 1\n",
    "plug/unused.py": "",
    "nspace/inner.py": "",
    "beside.py": "",
    "walks/__init__.py": "import pkgutil\nfound = list(pkgutil.walk_packages(__path__))\n",
    "walks/a.py": "",
    "walks/deep/__init__.py": "",
    "walks/deep/b.py": "",
    "stars/__init__.py": "from stars.parts import *\n",
    "stars/parts/__init__.py": "__all__ = ['one', 'two']\n",
    "stars/parts/one.py": "",
    "other/beside.py": "",
    "data/numbers.txt": "",
}
PLUGINS = ("plug.main", "walks", "stars")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def looked(root: Path, *plugins: str) -> Record:
    """What the manifest's record keeps of these plugins."""
    prints = Fingerprints(root=root)
    modules = prints.modules(plugins)
    return Record(stamp_files(modules.values(), root), search=searched(modules, prints, root))


def told(record: Record, root: Path) -> list[str]:
    return list(reasons(record, {}, root=root))


COMES = {
    "an optional module": ("plug/local.py", "plug.main"),
    "one that a function imports": ("optional.py", "plug.main"),
    "a package beside a module": ("beside/__init__.py", "plug.main"),
    "a module of the project in place of one of Python's": ("random.py", "plug.main"),
    "the __init__ of a namespace package": ("nspace/__init__.py", "plug.main"),
    "a package beside a module in a package": ("plug/helper/__init__.py", "plug.main"),
    "a compiled module beside a source": ("plug/helper.abi3.so", "plug.main"),
    "a module in a package that is walked": ("walks/new.py", "walks"),
    "one in a package below it": ("walks/deep/new.py", "walks"),
    "one that __all__ lists": ("stars/parts/two.py", "stars"),
}


@pytest.mark.parametrize("what", COMES)
def test_a_module_that_comes_is_told_to_those_that_look_for_it_alone(root: Path, what: str) -> None:
    name, concerned = COMES[what]
    records = {plugin: looked(root, plugin) for plugin in PLUGINS}
    assert not any(told(record, root) for record in records.values())
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("")

    assert {plugin: told(record, root) for plugin, record in records.items()} == {
        plugin: [f"`{name}` is there now."] if plugin == concerned else [] for plugin in PLUGINS
    }


@pytest.mark.parametrize("name", ["plug/another.py", "plug/notes.txt", "other.py", "data/local.py", "plug/local.txt"])
def test_a_file_that_no_import_would_find_is_no_reason(root: Path, name: str) -> None:
    record = looked(root, *PLUGINS)
    (root / name).write_text("")

    assert told(record, root) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (remove("beside.py"), "`beside.py` is gone."),
        (lambda root: (root / "walks/a.py").rename(root / "walks/z.py"), "`walks/z.py` is there now."),
        (write("plug/helper.py", "x = 2\n"), "`plug/helper.py` changed."),
    ],
)
def test_what_happened_to_a_file_is_told_once(root: Path, change: Callable[[Path], object], reason: str) -> None:
    record = looked(root, "plug.main", "walks")
    change(root)

    assert told(record, root).count(reason) == 1
    assert len(told(record, root)) == len(set(told(record, root)))


def test_another_pythonpath_is_told_and_the_same_one_in_other_words_is_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{root}/other")
    record = looked(root, *PLUGINS)
    said = [
        list(reasons(record, {}, root=root, environ={"PYTHONPATH": os.pathsep.join(path)}))
        for path in ([f"{root}/other"], [str(root), f"{root}/other/"], ["other"], [f"{root}/data"], [])
    ]

    assert said == [[], [], [], *[["`PYTHONPATH` names other folders."]] * 2]


def test_a_folder_that_leaves_the_path_is_told_where_something_was_found_there(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of an editable install whose .pth file names another checkout now."""
    (root / "plug/main.py").write_text("import only_there\n")
    (root / "other/only_there.py").write_text("")
    monkeypatch.syspath_prepend(root / "data")
    monkeypatch.syspath_prepend(root / "other")
    record = looked(root, "plug.main")
    monkeypatch.setattr("sys.path", [each for each in __import__("sys").path if each != str(root / "data")])
    assert told(record, root) == []
    monkeypatch.setattr("sys.path", [each for each in __import__("sys").path if each != str(root / "other")])

    assert told(record, root) == [f"`{root}/other` is not on Python's path any more."]


LOOKS = {
    "looked for": "import importlib.util\nVALUE = importlib.util.find_spec('comes') is not None\n",
    "looked for under another name": "from importlib.util import find_spec as look\nVALUE = look('comes')\n",
    "tried": "try:\n    import comes\n    VALUE = 1\nexcept ImportError:\n    VALUE = 0\n",
    "tried within a package": "try:\n    from inside import comes\n    VALUE = 1\nexcept ImportError:\n    VALUE = 0\n",
    "tried by a function": "def VALUE():\n    try:\n        import comes\n    except ImportError:\n        return 0\n    return 1\n",
}


@pytest.mark.parametrize("how", LOOKS)
def test_an_empty_folder_is_found_by_who_looks_for_a_package(root: Path, how: str) -> None:
    for name in ("probe.py", "inside/__init__.py", "other.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(LOOKS[how] if name == "probe.py" else "VALUE = 1\n")

    def digests() -> list[str]:
        return [Fingerprints(root=root).symbol(f"{name}:VALUE").digest for name in ("probe", "other")]

    before = digests()
    (root / "unasked").mkdir()
    assert digests() == before
    (root / ("inside/comes" if "inside" in LOOKS[how] else "comes")).mkdir()

    assert [one == two for one, two in zip(digests(), before, strict=True)] == [False, True]


class Finder:
    """As an editable install has one, installed by a `.pth` file before anything else runs."""

    def __init__(self, **mapping: Path) -> None:
        self.mapping = mapping

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(name, self.mapping[name]) if name in self.mapping else None


HOOKED = {
    "another checkout": ({"hooked": "two/hooked.py"}, ["The module `hooked` is found elsewhere now: two/hooked.py."]),
    "no checkout": ({}, ["The module `hooked` is not found any more by what is installed to find it."]),
    "one more": (
        {"hooked": "one/hooked.py", "optional": "one/hooked.py"},
        ["The module `optional` is found in another way now: one/hooked.py."],
    ),
    "one that nobody imports": ({"hooked": "one/hooked.py", "nobody": "two/hooked.py"}, []),
    "the same": ({"hooked": "one/hooked.py"}, []),
}


@pytest.mark.parametrize("what", HOOKED)
def test_where_a_finder_that_is_installed_finds_a_module_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It is asked again each time, without importing anything: its own file may say something else by now."""
    (root / "plug/lazy.py").write_text("def later():\n    import hooked\n    import optional\n")
    for name in ("one", "two"):
        (root / name).mkdir()
        (root / name / "hooked.py").touch()
    start_with(Finder(hooked=root / "one/hooked.py"), monkeypatch)
    record = looked(root, "plug.lazy")
    mapping, expected = HOOKED[what]
    start_with(Finder(**{name: root / place for name, place in mapping.items()}), monkeypatch)

    assert [each.replace(f"{root}/", "") for each in told(record, root)] == expected


def test_what_a_plugin_adds_to_the_finders_is_not_taken_for_what_is_installed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that looks whether anything changed runs no plugin, and must find the same."""
    (root / "plug/lazy.py").write_text("def later():\n    import hooked\n")
    process_memory.forget("finders at start")
    finders_at_start()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(hooked=root / "beside.py")])
    record = looked(root, "plug.lazy")

    assert record.search["hooked"][1] == {}


def start_with(finder: Finder, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [each for each in sys.meta_path if not isinstance(each, Finder)]
    monkeypatch.setattr(sys, "meta_path", [*kept, finder])
    process_memory.forget("finders at start")
