"""What an import looked for in vain, or would find first by now, makes the manifest stale, and nothing else does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from otrainer.fingerprint import Fingerprints
from otrainer.stages.manifest import searched
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
