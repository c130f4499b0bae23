"""What is run of a project's modules is their source, whatever compiled files lie beside it."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
import sys
from pathlib import Path

import pytest

from otrainer.config import Settings
from otrainer.errors import ConfigError
from otrainer.registry import Registry, load_plugins

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


def compiled(source: Path, text: str, mode: py_compile.PycInvalidationMode) -> Path:
    """What Python would load for `source`: the code of another text, with this source's time and size."""
    source.write_text(text)
    made = Path(py_compile.compile(str(source), doraise=True, invalidation_mode=mode))
    source.write_text(PLAIN)
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


def test_modules_elsewhere_are_loaded_as_ever(plug: Path) -> None:
    (plug / "a.py").write_text("import json, this_is_elsewhere\n")
    with pytest.raises(ConfigError, match="this_is_elsewhere"):
        load_plugins(["plug.a"], registry=Registry(), settings=SETTINGS)
    spec = importlib.util.find_spec("json.tool")

    assert spec is not None
    assert spec.cached is not None
