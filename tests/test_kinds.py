"""The short version of the campaign over kinds: `tests/campaigns/kinds.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns.kinds import file_cases, leaf_cases, project


def test_no_field_of_a_file_breaks_a_verb(tmp_path: Path) -> None:
    assert list(file_cases(project(tmp_path / "p"), 5, 12)) == []


def test_no_leaf_of_a_checkpoint_breaks_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(leaf_cases(tmp_path, 5, 25)) == []
