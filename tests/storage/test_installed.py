"""Python's library and installed packages are told from a project, wherever that lies."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from otrainer.diagnostics.exceptions.traceback import is_own
from otrainer.fingerprint.locate import is_local
from otrainer.storage.installed import is_installed
from otrainer.storage.watch_reads import ReadTracker, tracking


@pytest.mark.parametrize(
    "path",
    [
        json.__file__,
        pytest.__file__,
        str(Path(sysconfig.get_path("stdlib"), "encodings")),
        "/usr/lib/python3/dist-packages/apt/cache.py",
        "/home/me/.local/lib/python3.12/site-packages/yaml/__init__.py",
        "/project/.venv/lib/python3.11/site-packages/torch/nn/modules/linear.py",
        "/opt/pypy/lib/pypy3.10/site-packages/a.py",
    ],
)
def test_libraries_are_installed(path: str) -> None:
    assert is_installed(Path(path))
    assert not is_local("a", Path(path).with_suffix(".py"))
    assert not is_own(path)


@pytest.mark.parametrize(
    "path",
    [
        f"{sys.prefix}/extensions/plug.py",
        f"{sys.base_prefix}/src/app/extensions/plug.py",
        f"{sys.prefix}/share/data.py",
        "/usr/src/app/extensions/plug.py",
        "/data/site-packages/project/extensions/plug.py",
        "/home/me/site-packages.py",
    ],
    ids=["its own environment", "below Python's prefix", "data of an environment", "in an image", "a name", "a file"],
)
def test_a_project_is_none_wherever_it_lies(path: str) -> None:
    assert not is_installed(Path(path))
    assert is_local("a", Path(path))
    assert is_own(path)


def test_where_packages_are_looked_for_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `pip install --target` leaves them."""
    monkeypatch.syspath_prepend("/project/vendor/site-packages")

    assert is_installed(Path("/project/vendor/site-packages/a.py"))


def test_what_is_read_in_a_project_that_is_an_environment_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "lib/python3.11/site-packages").mkdir(parents=True)
    for name in ("table.txt", "lib/python3.11/site-packages/a.txt"):
        (tmp_path / name).write_text("1")
    tracker = ReadTracker(tmp_path)
    with tracking(tracker):
        for name in ("table.txt", "lib/python3.11/site-packages/a.txt"):
            (tmp_path / name).read_text()

    assert list(tracker.files) == ["table.txt"]
