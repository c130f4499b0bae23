"""Questions are asked in copies of a project that was trained once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trained import copy, inside


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it, as the working directory."""
    folder = copy(original, tmp_path / "project")
    with inside(folder):
        yield folder
