"""A process never trains by modules that it imported before they were edited."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otrainer.errors import ConfigError
from otrainer.fingerprint import Fingerprints
from otrainer.registry.plugins.stale import refuse_stale


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "loaded_helper.py").write_text("SCALE = 2\n")
    (tmp_path / "loaded_plugin.py").write_text("from loaded_helper import SCALE\n")
    yield tmp_path
    for name in ("loaded_plugin", "loaded_helper"):
        sys.modules.pop(name, None)


def check(root: Path) -> None:
    refuse_stale(["loaded_plugin"], Fingerprints(root=root))


def test_an_edit_before_the_import_is_what_is_imported(plugin: Path) -> None:
    check(plugin)
    (plugin / "loaded_helper.py").write_text("SCALE = 3\n")
    assert importlib.import_module("loaded_plugin").SCALE == 3
    check(plugin)


def test_an_edit_after_the_import_is_refused_by_name(plugin: Path) -> None:
    importlib.import_module("loaded_plugin")
    check(plugin)
    (plugin / "loaded_helper.py").write_text("SCALE = 4\n")

    with pytest.raises(ConfigError, match=r"`loaded_helper.py` changed after this process had imported it"):
        check(plugin)


def test_a_comment_changes_nothing_that_was_imported(plugin: Path) -> None:
    importlib.import_module("loaded_plugin")
    check(plugin)
    (plugin / "loaded_helper.py").write_text("# Twice.\nSCALE = 2\n")
    check(plugin)


def test_a_reloaded_module_is_what_the_file_says(plugin: Path) -> None:
    importlib.import_module("loaded_plugin")
    check(plugin)
    (plugin / "loaded_helper.py").write_text("SCALE = 12345\n")
    importlib.reload(sys.modules["loaded_helper"])
    check(plugin)
