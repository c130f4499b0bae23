"""Each test resolves configs in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from .config_project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)
