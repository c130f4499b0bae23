"""Edits that change what a component does in ways that are easily missed: each is run, and each must be seen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .pairs import PAIRS

SCRIPT = Path(__file__).with_name("pairs.py")


@pytest.fixture(scope="module")
def verdicts() -> dict[str, list[bool]]:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("what", PAIRS)
def test_it_is_seen_when(what: str, verdicts: dict[str, list[bool]]) -> None:
    acts, seen = verdicts[what]

    assert acts, "the edit changes nothing, so it says nothing"
    assert seen
