"""What is run of local modules is their source, whatever compiled files lie beside it."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
import sys
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from otrainer.config import Settings
from otrainer.errors import ConfigError
from otrainer.registry import Registry, load_plugins
from otrainer.registry.plugins.from_source import load_from_source, loaded

SETTINGS = Settings(allowed_import_prefixes=("plug.",), allow_target=True)
PLAIN = "def register(registry):\n    registry.register_op('mine', max)\n"
EVIL = "open('ran', 'w')\n" + PLAIN


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "plug").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "plug"
    for name in [name for name in sys.modules if name.partition(".")[0] == "plug"]:
        del sys.modules[name]


def compiled(source: Path, text: str, mode: py_compile.PycInvalidationMode, now: str = PLAIN) -> Path:
    """What Python would load for `source`: the code of another text, with this source's time and size."""
    source.write_text(text)
    made = Path(py_compile.compile(str(source), doraise=True, invalidation_mode=mode))
    source.write_text(now)
    if mode is py_compile.PycInvalidationMode.TIMESTAMP:
        status, content = source.stat(), bytearray(made.read_bytes())
        content[8:12] = int(status.st_mtime).to_bytes(4, "little")
        content[12:16] = status.st_size.to_bytes(4, "little")
        made.write_bytes(content)
    return made


MODES = [py_compile.PycInvalidationMode.TIMESTAMP, py_compile.PycInvalidationMode.UNCHECKED_HASH]


@pytest.mark.parametrize("mode", MODES, ids=["by time", "unchecked"])
def test_a_compiled_file_that_python_would_run_is_not(plug: Path, mode: py_compile.PycInvalidationMode) -> None:
    made = compiled(plug / "a.py", EVIL, mode)
    exec(marshal.loads(made.read_bytes()[16:]), {"__name__": "tried"})  # noqa: S102, S302 - it is what it claims to be
    assert Path("ran").exists()
    Path("ran").unlink()
    load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)

    assert not Path("ran").exists()


def test_none_is_left_either(plug: Path) -> None:
    (plug / "a.py").write_text(PLAIN)
    load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)

    assert not list(plug.rglob("*.pyc"))


def test_a_compiled_file_without_a_source_is_told(plug: Path) -> None:
    (plug / "a.py").write_text(EVIL)
    py_compile.compile(str(plug / "a.py"), cfile=str(plug / "a.pyc"))
    (plug / "a.py").unlink()
    with pytest.raises(ConfigError, match=r"a\.pyc` is compiled, and its source is not there"):
        load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)

    assert not Path("ran").exists()


def test_an_edit_within_the_same_second_and_of_the_same_size_is_seen(plug: Path) -> None:
    for text in ("op = 'aa'\n", "op = 'bb'\n"):
        (plug / "a.py").write_text(text)
        os.utime(plug / "a.py", (1e9, 1e9))
        sys.modules.pop("plug.a", None)
        (module,) = load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)
        assert f"op = '{module.op}'\n" == text


def test_modules_elsewhere_are_found_as_ever(plug: Path) -> None:
    (plug / "a.py").write_text("import json, this_is_elsewhere\n")
    with pytest.raises(ConfigError, match="this_is_elsewhere"):
        load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)
    spec = importlib.util.find_spec("json.tool")

    assert spec is not None
    assert spec.cached is not None


FINDER = """\
import importlib.util, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, LIB) if name == 'plug_lib' else None

sys.meta_path.append(Finder)
from plug_lib import X as op
"""
WAYS = {
    "a folder on the path": "import sys\nsys.path.insert(0, str(LIB.parent))\nfrom plug_lib import X as op\n",
    "a folder behind all others": "import sys\nsys.path.append(str(LIB.parent))\nfrom plug_lib import X as op\n",
    "an editable install's finder": FINDER,
    "its path": (
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        "spec = spec_from_file_location('any', LIB)\nmodule = module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\nop = module.X\n"
    ),
    "a loader": (
        "from importlib.machinery import SourceFileLoader\nspace = {}\n"
        "exec(SourceFileLoader('any', str(LIB)).get_code('any'), space)\nop = space['X']\n"
    ),
    "a loader of one's own": (
        "from importlib.machinery import SourceFileLoader\n"
        "class Mine(SourceFileLoader):\n"
        "    def source_to_code(self, data, path):\n        return super().source_to_code(data.upper(), path)\n"
        "space = {}\nexec(Mine('any', str(LIB)).get_code('any'), space)\nop = space['X']\n"
    ),
}


@pytest.fixture
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A module outside of the project, compiled, and then edited without another size or time."""
    file = tmp_path_factory.mktemp("lib") / "plug_lib.py"
    path, finders = list(sys.path), list(sys.meta_path)
    compiled(file, "X = 1\n", py_compile.PycInvalidationMode.TIMESTAMP, now="X = 2\n")
    yield file
    sys.path[:], sys.meta_path[:] = path, finders
    for name in ("any", "plug_lib"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("way", WAYS)
def test_a_module_outside_of_the_project_is_what_its_source_is_too(plug: Path, lib: Path, way: str) -> None:
    (plug / "a.py").write_text(f"from pathlib import Path\nLIB = Path({str(lib)!r})\n{WAYS[way]}")
    (module,) = load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)

    assert module.op == 2


def code_of(file: Path) -> int:
    code = SourceFileLoader(file.stem, str(file)).get_code(file.stem)
    assert code is not None
    found: dict[str, int] = {}
    exec(code, found)  # noqa: S102
    return found["X"]


def test_what_was_compiled_long_after_its_last_edit_is_not_compiled_again(plug: Path, lib: Path) -> None:
    load_from_source(plug.parent)
    (made,) = lib.parent.rglob("*.pyc")
    assert code_of(lib) == 2
    later = time.time() + 10
    os.utime(made, (later, later))

    assert code_of(lib) == 1


def test_what_was_compiled_of_a_file_that_a_link_led_to_is_not_run(plug: Path, lib: Path) -> None:
    load_from_source(plug.parent)
    (made,) = lib.parent.rglob("*.pyc")
    later = time.time() + 10
    os.utime(made, (later, later))
    target = lib.rename(lib.with_name("other.py"))
    lib.symlink_to(target)

    assert code_of(lib) == 2


def test_a_module_of_that_name_which_is_loaded_beside_changes_nothing_of_what_is_known(plug: Path, lib: Path) -> None:
    (plug / "a.py").write_text(PLAIN)
    load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)
    assert SourceFileLoader("plug.a", str(lib)).get_code("plug.a") is not None

    assert loaded()["plug.a"] == PLAIN.encode()


def test_an_installed_module_is_loaded_as_python_does(plug: Path) -> None:
    load_from_source(plug.parent)
    installed = plug / "lib/python3/site-packages/installed.py"
    installed.parent.mkdir(parents=True)
    compiled(installed, "X = 1\n", py_compile.PycInvalidationMode.TIMESTAMP, now="X = 2\n")

    assert code_of(installed) == 1
