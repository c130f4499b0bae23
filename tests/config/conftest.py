"""Each test resolves configs in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from .config_project import Project

settings.register_profile("no deadline", deadline=None)  # a busy machine is no mistake
settings.load_profile("no deadline")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)
