"""The short version of the campaign over odd files: `tests/campaigns/oddfiles.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns.oddfiles import ODDITIES, STATE, laid_out, odd_case, odd_rows


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return laid_out(tmp_path_factory.mktemp("odd").resolve() / "original")


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        (STATE, "a pipe"),
        (STATE, "odd rows"),
        ("runs/a/rows.jsonl", "a pipe"),
        (".git/HEAD", "a pipe"),
    ],
)
def test_whatever_is_in_the_place_of_a_file_no_verb_breaks(project: Path, tmp_path: Path, name: str, odd: str) -> None:
    oddity = {**ODDITIES, "odd rows": odd_rows}[odd]

    assert list(odd_case(project, tmp_path, name, oddity, "3")) == []
